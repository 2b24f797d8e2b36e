import math
import warnings

import numpy as np
import pytest

from neq.errors import LeaseLostError
from workflows import layout, store
from workflows.blocks import owners, task
from workflows.blocks.block import BlockValues
from workflows.blocks.cells import Meter, run_cell
from workflows.grid import Grid
from workflows.store import Store
from workflows.studies.base import Output


@pytest.fixture
def run(tmp_path, toy):
    """Run blocks of a toy study in this process, without a lease."""
    tokens = iter(f"1-{n}" for n in range(1, 99))

    def run(block="0.0.0.0", grant=True, token=None, folder=tmp_path, **options):
        token = token or next(tokens)
        if grant:
            owners.grant(folder, block, token)
        return task.run_block(str(folder), block, token, **options)

    def make(**keys):
        study = toy(**keys)
        store.create(tmp_path / "sweep.zarr", study, [], Grid(study.axes()))
        return run

    make.run = run
    return make


def opened(tmp_path):
    return Store.open(tmp_path / "sweep.zarr")


def cell_of(tmp_path, name, **labels):
    found = opened(tmp_path)
    return found.read(name)[found.grid.mask({axis: (label,) for axis, label in labels.items()})].tolist()


def test_block__failures_are_data(tmp_path, run):
    run(sessions=("a", "bad"), sizes=(2, 13))
    assert run.run("0.0.0.0")["impossible"] == 1
    assert run.run("1.0.0.0")["failed"] == 1
    status = opened(tmp_path).status()
    assert status[:, 0, :, 0].tolist() == [[1, 3], [2, 3]]
    assert "13 is larger" in cell_of(tmp_path, "error", session="a", condition="rest", size=13, repetition=0)[0]
    error = opened(tmp_path).read("error")[1, 0, 0, 0]
    assert error.startswith("no number for bad")
    assert "in compute" in error
    assert error.rstrip().endswith("repetition 0")
    assert opened(tmp_path).read("error_type")[1, 0].ravel()[:1].tolist() == ["ValueError"]
    assert math.isnan(opened(tmp_path).read("value")[1, 0, 0, 0])


