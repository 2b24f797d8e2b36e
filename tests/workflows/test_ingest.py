import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neq.errors import RecordingError, StoreError
from neq.readers import read_recording
from neq.spikes.binning import bin_spikes
from neq.spikes.recording import Recording, epoch_table, unit_table
from workflows import content, ingest, staging

ROOT = Path(__file__).parents[2]


def make(session="a", source=None, seed=0, n_unit=7):
    random = np.random.default_rng(seed)
    trains = [np.sort(random.uniform(0, 60, random.integers(0, 400))) for _ in range(n_unit)]
    columns = {"snr": random.normal(size=n_unit), "label": ["good", None] + ["mua"] * (n_unit - 2), "kept": True}
    units = unit_table(range(10, 10 + n_unit), area=["V1"] * n_unit, columns={**columns, "kept": [True] * n_unit})
    epochs = [
        {"condition": "rest", "start": 0.5, "stop": 20.0},
        {"condition": "task", "start": 15.0, "stop": 30.0, "trial": 0},
        {"condition": "task", "start": 30.0, "stop": 50.0, "trial": 1},
    ]
    return Recording(session, units, trains, epoch_table(epochs), source or {}, duration=60.0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("chunk_bytes", [1 << 8, 1 << 11, 1 << 24])
def test_write_spikes__returns_what_bin_spikes_makes(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(ingest, "CHUNK_BYTES", chunk_bytes)
    recording = make()
    written = ingest.write_spikes(recording, 0.05, tmp_path / "spikes")
    expected = bin_spikes(recording, 0.05)
    for lazy in (False, True):
        dataset = ingest.open_spikes(tmp_path / "spikes" / written.path, lazy=lazy)
        xr.testing.assert_equal(dataset.load(), expected)
        assert dataset["spikes"].attrs == expected["spikes"].attrs
        assert dataset["spikes"].dtype == bool
        assert dataset["kept"].dtype == bool
    assert dataset.attrs["session"] == "a"
    assert dataset.attrs["collision_share"] == expected.attrs["collision_share"] > 0
    # Whatever the chunks, the same hash.
    assert written.content == dataset.attrs["content"] == ingest.write_spikes(recording, 0.05, tmp_path / "b").content
    assert ingest.check_spikes(tmp_path / "spikes" / written.path)
    assert names(tmp_path / "spikes") == [written.path]


def test_write_spikes__leaves_what_xarray_opens_without_a_warning(tmp_path):
    recording = make()
    written = ingest.write_spikes(recording, 0.05, tmp_path)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / written.path).load(), bin_spikes(recording, 0.05))
    ingest.write_spikes(replace(recording, subject="m9"), 0.05, tmp_path)
    assert xr.open_zarr(tmp_path / written.path).attrs["subject"] == "m9"
    assert ingest.check_spikes(tmp_path / written.path)


def test_write_spikes__states_the_facts(tmp_path):
    written = ingest.write_spikes(make(), 0.05, tmp_path)
    expected = bin_spikes(make(), 0.05)
    n_spike = int(expected["spike_count"].sum())
    assert written.facts == {
        "n_unit": 7,
        "n_bin": 990,
        "n_segment": 4,
        "n_spike": n_spike,
        "spikes_lost": n_spike - int(expected["spikes"].sum()),
        "conditions": {"rest": 390, "task": 700},
        "subject": "",
        "files": {},
    }


def test_write_spikes__does_nothing_where_the_store_is(tmp_path, monkeypatch):
    first = ingest.write_spikes(make(), 0.05, tmp_path)
    monkeypatch.setattr(ingest, "bin_sparse", None)  # calling it would raise
    assert ingest.write_spikes(make(), 0.05, tmp_path) == first


def test_write_spikes__says_whose_they_are_and_bins_nothing_anew_for_it(tmp_path, monkeypatch):
    first = ingest.write_spikes(replace(make(), subject="m1"), 0.05, tmp_path)
    assert first.facts["subject"] == "m1" == ingest.open_spikes(tmp_path / first.path).attrs["subject"]
    older = json.loads((tmp_path / first.path / "zarr.json").read_text())
    del older["attributes"]["subject"]  # as stores were before they knew of animals
    (tmp_path / first.path / "zarr.json").write_text(json.dumps(older))
    monkeypatch.setattr(ingest, "bin_sparse", None)  # calling it would raise
    second = ingest.write_spikes(replace(make(), subject="m2"), 0.05, tmp_path)
    assert second == replace(first, facts={**first.facts, "subject": "m2"})
    assert ingest.open_spikes(tmp_path / second.path).attrs["subject"] == "m2"
    assert ingest.check_spikes(tmp_path / second.path)


