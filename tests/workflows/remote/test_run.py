"""Real drivers that keep their run on a real S3 server: killed, cut off, paused, followed."""

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import s3fs
import xarray as xr

import neq
from neq import seeds
from workflows.remote import fetch
from workflows.remote.place import Place
from workflows.store import STORE_NAME, Store

N_CELL = 48
STUDY = ("value", "n_unit", "reason", "drawn_unit")


def expected(cell):
    """What the toy study draws for a cell, computed here."""
    rng = seeds.generator(0, **cell)
    n = cell["size"] or 5
    return {"value": rng.normal(), "n_unit": n, "reason": f"é {n}", "drawn_unit": rng.permutation(max(n, 5))[:n]}


def check_whole(store_path, n_cell=N_CELL):
    """Every cell is ok and has the bits that it has anywhere."""
    store = Store.open(store_path)
    status = store.status()
    assert status.size == n_cell
    assert (status == 1).all()
    values = {name: store.read(name) for name in STUDY}
    for index in np.ndindex(status.shape):
        for name, value in expected(store.grid.cell(index)).items():
            found = values[name][index]
            assert np.array_equal(found[: len(value)] if name == "drawn_unit" else found, value)


def local_files(folder):
    skipped = ("leases", "owners", "remote.json")
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    keys = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {
        key: content
        for key, content in keys.items()
        if key.split("/")[0] not in skipped and not any(part.startswith(".") for part in key.split("/"))
    }


def at_url(url):
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    root = url.removeprefix("s3://")
    return {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}


def copied(url):
    return {key: content for key, content in at_url(url).items() if not key.startswith("lease/")}


def done_at(url, tmp_path):
    """Which run computed each cell that is ok at the URL now, by its place in the grid."""
    if not fetch.holds_run(Place(url)):
        return {}
    folder = tmp_path / f"look-{time.monotonic_ns()}"
    fetch.whole(Place(url), folder)
    store = Store.open(folder / STORE_NAME)
    status, run = store.status(), store.read("run")
    return {index: run[index] for index in np.ndindex(status.shape) if status[index] == 1}


def n_computed(said):
    return int(said.split(" computed in")[0].rsplit(", ", 1)[-1]) if " computed in" in said else 0


def test_run__small_run_is_kept(config_at, place_of_own, drive, tmp_path):
    code, said = drive(config_at(sessions=["a"], sizes=[2], repetitions=4)).end()
    assert code == 0, said
    assert f"{place_of_own} is complete" in said
    check_whole(tmp_path / "work" / STORE_NAME, n_cell=4)
    assert copied(place_of_own) == local_files(tmp_path / "work")


@pytest.mark.long
def test_run__copy_is_whole_and_a_reader_never_sees_a_half_written_cell(config_at, place_of_own, drive, tmp_path):
    driver = drive(config_at(seconds=0.12, big=True, slow_flush=0.005))
    seen = set()
    while driver.process.poll() is None:
        try:
            run = neq.open_run(place_of_own, ["value", "n_unit", "reason", "theta"])
        except neq.errors.StoreError:
            assert not seen
            continue
        ok = (run["status"] == "ok").values
        seen.add(int(ok.sum()))
        assert np.isfinite(run["value"].values[ok]).all()
        assert (run["n_unit"].values[ok] >= 2).all()
        assert np.isfinite(run["theta"].values[ok]).all()
    code, said = driver.end()
    assert code == 0, said
    assert n_computed(said) == N_CELL
    assert f"{place_of_own} is complete" in said
    assert len(seen - {0, N_CELL}) >= 2  # it was read while it grew
    check_whole(tmp_path / "work" / STORE_NAME)
    assert copied(place_of_own) == local_files(tmp_path / "work")
    assert (neq.open_run(place_of_own)["status"] == "ok").all()
    with xr.open_zarr(f"{place_of_own}/{STORE_NAME}") as plain:
        assert np.isfinite(plain["value"].values).all()


@pytest.mark.long
def test_run__killed_in_mid_upload_with_and_without_its_work_folder(config_at, place_of_own, drive, way, tmp_path):
    way.cut()
    way.open(rate=60_000)
    work = tmp_path / "work"
    config = config_at(seconds=0.1)
    (work / "notes").mkdir(parents=True)
    (work / "notes" / "big").write_bytes(random.Random(1).randbytes(2_000_000))
    rng = random.Random(5)
    before, cut_off = {}, 0
    for life in range(4):
        driver = drive(config, port=way.port)
        deadline = time.monotonic() + 60
        while not (work / STORE_NAME / "status").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(rng.uniform(1.5, 5.0))
        driver.kill()
        now = done_at(place_of_own, tmp_path)
        # what was at the URL is there, computed by the run that computed it before
        assert before.items() <= now.items()
        before = now
        cut_off += not any(key == "notes/big" for key in at_url(place_of_own))
        if life % 2:
            shutil.rmtree(work)
    assert cut_off  # a big object was under way
    code, said = drive(config).end()
    assert code == 0, said
    assert n_computed(said) == N_CELL - len(before)
    assert before.items() <= done_at(place_of_own, tmp_path).items()
    check_whole(work / STORE_NAME)
    assert copied(place_of_own) == local_files(work)


