from dataclasses import asdict

import numpy as np
import pytest

from neq.errors import ChunkError, LeaseLostError, StoreError, SweepError
from workflows import engine, layout, lease, sources, store
from workflows.blocks import crew, dispatch, order
from workflows.grid import Grid
from workflows.store import Store

# distributed drops half-open sockets when a worker dies
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def sweep(folder, study, client, **options):
    with lease.acquire(folder) as held:
        prepared = sources.ingest(folder, study, client, held)
        engine.prepare_store(folder, study, prepared, held)
        return engine.run_sweep(folder, study, study.config, client, held, **options)


def opened_after(folder, study):
    return store.create(folder / "sweep.zarr", study, [], Grid(study.axes()))


def opened(folder):
    return Store.open(folder / "sweep.zarr")


def test_sweep__computes_every_cell(tmp_path, toy, client):
    seen = []
    result = sweep(tmp_path, toy(big=True), client, progress=lambda *counts: seen.append(counts), run_id="r1")
    assert (result.n_cell, result.n_ok, result.n_computed) == (48, 48, 48)
    assert seen[0] == (0, 48, 0)
    assert seen[-1] == (48, 48, 0)
    found = opened(tmp_path)
    assert (found.status() == layout.OK).all()
    assert not np.isnan(found.read("value")).any()
    assert not np.isnan(found.read("theta")).any()
    assert set(found.read("run").ravel()) == {"r1"}
    assert (found.read("seconds") > 0).all()
    assert (found.read("peak_memory") > 10).all()
    assert (found.read("attempts") == 1).all()
    assert list((tmp_path / "owners").iterdir()) == []
    again = sweep(tmp_path, toy(big=True), client)
    assert (again.n_ok, again.n_computed) == (48, 0)


def test_sweep__bits_do_not_depend_on_blocks_and_workers(tmp_path, toy, client):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sweep(whole, toy(repetitions=6), client)
    sweep(cut, toy(repetitions=2, sweep={"block": {"repetition": 4, "size": 2, "condition": 2}}), client)
    sweep(cut, toy(repetitions=6), client)
    for name in (*opened(whole).study_outputs, "status", "quality", "error"):
        np.testing.assert_array_equal(opened(whole).read(name), opened(cut).read(name))


def test_sweep__leaves_other_labels_alone(tmp_path, toy, client):
    result = sweep(tmp_path, toy(repetitions=2), client, only=np.zeros((2, 2, 3, 2), bool))
    assert (result.n_cell, result.n_computed) == (0, 0)
    result = sweep(tmp_path, toy(repetitions=1, sessions=("b", "c")), client)
    assert (result.n_cell, result.n_ok) == (12, 12)
    done = opened(tmp_path).status()
    assert done.shape == (3, 2, 3, 2)
    assert done[:, 0, 0].tolist() == [[0, 0], [1, 0], [1, 0]]


def test_sweep__sources_that_cannot_be_read(tmp_path, toy, client):
    (tmp_path / "a.txt").write_text("one")
    study = toy(with_sources=True, sessions=("a", "b", "c"))
    (tmp_path / "c.txt").write_text("die")
    result = sweep(tmp_path, study, client)
    assert (result.n_ok, result.n_failed) == (24, 48)
    found = opened(tmp_path)
    assert set(found.read("error_type").ravel()) == {"", "IngestError"}
    assert found.read("error")[1, 0, 0, 0].startswith("FileNotFoundError: [Errno 2] No such file")
    assert found.read("error")[2, 0, 0, 0] == (
        "WorkerLost: the worker died while it read this source; the last time: it was killed from outside or ran out "
        "of memory"
    )
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "c.txt").write_text("three")
    result = sweep(tmp_path, study, client)
    assert (result.n_ok, result.n_computed) == (72, 48)
    # gone again after it was computed: nothing is lost
    (tmp_path / "b.txt").unlink()
    assert sweep(tmp_path, study, client).n_ok == 72


def test_sweep__cell_that_kills_its_worker_fails_alone(tmp_path, toy, client):
    result = sweep(tmp_path, toy(die="a/move/4/1", sweep={"deaths": 2, "block": {"repetition": 4}}), client)
    assert (result.n_ok, result.n_failed, result.n_pending) == (47, 1, 0)
    found = opened(tmp_path)
    place = (0, 1, 1, 1)
    assert found.status()[place] == layout.FAILED
    assert found.read("error_type")[place] == "WorkerLost"
    assert found.read("error")[place].startswith("The worker died in this cell 2 times; the last time: it was killed")
    assert found.read("attempts")[place] == 2
    assert list((tmp_path / "owners").iterdir()) == []