def test_spikes_name__follows_content_options_and_binning_not_the_path():
    source = {"kind": "nwb", "path": "/a", "options": {"area": "x"}, "content": "1"}
    name = ingest.spikes_name("m", source, 0.01)
    assert name == ingest.spikes_name("m", {**source, "path": "/b"}, 0.01)
    others = [
        ingest.spikes_name("m", {**source, "content": "2"}, 0.01),
        ingest.spikes_name("m", {**source, "options": {}}, 0.01),
        ingest.spikes_name("m", {**source, "kind": "allen"}, 0.01),
        ingest.spikes_name("m", source, 0.02),
        ingest.spikes_name("n", source, 0.01),
    ]
    assert len({name, *others}) == 6
    assert "/" not in ingest.spikes_name("a/b", source, 0.01)


def test_content__sees_every_change(tmp_path):
    hashes = {ingest.write_spikes(make(), 0.05, tmp_path / "0").content}
    for change in ("spike", "area", "snr", "epoch", "trial"):
        recording = make()
        if change == "spike":
            recording.spike_times[2][0] = 0.0
            recording.spike_times[2][-1] = 19.0 if recording.spike_times[2][-2] < 19 else 60.0
            recording.spike_times[2].sort()
            recording.spike_times[2][100:] += 0.05
        elif change == "area":
            recording.units.loc[12, "area"] = "LM"
        elif change == "snr":
            recording.units.loc[12, "snr"] = 0.5
        elif change == "epoch":
            recording.epochs.loc[0, "stop"] = 19.0
        else:
            recording.epochs.loc[1, "trial"] = 5
        hashes.add(ingest.write_spikes(recording, 0.05, tmp_path / change).content)
    assert len(hashes) == 6


def test_source_content__is_read_once(tmp_path, monkeypatch):
    path, cache, read = tmp_path / "s.npz", tmp_path / "sources.json", []
    np.savez(path, S=np.eye(4, dtype=bool), bin_size=0.1)
    original = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: read.append(1) or original(*args))
    recording = read_recording(path)
    first = content.of_source(recording, cache)
    assert content.of_source(recording, cache) == first
    assert len(read) == 1
    os.utime(path, ns=(1, 1))
    assert content.of_source(recording, cache) == first
    assert len(read) == 2
    cache.write_text("{ damaged")
    assert content.of_source(recording, cache) == first
    np.savez(path, S=np.ones((4, 4), dtype=bool), bin_size=0.1)
    assert content.of_source(recording, cache) != first
    assert list(json.loads(cache.read_text())) == [str(path)]


@pytest.mark.parametrize("name", ["x", "y"])
def test_write_spikes__of_a_folder_with_a_file_that_changed_since_it_was_seen(tmp_path, name):
    for one in ("x", "y", "log"):
        (tmp_path / one).write_text("1")
    recording = make(source={"kind": "phy", "path": str(tmp_path), "files": ["x", "y"]})
    seen = content.identities(tmp_path)
    (tmp_path / "log").write_text("other files of the folder do not matter")
    ingest.write_spikes(recording, 0.05, tmp_path / "spikes", seen=seen)
    (tmp_path / "new").write_text("1")
    os.utime(tmp_path / "new", ns=(1, seen[str(tmp_path / name)][2]))
    (tmp_path / "new").replace(tmp_path / name)  # of the same size and time of change
    with pytest.raises(RecordingError, match=f"{name}' changes while it is read"):
        ingest.write_spikes(recording, 0.05, tmp_path / "spikes", seen=seen)


def test_source_content__of_folders_and_of_what_has_no_file(tmp_path):
    (tmp_path / "x").write_text("1")
    (tmp_path / "y").write_text("2")
    source = {"kind": "phy", "path": str(tmp_path), "files": ["x", "y"]}
    both = content.of_source(make(source=source), tmp_path / "sources.json")
    (tmp_path / "y").write_text("3")
    assert content.of_source(make(source=source), tmp_path / "sources.json") != both
    assert content.of_source(make(), tmp_path / "c") == content.of_source(make(), tmp_path / "c")
    assert content.of_source(make(), tmp_path / "c") != content.of_source(make(seed=1), tmp_path / "c")
    assert content.of_source(make(source={"content": "given"}), tmp_path / "c") == "given"
    (tmp_path / "x").unlink()
    with pytest.raises(RecordingError, match="does not exist any more"):
        content.of_source(make(source=source), tmp_path / "sources.json")


def test_write_spikes__full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(content, "add_block", full)
    with pytest.raises(StoreError, match=r"session 'a' cannot be stored in .* \(No space left on device\); make room"):
        ingest.write_spikes(make(), 0.05, tmp_path / "spikes")
    assert names(tmp_path / "spikes") == []


def test_write_spikes__where_there_can_be_no_folder(tmp_path):
    (tmp_path / "spikes").touch()
    with pytest.raises(StoreError, match="cannot be stored"):
        ingest.write_spikes(make(), 0.05, tmp_path / "spikes")


