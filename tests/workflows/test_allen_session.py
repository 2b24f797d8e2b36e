"""The made-up sessions of the benchmarks: of the structure that the Allen SDK writes, the same each time."""

import hashlib
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from allen_session import CACHE, FILE

from benchmarks import allen_session
from neq.readers import allen_cache, detect_kind, read_recording

TINY = allen_session.Size(n_unit=60, n_channel=24, pace=1 / 100)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "cache"
    return folder, allen_session.write_cache(folder, 2, TINY)


def entries(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, entry: found.update({name: getattr(entry, "dtype", np.dtype("V")).kind}))
    return found


def test_write_session__has_what_the_sdk_writes(cache):
    assert entries(cache[1][0]) == entries(FILE)
    assert detect_kind(cache[1][0]) == "allen"


@pytest.mark.filterwarnings("ignore")  # pynwb is newer than what the Allen SDK writes with
def test_write_session__is_a_valid_nwb_file(cache):
    with pynwb.NWBHDF5IO(cache[1][0], "r", load_namespaces=True) as stream:
        file = stream.read()
        assert len(file.units) == 60
        assert file.units["waveform_mean"][7].shape == (82, 24)
        assert len(file.units["spike_times"][7]) == len(file.units["spike_amplitudes"][7]) > 0
        assert file.intervals["spontaneous_presentations"]["tags"][1] == ["stimulus_time_interval"]


def test_write_session__is_the_same_each_time_whatever_its_layout(tmp_path):
    session = allen_session.Session(7, 8)
    for name, size in (("a", TINY), ("b", TINY), ("c", replace(TINY, compressed=True))):
        allen_session.write_session(tmp_path / f"{name}.nwb", session, size)
    files = [h5py.File(tmp_path / f"{name}.nwb") for name in "abc"]
    assert files[2]["units/spike_times"].compression == "gzip"
    for name in ("spike_times", "spike_times_index", "spike_amplitudes", "waveform_mean", "peak_channel_id"):
        for file in files[1:]:
            np.testing.assert_array_equal(file["units"][name][:], files[0]["units"][name][:])


def test_write_session__holds_what_is_asked_for(cache):
    recording = read_recording(cache[1][0], quality={})
    assert recording.conditions == ["active", "gabor", "passive"]
    assert recording.epochs["start"].tolist() == pytest.approx([0.28, 36.48, 51.83])
    assert set(recording.units["area"]) >= {"VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl", "LGd", "CA1", ""}
    rate = sum(len(train) for train in recording.trains()) / len(recording.units) / 90.0
    assert 2 < rate < 20
    assert 0.2 < len(read_recording(cache[1][0]).units) / 60 < 0.7


def test_write_session__a_follower_fires_after_its_leader(cache):
    with h5py.File(cache[1][0]) as file:
        ends = file["units/spike_times_index"][:].astype(int)
        trains = np.split(file["units/spike_times"][:], ends[:-1])
    after = before = 0
    for leader, follower in zip(trains[::2], trains[1::2], strict=True):
        bins = {int(time * 100) for time in follower}
        after += sum(int(time * 100 + 1) in bins for time in leader)
        before += sum(int(time * 100 - 1) in bins for time in leader)
    assert after > 1.5 * before


def test_write_cache__is_a_cache_of_the_release(cache):
    folder, paths = cache
    made = allen_cache.open_cache(folder)
    table = made.sessions()
    assert (len(table), len(made.sessions(abnormal=True)), table["mouse_id"].nunique()) == (103, 153, 54)
    assert not set(table["mouse_id"]) & set(made.sessions(abnormal=True).drop(table.index)["mouse_id"])
    assert [made.session_file(table.index[row]) for row in (0, 102)] == paths
    for path, row in zip(paths, (0, 102), strict=True):
        assert hashlib.blake2b(path.read_bytes()).hexdigest() == made.listed(table.index[row]).file_hash
        assert read_recording(path).subject == table["mouse_id"].iloc[row]
    for name, listed in made.manifest.tables.items():
        content = (made.root / listed.path).read_bytes()
        assert hashlib.blake2b(content).hexdigest() == listed.file_hash
        real = pd.read_csv(next(CACHE.rglob(f"{name}.csv")), nrows=1)
        keys = {"ecephys_session_id", "ecephys_probe_id", "file_id", "structure_acronym"} & set(real)
        assert keys <= set(pd.read_csv(made.root / listed.path, nrows=1))