@pytest.mark.long
def test_run__server_goes_away_and_comes_back(config_at, place_of_own, drive, way, tmp_path):
    driver = drive(config_at(seconds=0.4), port=way.port, AWS_MAX_ATTEMPTS="1")
    for _ in range(2):
        while not (tmp_path / "work" / STORE_NAME / "status").exists():
            time.sleep(0.1)
        time.sleep(1.5)
        way.cut()
        time.sleep(4.0)
        way.open()
    code, said = driver.end()
    assert code == 0, said
    assert "the copy falls behind, the sweep goes on" in said
    assert copied(place_of_own) == local_files(tmp_path / "work")


@pytest.mark.long
def test_run__server_that_stays_away_fails_the_run_and_the_next_completes_the_copy(
    config_at, place_of_own, drive, way, tmp_path
):
    config = config_at(seconds=0.1, last_tries=[0.2])
    driver = drive(config, port=way.port)
    while not (tmp_path / "work" / STORE_NAME / "status").exists():
        time.sleep(0.1)
    way.cut()
    code, said = driver.end()
    assert code == 1
    assert said.count("falls behind") == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"neq: The copy at {place_of_own} is not complete")
    assert "cannot be reached" in last
    assert "give the same command again" in last
    check_whole(tmp_path / "work" / STORE_NAME)
    code, said = drive(config).end()
    assert code == 0, said
    assert n_computed(said) == 0
    assert copied(place_of_own) == local_files(tmp_path / "work")


@pytest.mark.long
def test_run__paused_driver_is_followed_and_writes_nothing_when_it_wakes(config_at, place_of_own, drive, way, tmp_path):
    keys = {"silence_seconds": 4.0, "beat_seconds": 0.5, "seconds": 0.1}
    way.cut()
    way.open(rate=40_000)
    paused = drive(config_at("old.yaml", work=str(tmp_path / "old"), **keys), port=way.port)
    while not done_at(place_of_own, tmp_path):
        time.sleep(0.3)
    paused.send(signal.SIGSTOP)
    before = done_at(place_of_own, tmp_path)
    new = config_at("new.yaml", work=str(tmp_path / "new"), **keys)
    refused, said = drive(new, "--set", "silence_seconds=60").end()
    assert refused == 2
    assert f"{place_of_own} is in use: process {paused.process.pid}" in said
    time.sleep(5.0)
    code, said = drive(new).end()
    assert code == 0, said
    assert n_computed(said) == N_CELL - len(before)
    whole = copied(place_of_own)
    assert whole == local_files(tmp_path / "new")
    paused.send(signal.SIGCONT)
    code, said = paused.end()
    assert code == 1
    assert f"Another driver has taken {place_of_own} over" in said
    assert copied(place_of_own) == whole


@pytest.mark.long
def test_run__work_folder_left_behind_catches_up(config_at, place_of_own, drive, tmp_path):
    """What another machine did since is brought in; what only this folder has is kept; nothing is computed twice."""
    ours = config_at("ours.yaml", work=str(tmp_path / "ours"), seconds=0.1, pass_seconds=60.0)
    driver = drive(ours)
    status = tmp_path / "ours" / STORE_NAME / "status"
    while not len(list(status.glob("c.*"))) > 2:
        time.sleep(0.1)
    driver.kill()
    here = Store.open(tmp_path / "ours" / STORE_NAME)
    had = {here.grid.names: [here.grid.cell(i) for i in np.ndindex(here.shape) if here.status()[i] == 1]}
    had = [tuple(cell.values()) for cells in had.values() for cell in cells]
    assert 0 < len(had) < N_CELL
    assert not fetch.holds_run(Place(place_of_own))  # nothing of it had gone up
    theirs = config_at("theirs.yaml", work=str(tmp_path / "theirs"), sessions=["b"])
    assert drive(theirs).end()[0] == 0
    only_ours = sum(session == "a" for session, *_ in had)
    code, said = drive(ours).end()
    assert code == 0, said
    assert n_computed(said) == N_CELL // 2 - only_ours
    check_whole(tmp_path / "ours" / STORE_NAME)
    assert copied(place_of_own) == local_files(tmp_path / "ours")
    # and what lags behind without cells of its own takes what there is
    code, said = drive(theirs, "--set", "sessions=[a, b]").end()
    assert code == 0, said
    assert n_computed(said) == 0
    check_whole(tmp_path / "theirs" / STORE_NAME)


@pytest.mark.long
def test_rerun__of_a_run_that_was_fetched_goes_on_at_its_url(config_at, place_of_own, drive, tmp_path):
    code, said = drive(config_at(repetitions=6)).end()
    assert code == 0, said
    before = done_at(place_of_own, tmp_path)
    folder = tmp_path / "fetched"
    code, said = drive("fetch", place_of_own, folder).end()
    assert (code, said.splitlines()[-1]) == (0, f"{folder}: 24 cells fetched")
    code, said = drive("status", place_of_own).end()
    assert (code, "24 cells: 24 ok" in said, "finished" in said) == (0, True, True)
    code, said = drive("rerun", folder, "--where", "repetition == 1").end()
    assert code == 0, said
    after = done_at(place_of_own, tmp_path)
    assert {index for index in after if after[index] != before[index]} == {index for index in before if index[-1] == 1}
    check_whole(folder / STORE_NAME, n_cell=24)
    assert copied(place_of_own) == local_files(folder)
