# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "allensdk==2.16.2",
#   "h5py==3.16.0",
#   "hdmf==3.14.6",
#   "numpy==1.23.5",
#   "pandas==1.5.3",
#   "pynwb==2.8.3",
# ]
# [tool.uv]
# constraint-dependencies = [
#   "aiohappyeyeballs==2.7.1", "aiohttp==3.14.5", "aiosignal==1.4.0", "argschema==3.0.4", "attrs==26.1.0",
#   "blosc2==2.7.1", "boto3==1.44.5", "botocore==1.44.5", "cachetools==8.0.1", "certifi==2026.10.18",
#   "charset-normalizer==3.5.2", "contourpy==1.3.2", "cycler==0.12.1", "distro==1.9.0", "fonttools==4.68.0",
#   "formulaic==1.2.2", "frozenlist==1.8.0", "future==1.0.0", "glymur==0.14.8", "idna==3.20", "imageio==2.38.1",
#   "interface-meta==2.0.1", "jinja2==3.1.6", "jmespath==1.1.0", "jsonschema==4.26.0",
#   "jsonschema-specifications==2025.9.1", "kiwisolver==1.5.1", "lazy-loader==0.6", "lxml==6.1.3",
#   "markupsafe==3.0.4", "marshmallow==3.26.2", "matplotlib==3.10.9", "msgpack==1.2.4", "multidict==7.2.1",
#   "narwhals==2.29.0", "ndindex==1.10.1", "ndx-events==0.4.0", "nest-asyncio==1.6.0", "networkx==3.6.1",
#   "numexpr==2.14.1", "packaging==26.3", "patsy==1.0.3", "pillow==13.0.0", "propcache==0.5.4",
#   "psycopg2-binary==2.9.13", "py-cpuinfo==9.0.0", "pynrrd==1.1.3", "pyparsing==3.3.3",
#   "python-dateutil==2.9.0.post0", "pytz==2026.6", "pyyaml==6.0.3", "referencing==0.37.0", "requests==2.34.2",
#   "requests-toolbelt==1.0.0", "rpds-py==2026.9.1", "ruamel-yaml==0.19.1", "s3transfer==0.19.3",
#   "scikit-build==0.19.1", "scikit-image==0.24.0", "scipy==1.10.1", "seaborn==0.13.2", "semver==3.1.1",
#   "setuptools==84.2.1", "simpleitk==2.5.7", "simplejson==4.3.0", "six==1.17.0", "sqlalchemy==2.1.9",
#   "statsmodels==0.15.0", "tables==3.11.1", "tifffile==2026.3.3", "tqdm==4.70.1", "typing-extensions==4.16.0",
#   "urllib3==2.8.0", "wheel==0.48.0", "wrapt==2.5.2", "xarray==2023.1.0", "yarl==1.25.1",
# ]
# ///
"""Write what the Allen SDK answers for one session file: a script that uv runs in an environment of its own.

``uv run --script allensdk_export.py FILE INTO`` writes the HDF5 file INTO; ``--check`` in place of the two opens a file
of its own making. The SDK needs a numpy, a pandas and an hdmf that the rest of neq is too new for (hdmf 5 even imports,
and then opens no file), so that neq never imports this module: ``neq.readers.allensdk`` runs it.

INTO holds the tables ``units``, ``channels`` and ``presentations``, groups with one dataset per column and a mask in
``missing`` for those of text or truth values that are not complete; ``spike_times`` (s), those of the first unit of the
table, then of the second ..., of which ``spike_offsets`` (unit + 1,) says where each begins; ``order``, ids of those
joined with channels, uppermost first; ``good_units``, those that the published preprocessing keeps. Attributes:
format, session, subject, versions.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

FILE_UNREADABLE, ENVIRONMENT_BROKEN, NOT_WRITTEN = 3, 4, 5
"""Exit codes; the last line on stderr says more."""
FORMAT = "answers of the Allen SDK, 1"
"""Says what INTO is; the number is raised when its layout changes."""
PACKAGES = ("allensdk", "hdmf", "numpy", "pandas", "pynwb")


def main() -> int:
    """Export or check, and return the exit code."""
    parser = argparse.ArgumentParser(description="Write what the Allen SDK answers for one session file.")
    parser.add_argument("file", nargs="?", help="NWB file of a session")
    parser.add_argument("into", nargs="?", help="HDF5 file to write")
    parser.add_argument("--check", action="store_true", help="only find out whether the SDK can open files here")
    given = parser.parse_args()
    if not given.check and given.into is None:
        parser.error("give the file of a session and the file to write")
    warnings.simplefilter("ignore")
    if given.check:
        return check()
    return export(Path(given.file), Path(given.into))


def check() -> int:
    """Write a file and open it: packages that do not fit each other import, and fail here."""
    try:
        open_session_type()
        from pynwb import NWBHDF5IO, NWBFile

        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "check.nwb")
            with NWBHDF5IO(path, "w") as file:
                file.write(NWBFile("check", "check", datetime.now(UTC)))
            with NWBHDF5IO(path, "r", load_namespaces=True) as file:
                file.read()
    except Exception as error:
        return told(ENVIRONMENT_BROKEN, error)
    return 0


def export(path: Path, into: Path) -> int:
    """Open a session with the SDK and write what it says."""
    try:
        session = open_session_type().from_nwb_path(str(path))
        tables = {"units": session.get_units(), "channels": session.get_channels()}
        published = published_units(**tables)
        tables["presentations"] = session.stimulus_presentations
        spike_times, metadata = session.spike_times, session.metadata
    except Exception as error:
        return check() or told(FILE_UNREADABLE, error)
    try:
        write(into, tables, published, spike_times, metadata)
    except OSError as error:
        return told(NOT_WRITTEN, error)
    return 0


def open_session_type():
    """Return the SDK's session; nothing else of the SDK may be imported before it, or files cannot be read."""
    from allensdk.brain_observatory.ecephys.behavior_ecephys_session import BehaviorEcephysSession

    return BehaviorEcephysSession