def test_sweep__damaged_block_is_named_and_the_rest_computed(tmp_path, toy, client):
    study = toy(repetitions=2)
    sweep(tmp_path, study, client, only=opened_after(tmp_path, study).grid.mask({"size": (2, 4)}))
    layout.chunk_path(tmp_path / "sweep.zarr", "value", (0, 1, 0, 0)).write_bytes(b"rubbish")
    with pytest.raises(ChunkError, match=r"variable value, block 0\.1\.0\.0, .* All other cells are done"):
        sweep(tmp_path, study, client)
    status = opened(tmp_path).status()
    assert np.argwhere(status == layout.PENDING).tolist() == [[0, 1, 2, 0]]
    assert int((status == layout.OK).sum()) == status.size - 1


def test_sweep__lease_lost(tmp_path, toy, client):
    study = toy(seconds=0.05)
    with lease.acquire(tmp_path) as held:
        engine.prepare_store(tmp_path, study, [], held)

        def steal(done, total, failed):
            (tmp_path / "leases" / "9.json").write_text("{}")

        with pytest.raises(LeaseLostError, match="lease 9, ours was 1"):
            engine.run_sweep(tmp_path, study, study.config, client, held, progress=steal)


def test_sweep__without_a_store(tmp_path, toy, client):
    study = toy()
    with lease.acquire(tmp_path) as held, pytest.raises(StoreError, match="There is no store"):
        engine.run_sweep(tmp_path, study, study.config, client, held)


def test_sweep__no_workers(tmp_path, toy, client, monkeypatch):
    monkeypatch.setattr(crew, "NO_WORKER_SECONDS", 0.0)
    monkeypatch.setattr(dispatch, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(type(client), "nthreads", lambda self: {})
    with pytest.raises(SweepError, match="There has been no worker"):
        sweep(tmp_path, toy(seconds=2.0), client)


def test_sweep__study_that_workers_cannot_run(tmp_path, toy, client):
    study = toy()
    with lease.acquire(tmp_path) as held:
        found = engine.prepare_store(tmp_path, study, [], held)
        found.group.attrs["neq"] = {**found.attrs, "study": "toy_study:Nothing"}
        monkey = pytest.MonkeyPatch()
        monkey.setattr(store.Store, "study", study)
        with pytest.raises(SweepError, match="failed outside its cells"):
            engine.run_sweep(tmp_path, study, study.config, client, held)
        monkey.undo()


def test_sweep__stops_when_nothing_comes_of_it(tmp_path, toy, client, monkeypatch):
    monkeypatch.setattr(dispatch.Dispatch, "run", lambda self, pending: None)
    with pytest.raises(SweepError, match=r"48 cells of .* stay pending"):
        sweep(tmp_path, toy(), client)


def test_ctrl_c__stops_cleanly_and_goes_on(tmp_path, toy, client):
    study = toy(seconds=0.02)

    def interrupt(done, total, failed):
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, study, client, progress=interrupt)
    assert lease.current(tmp_path) is None
    assert not [path for path in (tmp_path / "owners").glob("*/*") if path.is_dir()]
    assert sweep(tmp_path, study, client).n_ok == 48


def test_order__costliest_blocks_first_and_bounded(tmp_path, toy):
    study = toy(sizes=(2, 40), sweep={"block": {"size": 1}})
    found = store.create(tmp_path / "s.zarr", study, [], Grid(study.axes()), study.config.sweep.block)
    ordered = order.costliest_first(found, np.ones(found.shape, bool))
    assert [found.labels("size")[int(block.split(".")[2])] for block in ordered] == [40] * 16 + [2] * 16


def test_result__adds_up(tmp_path, toy, client):
    result = sweep(tmp_path, toy(sessions=("a", "bad"), sizes=(2, 13)), client)
    counts = asdict(result)
    assert (result.n_ok, result.n_impossible, result.n_failed) == (8, 16, 8)
    assert sum(counts[f"n_{name}"] for name in layout.STATUS_NAMES) == result.n_cell == 32
