"""How far a run is, from its files alone."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from neq.errors import StoreError
from workflows import layout, lease
from workflows.blocks import owners
from workflows.commands import status
from workflows.grid import Grid
from workflows.store import Store
from workflows.studies.base import Axis


def text(run):
    out = io.StringIO()
    Console(file=out, width=120).print(status.show(status.look(run)))
    return out.getvalue()


def reset(run, mask):
    array = Store.open(run / "sweep.zarr", "r+").array("status")
    codes = array[:]
    codes[mask] = layout.PENDING
    array[:] = codes


def test_look__counts_along_each_axis(run_copy):
    snapshot = status.look(run_copy)
    assert snapshot.counts == {"ok": 12, "failed": 12, "impossible": 12, "not_needed": 0, "running": 0, "pending": 0}
    by_label = {(row.axis, row.label): row.counts for row in snapshot.rows}
    assert by_label["session", "bad1"]["failed"] == 12
    assert by_label["size", "13"]["impossible"] == 12
    assert by_label["size", "all"]["ok"] == 6
    assert "finished" in text(run_copy)


def test_look__nobody_drives_and_cells_are_left(run_copy):
    reset(run_copy, np.s_[0])
    assert status.look(run_copy).counts["pending"] == 18
    assert f"go on: neq run {run_copy}/config.yaml" in text(run_copy).replace("\n", "")


def test_look__a_driver_at_work(run_copy):
    reset(run_copy, np.s_[0])
    with lease.acquire(run_copy) as held:
        token = owners.grant(run_copy, "0.0.0.0", held.token())
        (token / owners.STARTED).write_bytes(b"0000001\n")
        counts = {"n_cell": 36, "n_done": 18, "n_worker": 2, "rate": 2.0}
        ways = ["http://127.0.0.1:8787/status", "from your own machine:", "  ssh -N -L 8787:127.0.0.1:8787 ada@login1"]
        held.progress({**counts, "dashboard": ways})
        snapshot = status.look(run_copy)
        assert (snapshot.counts["running"], snapshot.counts["pending"]) == (1, 17)
        shown = text(run_copy)
    assert "2 workers, 2 cells/s, 9 s left" in shown
    assert "dashboard: http://127.0.0.1:8787/status\nfrom your own machine:\n  ssh -N -L 8787:127.0.0.1" in shown
    assert "driven by process" in shown


def test_look__before_there_is_a_store(tmp_path):
    with lease.acquire(tmp_path) as held:
        held.progress({"stage": "ingest", "done": 1, "total": 3})
        assert "ingest: 1 of 3" in text(tmp_path)
    with pytest.raises(StoreError, match="no store"):
        status.look(tmp_path)


def test_look__labels_left_out_of_the_config_do_not_count(run_copy):
    reset(run_copy, np.s_[0])
    header = run_copy / "sweep.zarr" / "zarr.json"
    content = json.loads(header.read_text())
    content["attributes"]["neq"]["named"]["session"] = ["bad1"]
    header.write_text(json.dumps(content))
    assert status.look(run_copy).counts["pending"] == 0


def test_look__where_the_study_cannot_be_imported(run_copy):
    path = run_copy / "sweep.zarr" / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["neq"]["study"] = "a_module_of_another_machine:Study"
    path.write_text(json.dumps(content))
    assert status.look(run_copy).counts["ok"] == 12
    assert "finished" in text(run_copy)


def test_rows__long_axes_in_ranges(toy):
    grid = Grid(toy(repetitions=100).axes())
    rows = [row for row in status._rows(grid, np.zeros(grid.shape, "u1")) if row.axis == "repetition"]
    assert len(rows) == status.MOST_ROWS
    assert rows[0].label == "0 to 8"
    assert sum(row.counts["ok"] for row in rows) == grid.n_cell


def test_rows__ranges_of_an_axis_that_has_grown_hold_the_labels_they_name():
    names = [f"s{number}" for number in [*range(100, 104), *range(1, 21)]]
    states = np.full((len(names), 1), status.STATES.index("pending"), "u1")
    states[:4] = status.STATES.index("ok")
    rows = list(status._rows(Grid((Axis("session", tuple(names)), Axis("size", (10,)))), states))
    assert [row.label for row in rows][:2] == ["s1 to s2", "s3 to s4"]
    assert {row.label: row.counts["ok"] for row in rows if row.counts["ok"]} == {"s100 to s101": 2, "s102 to s103": 2}


def test_rows__an_axis_of_few_labels_is_as_the_config_has_it():
    grid = Grid((Axis("condition", ("passive", "active")), Axis("size", (10,))))
    rows = status._rows(grid, np.zeros(grid.shape, "u1"))
    assert [row.label for row in rows] == ["passive", "active"]


def test_look__submitted_jobs_that_wait(run_copy):
    reset(run_copy, np.s_[0])
    (run_copy / "jobs").mkdir(exist_ok=True)
    (run_copy / "jobs" / "submitted.json").write_text(json.dumps({"jobs": {"driver": 12, "next": 13}}))
    assert "jobs 12,13 were submitted for it" in text(run_copy)
    token = owners.grant(run_copy, "0.0.0.0", "1-1")
    (token / owners.STARTED).write_bytes(b"0000001\n")
    assert status.look(run_copy).counts["running"] == 1


def test_look__an_array_that_computes_and_one_that_has_ended(run_copy):
    reset(run_copy, np.s_[0])
    note = run_copy / "jobs" / "submitted.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps({"jobs": {"tasks": 12}, "tasks": 4}))
    assert "jobs 12 were submitted for it, none of them works on it now" in text(run_copy)
    token = owners.grant(run_copy, "0.0.0.0", "1-1")
    (token / owners.STARTED).write_bytes(b"0000001\n")
    assert "tasks of jobs 12 compute it, without a driver" in text(run_copy)
    note.write_text(json.dumps({"jobs": {"tasks": 12}, "tasks": 4, "end": "given up"}))
    assert "its jobs have ended, given up: see their logs in" in text(run_copy)
    assert "nobody drives it; go on: neq run" in text(run_copy)


def test_look__submitted_jobs_that_have_not_begun(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "submitted.json").write_text(json.dumps({"jobs": {"driver": 12}}))
    assert not status.look(tmp_path).finished
    assert f"{tmp_path}: no cells yet\njobs 12 were submitted for it" in text(tmp_path)


def test_running__the_last_cell_of_each_owner(tmp_path):
    assert list(owners.running(tmp_path)) == []
    for block, marks in {"0.0": b"0000001\n0000002\n", "0.1": b"", "1.0": b"0000003\n00000"}.items():
        (owners.grant(tmp_path, block, "1-1") / owners.STARTED).write_bytes(marks)
    gone = owners.block_folder(tmp_path, "1.1") / f"{owners.GONE}1-1"
    gone.mkdir(parents=True)
    (gone / owners.STARTED).write_bytes(b"0000004\n")
    (owners.block_folder(tmp_path, "1.1") / owners.STARTED).write_text("1-0 4\n")
    owners.add_death(tmp_path, "1.0", 3, "OUT_OF_MEMORY")
    owners.add_loss(tmp_path, "1.0", 3, "PREEMPTED")
    assert sorted(owners.running(tmp_path)) == [("0.0", 2), ("1.0", 3)]
