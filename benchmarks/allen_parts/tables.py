"""What the release says in tables: sessions, probes, channels, units; and its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

PROJECT, VERSION = "visual-behavior-neuropixels", "0.5.0"
URL = f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/{PROJECT}"
N_SESSION, N_NORMAL, N_MOUSE_NORMAL, N_MOUSE_ABNORMAL = 153, 103, 54, 27
CORTEX = ("VISam", "VISpm", "VISp", "VISl", "VISal", "VISrl")
"""The visual area under each probe."""
DEPTH = ((0.10, "root"), (0.28, "LGd-sh"), (0.36, "LP"), (0.48, "CA1"), (0.52, "DG"), (0.97, ""), (1.0, "None"))
"""Area of a channel, from the tip up to this share of the probe; "": the visual one."""
PROBE = {
    "sampling_rate": 30_000.0,
    "lfp_sampling_rate": np.nan,
    "phase": 1.0,
    "has_lfp_data": False,
    "structure_acronyms": "[]",
    "file_id": -999,
}


def locations(n_channel: int) -> list[str]:
    """Return the area of each channel of the six probes."""
    share = (np.arange(n_channel) + 0.5) / n_channel
    depth = [DEPTH[i][1] for i in np.searchsorted([top for top, _ in DEPTH], share)]
    return [area or cortex for cortex in CORTEX for area in depth]


def quality(random: np.random.Generator, n_unit: int) -> dict[str, np.ndarray]:
    """Return quality measures of which, with rates and channels, two units in five are good."""
    return {
        "snr": random.lognormal(np.log(1.5), 0.6, n_unit),
        "isi_violations": random.lognormal(np.log(0.45), 1.7, n_unit),
        "amplitude_cutoff": np.where(random.random(n_unit) < 0.04, np.nan, random.uniform(0.0, 0.5, n_unit)),
        "presence_ratio": random.uniform(0.8, 1.0, n_unit),
    }


def session_path(number: int) -> str:
    """Return where a session lies in the layout of the cache."""
    return f"{PROJECT}-{VERSION}/behavior_ecephys_sessions/{number}/ecephys_session_{number}.nwb"


def sessions(n_unit: int, n_channel: int) -> pd.DataFrame:
    """Return the table of all sessions, a third of them abnormal, those of a mouse next to each other."""
    random = np.random.default_rng(0)
    abnormal = np.isin(np.arange(N_SESSION), random.choice(N_SESSION, N_SESSION - N_NORMAL, replace=False))
    normal_mouse = np.cumsum(~abnormal) * N_MOUSE_NORMAL // (N_NORMAL + 1)
    mouse = np.where(abnormal, 100 + np.cumsum(abnormal) * N_MOUSE_ABNORMAL // (N_SESSION - N_NORMAL + 1), normal_mouse)
    numbers = 1_044_385_384 + np.cumsum(random.integers(400_000, 900_000, N_SESSION))
    table = pd.DataFrame({
        "behavior_session_id": numbers + 7,
        "date_of_acquisition": "2020-11-19 23:18:01+00:00",
        "equipment_name": "NP.1",
        "session_type": "EPHYS_1_images_G_3uL_reward",
        "mouse_id": 500_000 + mouse,
        "genotype": "wt/wt",
        "sex": "M",
        "project_code": "NeuropixelVisualBehavior",
        "age_in_days": 120,
        "unit_count": n_unit,
        "probe_count": 6,
        "channel_count": n_channel,
        "structure_acronyms": str(sorted(set(locations(n_channel // 6)))),
        "image_set": "G",
        "prior_exposures_to_image_set": 30,
        "session_number": 1,
        "experience_level": "Familiar",
        "prior_exposures_to_omissions": 0,
        "file_id": np.arange(869, 869 + N_SESSION),
        "abnormal_histology": np.where(abnormal & (random.random(N_SESSION) < 0.5), "['Thalamus']", None),
        "abnormal_activity": None,
    })  # fmt: skip
    table["abnormal_activity"] = np.where(abnormal & table["abnormal_histology"].isna(), "[8899]", None)
    return table.set_index(pd.Index(numbers, name="ecephys_session_id"))


def write_release(folder: Path, table: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Write tables and manifest; units and channels of the sessions that have their file."""
    metadata = folder / f"{PROJECT}-{VERSION}" / "project_metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    read = [_units_and_channels(path) for path in paths]
    made = {
        "ecephys_sessions": table.reset_index(),
        "behavior_sessions": _behaviour(table),
        "units": pd.concat([units for units, _ in read]),
        "channels": pd.concat([channels for _, channels in read]),
        "probes": _probes(table),
    }
    for name, frame in made.items():
        frame.to_csv(metadata / f"{name}.csv", index=False)
    hashes = {name: _hash(metadata / f"{name}.csv") for name in made}
    urls = {name: f"project_metadata/{name}.csv" for name in made}
    there = {int(path.parent.name): _hash(path) for path in paths}
    manifest = {
        "project_name": PROJECT,
        "manifest_version": VERSION,
        "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": "made up"}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {name: _listed(urls[name], hashes[name]) for name in made},
        "data_files": {
            str(row.file_id): _listed(session_path(number).partition("/")[2], there.get(number, "0" * 128))
            for number, row in table.iterrows()
        },
    }
    (folder / f"{PROJECT}_project_manifest_v{VERSION}.json").write_text(json.dumps(manifest, indent=1))


def _listed(path: str, file_hash: str) -> dict[str, str]:
    return {"url": f"{URL}/{path}", "version_id": "made-up", "file_hash": file_hash}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _behaviour(table: pd.DataFrame) -> pd.DataFrame:
    shared = ["behavior_session_id", "equipment_name", "genotype", "mouse_id", "sex", "age_in_days", "session_number"]
    shared += ["date_of_acquisition", "session_type", "image_set", "prior_exposures_to_image_set"]
    return table[shared].assign(prior_exposures_to_session_type=5, file_id=-999).reset_index()


def _probes(table: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"ecephys_probe_id": number * 10 + row, "ecephys_session_id": number, "name": f"probe{'ABCDEF'[row]}", **PROBE}
        | {"unit_count": session.unit_count // 6, "channel_count": session.channel_count // 6}
        for number, session in table.iterrows()
        for row in range(6)
    ]
    return pd.DataFrame(rows)


def _units_and_channels(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    with h5py.File(path) as file:
        units, channels = _scalars(file["units"]), _scalars(file["general/extracellular_ephys/electrodes"])
        session = int(file["identifier"][()])
    channels = channels.rename(columns={"id": "ecephys_channel_id", "probe_id": "ecephys_probe_id"})
    channels = channels.rename(columns={"location": "structure_acronym"}).assign(ecephys_session_id=session)
    units = units.rename(columns={"id": "unit_id", "peak_channel_id": "ecephys_channel_id"})
    return units.merge(channels, on="ecephys_channel_id"), channels.assign(unit_count=0)


def _scalars(table: h5py.Group) -> pd.DataFrame:
    """Return the columns of a table that hold one number or word a row."""
    n, skipped = len(table["id"]), ("group", "imp", "filtering")
    kept = [name for name in table if table[name].shape == (n,) and name not in skipped and "_index" not in name]
    columns = {name: table[name][:] for name in kept}
    text = {name for name, values in columns.items() if values.dtype == object}
    return pd.DataFrame(
        {name: [v.decode() for v in values] if name in text else values for name, values in columns.items()}
    )
