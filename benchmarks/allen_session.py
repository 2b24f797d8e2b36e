"""Made-up sessions of the Visual Behavior Neuropixels release at their real size, in a cache folder of allensdk's kind.

Run from the repository root as ``python -m benchmarks.allen_session --to FOLDER [--sessions 3] [--small]``. The
structure is that of the fixture of the tests, which allensdk wrote; what makes a file large (spikes, their amplitudes,
waveforms) is written unit by unit. A released file is 3 GB: with 2,300 units, their waveforms and 16 bytes a spike that
is a mean rate of 6.5 Hz over 2.5 hours, 135 million spikes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from benchmarks.allen_parts import blocks, tables
from benchmarks.allen_parts.columns import replace_column

TEMPLATE = next((Path(__file__).parents[1] / "tests/reference_data/allen/cache").rglob("ecephys_session_*573.nwb"))
END = 9000.0
"""Length of a session (s)."""
FOLLOWED = 5
"""A follower fires 10 ms after every so many spikes of its leader: the network is not reversible."""
N_SAMPLE = 82
"""Samples of a mean waveform, which has all channels of the probe."""


@dataclass(frozen=True)
class Size:
    """How large a session is.

    Parameters
    ----------
    n_unit, n_channel
        Units of the session, channels of each of its six probes.
    pace
        Share of the release's durations.
    rate
        Mean rate (Hz).
    compressed
        Spike times and amplitudes in compressed chunks instead of one piece.
    """

    n_unit: int = 2_300
    n_channel: int = 384
    pace: float = 1.0
    rate: float = 6.5
    compressed: bool = False


SMALL = Size(n_unit=230, n_channel=48, pace=1 / 30)


@dataclass(frozen=True)
class Session:
    """Which session: its ids, and its place among the seeds."""

    number: int
    mouse: int

    @property
    def probe(self) -> int:
        """Id of its first probe."""
        return self.number * 10


def write_session(path: Path, session: Session, size: Size) -> None:
    """Write one session; the same for the same arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    shutil.copy(TEMPLATE, part)
    with h5py.File(part, "r+") as file:
        _name(file, session)
        blocks.write_blocks(file, size.pace)
        _write_electrodes(file["general/extracellular_ephys"], session, size)
        _write_units(file, session, size)
    part.rename(path)


def _name(file: h5py.File, session: Session) -> None:
    file["identifier"][()] = str(session.number)
    file["general/subject/subject_id"][()] = str(session.mouse)
    file["general/metadata"].attrs["behavior_session_id"] = session.number + 7
    for row, letter in enumerate("ABCDEF"):
        for group in (f"general/devices/probe{letter}", f"general/extracellular_ephys/probe{letter}"):
            file[group].attrs["probe_id"] = session.probe + row