def published_units(units, channels):
    """Return ids of the units joined with channels, and of those kept, as the published preprocessing orders them."""
    merged = units.merge(channels, left_on="peak_channel_id", right_index=True)
    merged = merged.sort_values("probe_vertical_position", ascending=False)
    good = (merged["snr"] > 1) & (merged["isi_violations"] < 1) & (merged["firing_rate"] > 0.1)
    return {"order": merged.index.to_numpy("i8"), "good_units": merged.index[good].to_numpy("i8")}


def write(into: Path, tables, published, spike_times, metadata) -> None:
    """Write the file, the spike times a unit at a time."""
    import h5py
    import numpy as np

    trains = [np.asarray(spike_times[unit], dtype="f8") for unit in tables["units"].index]
    offsets = np.cumsum([0, *map(len, trains)], dtype="i8")
    with h5py.File(into, "w") as file:
        for name, table in tables.items():
            write_table(file.create_group(name), table)
        for name, ids in published.items():
            file[name] = ids
        file["spike_offsets"] = offsets
        flat = file.create_dataset("spike_times", (offsets[-1],), "f8")
        for start, train in zip(offsets[:-1], trains, strict=True):
            flat[start : start + len(train)] = train
        file.attrs["format"] = FORMAT
        file.attrs["session"], file.attrs["subject"] = str(metadata["ecephys_session_id"]), str(metadata["mouse_id"])
        file.attrs["versions"] = json.dumps({name: importlib.metadata.version(name) for name in PACKAGES})


def write_table(group, table) -> None:
    """Write a dataset per column."""
    import h5py

    group.attrs["index"], group.attrs["columns"] = table.index.name, list(table.columns)
    for name, column in table.reset_index().items():
        missing = column.isna().to_numpy()
        if missing.any() and column.dtype.kind != "f":
            group[f"missing/{name}"] = missing
        if column.dtype == "boolean":
            group[name] = column.fillna(False).to_numpy(bool)
        elif column.dtype == object:
            text = column.fillna("").astype(str).tolist()
            group.create_dataset(name, data=text, dtype=h5py.string_dtype())
        else:
            group[name] = column.to_numpy()


def told(code: int, error: Exception) -> int:
    """Say on stderr what went wrong, in one line, and return the code."""
    sys.stderr.write(" ".join(f"{type(error).__name__}: {error}".split()) + "\n")
    return code


if __name__ == "__main__":
    # a script's own folder comes first among the places of modules, and this one has an allensdk.py
    sys.path = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    sys.exit(main())
