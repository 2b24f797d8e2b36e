"""The verdict of the chaos run on stores that are right, and on one that is not."""

import numpy as np
import pytest

from benchmarks.chaos_parts.table import job_ends
from benchmarks.chaos_parts.verdict import judge
from workflows import layout
from workflows.store import Store


@pytest.fixture
def study(toy):
    return toy(sessions=("a", "bad1"), sizes=(2, 13, "all"), big=True, repetitions=3)


def test_judge__cells_without_a_value_are_lost_and_no_others(run_copy, study):
    store = Store.open(run_copy / "sweep.zarr")
    found = judge(store, study, deadly="")
    status = store.status()
    assert len(found.lost) == (status != layout.OK).sum() > 0
    assert (found.wrong, found.good) == ({}, False)
    assert found.lost["bad1/rest/2/0"].startswith("failed: no number for bad1, repetition 0")
    assert found.starts == {1: status.size}


@pytest.mark.parametrize("name", ["value", "drawn_unit", "theta", "reason", "quality"])
def test_judge__a_bit_that_differs(run_copy, study, name):
    store = Store.open(run_copy / "sweep.zarr", "r+")
    place = (0, 1, 2, 1)
    values = store.array(name)[place]
    store.array(name)[place] = "x" if name == "reason" else np.nextafter(values, 9) if name in ("value", "theta") else 3
    assert not np.array_equal(store.read(name)[place], values)
    found = judge(Store.open(run_copy / "sweep.zarr"), study, deadly="")
    assert list(found.wrong) == ["a/move/0/1"]
    assert found.wrong["a/move/0/1"].startswith(name)


def test_judge__the_deadly_cell_has_to_fail_as_a_lost_worker(run_copy, study):
    store = Store.open(run_copy / "sweep.zarr")
    assert "a/rest/2/0" in judge(store, study, deadly="a/rest/2/0").wrong
    assert "bad1/rest/2/0" in judge(store, study, deadly="bad1/rest/2/0").wrong


def test_job_ends__by_cause():
    lines = ["x job 3 ended: TIMEOUT: its walltime was over (job 3 on n1)", "x job 4 ended: COMPLETED (job 4 on n2)"]
    again = lines[0].replace("3", "5")
    assert job_ends("\n".join([*lines, again])) == {"TIMEOUT: its walltime was over": 2, "COMPLETED": 1}