def _write_electrodes(ephys: h5py.Group, session: Session, size: Size) -> None:
    table, n = ephys["electrodes"], size.n_channel
    probe, channel = np.divmod(np.arange(6 * n), n)
    like = probe * (len(table["id"]) // 6) + channel % (len(table["id"]) // 6)
    valid = np.random.default_rng([session.number, 0]).random(6 * n) > 0.02
    made = {
        "id": (session.probe + probe) * 1000 + channel,
        "probe_id": session.probe + probe,
        "probe_channel_number": channel,
        "probe_vertical_position": 20 * (n - channel),
        "valid_data": valid,
        "location": np.array(tables.locations(n), dtype=object),
    }
    for name in list(table):
        replace_column(table, name, made[name] if name in made else table[name][:][like])


def _write_units(file: h5py.File, session: Session, size: Size) -> None:
    units, stop = file["units"], END * size.pace
    counts, rates = _counts(session, size, stop)
    random = np.random.default_rng([session.number, 1])
    electrodes = file["general/extracellular_ephys/electrodes/id"][:]
    made = {
        "id": session.number * 1_000_000 + np.arange(size.n_unit),
        "peak_channel_id": np.sort(random.choice(electrodes, size.n_unit)),
        "local_index": np.arange(size.n_unit),
        "firing_rate": counts / stop,
        **tables.quality(random, size.n_unit),
    }
    large = ("spike_times", "spike_amplitudes", "waveform_mean")
    like = np.arange(size.n_unit) % len(units["id"])
    for name in [name for name in units if not name.startswith(large)]:
        replace_column(units, name, made[name] if name in made else units[name][:][like])
    _make_room(units, counts, size)
    _fill(units, counts, rates, session, stop)


def _counts(session: Session, size: Size, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of each unit, and those of its own: every second unit follows the one before it."""
    random = np.random.default_rng([session.number, 2])
    spread = 1.3
    rate = random.lognormal(np.log(size.rate) - spread**2 / 2, spread, size.n_unit).clip(max=80.0)
    rate[random.random(size.n_unit) < 0.07] *= 0.02
    own = random.poisson(rate * stop)
    counts = own.copy()
    n_pair = size.n_unit // 2
    counts[1 : 2 * n_pair : 2] += -(-own[: 2 * n_pair : 2] // FOLLOWED)
    return counts, own


def _make_room(units: h5py.Group, counts: np.ndarray, size: Size) -> None:
    ends = np.cumsum(counts)
    chunked = {"chunks": True, "compression": "gzip", "compression_opts": 4} if size.compressed else {}
    for name in ("spike_times", "spike_amplitudes"):
        replace_column(units, name, None, shape=(ends[-1],), dtype="f8", **chunked)
        replace_column(units, f"{name}_index", ends.astype(np.uint32))
    replace_column(units, "waveform_mean", None, shape=(N_SAMPLE * size.n_unit, size.n_channel), dtype="f8")
    replace_column(units, "waveform_mean_index", (N_SAMPLE * np.arange(1, size.n_unit + 1)).astype(np.uint32))


def _fill(units: h5py.Group, counts: np.ndarray, own: np.ndarray, session: Session, stop: float) -> None:
    """Write spikes, amplitudes and waveform of one unit after another."""
    first = 0
    for row, (times, random) in enumerate(_trains(own, session.number, stop)):
        inside = slice(first, first + counts[row])
        units["spike_times"][inside] = times
        units["spike_amplitudes"][inside] = random.normal(1e-4, 1e-5, counts[row])
        waveform = random.normal(0.0, 20.0, (N_SAMPLE, units["waveform_mean"].shape[1]))
        units["waveform_mean"][N_SAMPLE * row : N_SAMPLE * (row + 1)] = waveform
        first = inside.stop


def _trains(own: np.ndarray, seed: int, stop: float) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Yield the spike times (s) of each unit, at the samples of a probe, and its random numbers."""
    leader = np.zeros(0)
    for row, n in enumerate(own):
        random = np.random.default_rng([seed, 3, row])
        times = np.sort(random.uniform(0.0, stop - 0.02, n))
        if row % 2:
            times = np.sort(np.concatenate([times, leader[::FOLLOWED] + 0.01]), kind="stable")
        leader = times
        yield np.round(times * 30_000) / 30_000, random


def main() -> None:
    """Write a cache folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--sessions", type=int, default=1, help="how many of the release's sessions have their file")
    parser.add_argument("--small", action="store_true", help="a tenth of the units, five minutes")
    parser.add_argument("--compressed", action="store_true", help="spikes in compressed chunks")
    asked = parser.parse_args()
    write_cache(asked.to, asked.sessions, replace(SMALL if asked.small else Size(), compressed=asked.compressed))


def write_cache(folder: Path, n_session: int, size: Size) -> list[Path]:
    """Write manifest and tables of 153 sessions and the files of some, spread over the 103 that are not abnormal."""
    table = tables.sessions(size.n_unit, 6 * size.n_channel)
    normal = table.index[table["abnormal_histology"].isna() & table["abnormal_activity"].isna()]
    chosen = normal[np.unique(np.linspace(0, len(normal) - 1, n_session).astype(int))]
    paths = []
    for number in chosen:
        path = folder / tables.session_path(number)
        write_session(path, Session(int(number), int(table.loc[number, "mouse_id"])), size)
        paths.append(path)
        print(f"{path}: {path.stat().st_size / 1e9:.2f} GB", flush=True)
    tables.write_release(folder, table, paths)
    return paths


if __name__ == "__main__":
    main()