def test_write_spikes__names_the_problem_of_the_recording(tmp_path):
    with pytest.raises(RecordingError, match="bin size"):
        ingest.write_spikes(make(), -1.0, tmp_path)
    assert names(tmp_path) == []


def test_write_spikes__of_two_at_once_one_stays(tmp_path, monkeypatch):
    original, inner = content.add_block, []

    def overtaken(*args):
        if not inner:
            inner.append(None)
            inner[0] = ingest.write_spikes(make(), 0.05, tmp_path)
            inner.append((tmp_path / inner[0].path).stat().st_ino)
        return original(*args)

    monkeypatch.setattr(content, "add_block", overtaken)
    outer = ingest.write_spikes(make(), 0.05, tmp_path)
    assert outer == inner[0]
    assert names(tmp_path) == [outer.path]
    assert (tmp_path / outer.path).stat().st_ino == inner[1]  # the first to finish was left alone
    assert ingest.check_spikes(tmp_path / outer.path)


def test_write_spikes__replaces_a_damaged_store(tmp_path):
    written = ingest.write_spikes(make(), 0.05, tmp_path)
    (tmp_path / written.path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="Expected a finished store"):
        ingest.open_spikes(tmp_path / written.path)
    assert ingest.write_spikes(make(), 0.05, tmp_path) == written
    assert ingest.check_spikes(tmp_path / written.path)
    assert names(tmp_path) == [written.path]


def test_check_spikes__finds_damaged_and_missing_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "CHUNK_BYTES", 1 << 11)
    path = tmp_path / ingest.write_spikes(make(), 0.05, tmp_path).path
    chunk = path / "spikes" / "c" / "1" / "0"
    whole = chunk.read_bytes()
    for damaged in (whole[:-3], whole[:20], b""):
        chunk.write_bytes(damaged)
        assert not ingest.check_spikes(path)
    chunk.unlink()
    assert not ingest.check_spikes(path)
    chunk.write_bytes(whole)
    assert ingest.check_spikes(path)


def test_open_spikes__says_what_is_missing(tmp_path):
    with pytest.raises(StoreError, match=r"Expected a finished store of spikes at .*nothing"):
        ingest.open_spikes(tmp_path / "nothing")


def test_sweep__deletes_what_the_dead_left_only(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = staging.beside(tmp_path / "a.zarr")
    theirs = tmp_path / mine.name.replace(f"~{os.getpid()}~", f"~{dead.pid}~")
    elsewhere = tmp_path / ".a.zarr~another-host~1~00000000.part"
    for folder in (mine, theirs, elsewhere):
        folder.mkdir()
    staging.sweep(tmp_path)
    assert names(tmp_path) == sorted([mine.name, elsewhere.name])


CHILD = """
import sys, time
from pathlib import Path
from tests_ingest import make
from workflows import content, ingest
ingest.CHUNK_BYTES = 1 << 8
original = content.add_block
def slowly(*args):
    time.sleep(0.02)
    original(*args)
content.add_block = slowly
ingest.write_spikes(make(), 0.05, Path(sys.argv[1]))
"""


def test_write_spikes__killed_in_the_midst_then_run_again(tmp_path):
    script, folder = tmp_path / "child.py", tmp_path / "spikes"
    script.write_text(
        CHILD.replace("from tests_ingest import make", f"sys.path.insert(0, {str(tmp_path)!r})\nfrom it import make")
    )
    (tmp_path / "it.py").write_text(Path(__file__).read_text())
    random = np.random.default_rng(0)
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, str(script), str(folder)], env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        wanted = random.integers(1, 20)  # chunks that are there when the blow falls
        deadline = time.monotonic() + 60
        while len(list(folder.glob(f".*~{child.pid}~*.part/spikes/c/*/0"))) < wanted:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not list(folder.glob("*.zarr"))
        assert len(list(folder.glob(".*.part"))) == 1  # that of the one before was deleted
    undisturbed = ingest.write_spikes(make(), 0.05, tmp_path / "other")
    written = ingest.write_spikes(make(), 0.05, folder)
    assert written == undisturbed
    assert names(folder) == [written.path]
    xr.testing.assert_identical(*(ingest.open_spikes(place / written.path) for place in (folder, tmp_path / "other")))


def test_identities__of_nothing_of_what_is_not_there_and_of_folders(tmp_path):
    assert content.identities(None) == {}
    assert content.identities(tmp_path / "none") == {str(tmp_path / "none"): None}
    (tmp_path / "a").write_text("12")
    assert content.identities(tmp_path)[str(tmp_path / "a")] == content.identities(tmp_path / "a").popitem()[1]
    assert content.identities(tmp_path / "a")[str(tmp_path / "a")][1] == 2