def test_block__memory_error_and_warnings_do_not_end_it(tmp_path, run):
    run(no_memory="a/rest/2/0", warn="a/rest/4/0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.run()["state"] == "done"
    found = opened(tmp_path)
    assert found.status()[0, 0, :, 0].tolist() == [2, 1, 1]
    assert found.read("error_type")[0, 0, 0, 0] == "MemoryError"


@pytest.mark.parametrize(("seconds", "n_flush"), [(0.0, 4), (60.0, 1)])
def test_block__writes_as_often_as_it_is_told(run, monkeypatch, seconds, n_flush):
    made = run(sessions=("a",), conditions=("rest",), sizes=(2, 4, 5))
    flushes = []
    flush = BlockValues.flush
    monkeypatch.setattr(BlockValues, "flush", lambda values, fence: flushes.append(flush(values, fence)))
    assert made(flush_seconds=seconds)["ok"] == 3
    # the last one is at the end of the block, whether or not anything is left to write
    assert len(flushes) == n_flush


def test_block__leaving_keeps_what_is_finished(tmp_path, run):
    run(leave="a/rest/0/0")
    with pytest.raises(SystemExit):
        run.run()
    assert opened(tmp_path).status()[0, 0, :, 0].tolist() == [1, 1, 0]


def test_block__computes_only_what_is_pending_and_asked_for(tmp_path, run):
    run()
    assert run.run(cells=[1])["ok"] == 1
    assert opened(tmp_path).status()[0, 0, :, 0].tolist() == [0, 1, 0]
    before = opened(tmp_path).read("value")[0, 0, 1, 0]
    assert run.run(run_id="second")["ok"] == 2
    assert opened(tmp_path).read("value")[0, 0, 1, 0] == before
    assert opened(tmp_path).read("run")[0, 0, :, 0].tolist() == ["second", "", "second"]
    assert run.run() == {"block": "0.0.0.0", "state": "done", "message": "", "seconds": 0.0, "longest": 0.0}


def test_block__condemned_cells_are_marked(tmp_path, run):
    run()
    result = run.run(condemned={2: "The worker died in this cell 3 times."})
    assert (result["ok"], result["failed"]) == (2, 1)
    found = opened(tmp_path)
    assert found.read("error_type")[0, 0, :, 0].tolist() == ["", "", "WorkerLost"]
    assert found.read("error")[0, 0, 2, 0] == "The worker died in this cell 3 times."


def test_block__attempts_are_counted_from_marks(tmp_path, run):
    run(leave="a/rest/4/0")
    for _ in range(2):
        with pytest.raises(SystemExit):
            run.run()
    owners.revoke(tmp_path, "0.0.0.0", epoch=1)
    owners.revoke(tmp_path, "0.0.0.0", epoch=1)
    assert owners.earlier_starts(tmp_path, "0.0.0.0") == {0: 1, 1: 2}
    run.run(condemned={1: "x"})
    assert opened(tmp_path).read("attempts")[0, 0, :, 0].tolist() == [1, 2, 1]


def test_block__without_its_token_folder_writes_nothing(tmp_path, run):
    run()
    assert run.run(token="1-50", grant=False)["state"] == "fenced"
    owners.grant(tmp_path, "0.0.0.0", "1-51")
    owners.grant(tmp_path, "0.0.0.0", "1-52")
    assert run.run(token="1-51", grant=False)["state"] == "fenced"
    assert (opened(tmp_path).status() == 0).all()
    assert run.run(token="1-52", grant=False)["state"] == "done"
    assert run.run(token="1-52", grant=False)["state"] == "claimed"


def test_block__revoked_between_two_writes(tmp_path, run, monkeypatch):
    run()
    write, written = task.Fence.write, []

    def revoke_after_some(self, path, content):
        if len(written) == 5:
            owners.grant(tmp_path, "0.0.0.0", "2-1")
        write(self, path, content)
        written.append(path)

    monkeypatch.setattr(task.Fence, "write", revoke_after_some)
    assert run.run()["state"] == "fenced"
    assert len(written) == 5
    monkeypatch.undo()
    assert (opened(tmp_path).status() == 0).all()
    assert run.run(token="2-1", grant=False)["ok"] == 3


def test_grant__older_driver_gives_way(tmp_path):
    owners.grant(tmp_path, "0", "2-1")
    with pytest.raises(LeaseLostError):
        owners.grant(tmp_path, "0", "1-7")
    assert sorted(path.name for path in (tmp_path / "owners" / "0").iterdir()) == ["2-1"]


def test_block__full_disk_is_a_state(tmp_path, run, monkeypatch):
    run()

    def full(self, path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task.Fence, "write", full)
    result = run.run()
    assert result["state"] == "disk"
    assert "No space left on device. Free some space" in result["message"]


@pytest.mark.parametrize("damage", ["rubbish", "missing"])
def test_block__damaged_chunk_is_a_state(tmp_path, run, damage):
    run()
    run.run(cells=[0])
    path = layout.chunk_path(tmp_path / "sweep.zarr", "value", (0, 0, 0, 0))
    path.write_bytes(b"rubbish") if damage == "rubbish" else path.unlink()
    result = run.run()
    assert result["state"] == "chunk"
    assert "variable value, block 0.0.0.0" in result["message"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"x": 1.0, "other": 2}, "compute returned other, which"),
        ({"n": 1.5}, "n = 1.5 is no int64"),
        ({"n": float("nan")}, "n = nan is no int64"),
        ({"quality": 256}, "quality = 256 is no uint8"),
        ({"x": [1.0, 2.0]}, r"x has shape \(2,\)"),
        ({"drawn": np.arange(4)}, r"drawn has shape \(4,\), which does not fit into {'drawn': 3}"),
        ({"x": "text"}, "could not convert"),
    ],
)
def test_cell__values_that_do_not_fit_are_failures(tmp_path, toy, monkeypatch, values, error):
    study = toy()
    outputs = {"x": Output("x"), "n": Output("n", "i8"), "drawn": Output("drawn", "i8", dims=("drawn",))}
    monkeypatch.setattr(study, "compute", lambda cell, inputs: values)
    with np.errstate(all="ignore"):
        record = run_cell(study, {}, None, tmp_path, outputs, {"drawn": 3})
    assert (record["status"], record["error_type"]) == (layout.FAILED, "ValueError")
    with pytest.raises(AssertionError, match=error):
        raise AssertionError(record["error"])


def test_cell__errors_have_the_same_bits_each_time(tmp_path, toy, monkeypatch):
    study = toy()

    def compute(cell, inputs):
        raise RuntimeError(f"bad {object()!r} \udcff")

    monkeypatch.setattr(study, "compute", compute)
    first, second = (run_cell(study, {}, None, tmp_path, {}, {}) for _ in range(2))
    assert first == second
    assert "0x..." in first["error"]


def test_meter__sees_the_peak_of_its_cell_only():
    block = np.ones(40_000_000)
    del block
    meter = Meter()
    small = meter.read()["peak_memory"]
    block = np.ones(40_000_000)
    del block
    assert meter.read()["peak_memory"] > small + 250
