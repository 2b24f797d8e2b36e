"""A run followed in text until it ends."""

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from neq.errors import StoreError
from workflows import layout, lease
from workflows.commands import watch
from workflows.store import Store


def set_status(run, region, code):
    Store.open(run / "sweep.zarr", "r+").array("status")[region] = code


def watched(run, *steps, terminal=False, height=60):
    """Return what is shown while ``steps`` happen, one at each pause; the watch must end after the last."""
    left = list(steps)

    def sleep(seconds):
        left.pop(0)()

    out = io.StringIO()
    console = Console(file=out, width=100, height=height, force_terminal=terminal, color_system=None)
    watch.watch(run, console, sleep=sleep)
    assert not left
    return out.getvalue()


def nothing():
    pass


@pytest.fixture
def driven(run_copy):
    """A run with pending cells and a driver at work."""
    set_status(run_copy, np.s_[0], layout.PENDING)
    with lease.acquire(run_copy) as held:
        running = [f"block {i}" for i in range(10)]
        counts = {"n_cell": 36, "n_done": 18, "n_worker": 2, "rate": 1.0}
        held.progress({**counts, "running": running, "n_running": 300, "dashboard": ["http://127.0.0.1:8787/status"]})
        yield run_copy, held


def test_watch__a_plain_line_for_each_change(driven):
    run, held = driven
    lines = watched(run, nothing, lambda: set_status(run, np.s_[0], layout.OK), nothing, held.release).splitlines()
    assert len(lines) == 2
    assert "18 pending" in lines[0]
    assert "pending" not in lines[1]
    assert "\x1b" not in "".join(lines)


def test_watch__on_a_terminal_it_is_renewed(driven):
    run, held = driven
    shown = watched(run, lambda: set_status(run, np.s_[0], layout.OK), held.release, terminal=True)
    assert "50.0% done" in shown
    assert "100.0% done" in shown
    assert "running: block 5" in shown
    assert "running: block 6" not in shown
    assert "and 294 more" in shown
    assert re.search(r"as of \d\d:\d\d:\d\d", shown)
    assert "finished" in shown


def test_watch__on_a_small_terminal_the_table_is_cut_and_nothing_else(driven):
    run, held = driven
    shown = watched(run, nothing, held.release, terminal=True, height=12)
    first = shown.split("\x1b[?25l")[1].splitlines()[:12]
    assert any("50.0% done" in line for line in first)
    assert any("2 workers, 1 cells/s, 18 s left" in line for line in first)
    assert any("dashboard: http://127.0.0.1:8787/status" in line for line in first)
    assert not any("axis" in line for line in first)
    assert "..." in first[-1]


def test_view__one_rate_that_of_the_last_minute(driven):
    pace = watch.Pace()
    for now, n_done in ((0.0, 0), (10.0, 180)):
        pace.add(now, n_done)
    out = io.StringIO()
    Console(file=out, width=100).print(watch.view(watch.look(driven[0]), pace))
    lines = out.getvalue().splitlines()
    assert "2 workers, 18 cells/s, 1 s left" in lines
    assert out.getvalue().count("cells/s") == 1
    assert [line for line in lines if line.startswith("running: block 0")] == ["running: block 0"]


def test_watch__ends_at_once_where_nobody_drives(run_copy):
    assert watched(run_copy).count("\n") == 1


def test_watch__a_submitted_run_is_waited_for(run_copy):
    set_status(run_copy, np.s_[0], layout.PENDING)
    (run_copy / "jobs").mkdir(exist_ok=True)
    (run_copy / "jobs" / "submitted.json").write_text(json.dumps({"jobs": {"driver": 12}}))
    assert "18 pending" in watched(run_copy, nothing, lambda: set_status(run_copy, np.s_[0], layout.OK))


@pytest.mark.parametrize("end", ["given up", "cancelled", "driven by hand"])
def test_watch__a_submitted_run_ends_when_its_jobs_have_said_so(run_copy, end):
    set_status(run_copy, np.s_[0], layout.PENDING)
    note = run_copy / "jobs" / "submitted.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps({"jobs": {"driver": 12}, "end": ""}))
    watched(run_copy, nothing, lambda: note.write_text(json.dumps({"jobs": {"driver": 12}, "end": end})))


@pytest.mark.parametrize("terminal", [False, True])
def test_watch__a_submitted_run_that_has_not_begun_is_waited_for(run_copy, tmp_path, terminal):
    folder = tmp_path / "later"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "submitted.json").write_text(json.dumps({"jobs": {"driver": 12}}))
    begin = (run_copy / "sweep.zarr").rename
    shown = watched(folder, nothing, lambda: begin(folder / "sweep.zarr"), terminal=terminal)
    assert "no cells yet" in shown
    assert "36 cells: 12 ok" in shown


def test_watch__a_store_that_cannot_be_read_for_a_moment(driven):
    run, held = driven
    metadata, aside = run / "sweep.zarr" / "zarr.json", run / "zarr.json"
    lines = watched(run, lambda: metadata.rename(aside), lambda: aside.rename(metadata), held.release)
    assert lines.count("\n") == 1
    held = lease.acquire(run)
    watched(run, lambda: metadata.rename(aside), held.release)


def test_watch__ctrl_c_leaves_quietly(driven):
    def interrupt():
        raise KeyboardInterrupt

    assert "18 pending" in watched(driven[0], interrupt)
    assert "18" in watched(driven[0], interrupt, terminal=True)


def test_watch__no_run(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        watched(tmp_path)


@given(st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 50)), min_size=1, max_size=30))
def test_pace__the_mean_of_about_the_last_minute(steps):
    pace, now, done, seen = watch.Pace(), 0.0, 0, [(0.0, 0)]
    pace.add(0.0, 0)
    for seconds, n in steps:
        now, done = now + seconds, done + n
        pace.add(now, done)
        seen.append((now, done))
    # the latest moment a minute ago or earlier, else the first
    start = max((one for one in seen if now - one[0] >= watch.RATE_SECONDS), default=seen[0])
    assert pace.rate == pytest.approx((done - start[1]) / (now - start[0]))
