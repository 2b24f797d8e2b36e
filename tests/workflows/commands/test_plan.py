"""What a sweep will cost."""

import time

import numpy as np
import pytest
import toy_study

from neq.errors import RecordingError, StudyMismatchError
from workflows import layout, store
from workflows.commands import pilot, plan, plan_sources, plan_text
from workflows.grid import Grid
from workflows.studies.base import Axis, Prepared


class Timed(toy_study.Toy):
    """Takes a known time that no power law of the smallest size would tell."""

    def compute(self, cell, inputs):
        values = super().compute(cell, inputs)
        time.sleep({2: 0.001, 4: 0.004, 0: 0.05}[cell["size"]])
        return values


@pytest.fixture
def config(tmp_path):
    def make(study="toy_study:Toy", **keys):
        return toy_study.ToyConfig(study=study, results=tmp_path / "run", **keys)

    return make


def test_make__times_the_largest_and_the_middle(config, monkeypatch):
    monkeypatch.setattr(toy_study, "Timed", Timed, raising=False)
    made = plan.make(config("toy_study:Timed"))
    assert [timing.cell["size"] for timing in made.timings[:3]] == [0, 4, 2]
    true = 16 * (0.001 + 0.004 + 0.05)
    low, likely, high = made.seconds
    assert low < likely < high
    assert true / 1.6 < likely < true * 1.6


def test_make__writes_no_store_and_counts(config, tmp_path):
    made = plan.make(config(sizes=(2, 13)))
    assert not (tmp_path / "run" / "sweep.zarr").exists()
    assert made.counts["pending"] == made.grid.n_cell == 32
    assert made.n_block_open == made.blocks.n_block
    assert any(timing.error.startswith("impossible") for timing in made.timings)


def test_make__impossible_known_from_the_sources(config, tmp_path):
    (tmp_path / "run").mkdir()
    for session in "abcd":
        (tmp_path / "run" / f"{session}.txt").write_text(session)
    made = plan.make(config(sizes=(2, 13), sessions=tuple("abcd"), with_sources=True))
    assert (made.n_source, made.n_source_read) == (4, 3)
    assert made.n_impossible == 3 * 2 * 4
    assert made.n_open == 64 - 24
    assert {timing.cell["size"] for timing in made.timings} == {2}
    assert made.spikes_bytes == 4


def test_make__no_source_can_be_read(config, tmp_path):
    wanted = config(with_sources=True, sessions=tuple("abcde"))
    with pytest.raises(RecordingError, match=r"5 recordings \(session a, b, c and 2 more\): .*No such file.*{session}"):
        plan.make(wanted)
    assert not (tmp_path / "run").exists()


def test_make__none_read_leaves_other_peoples_files(config, tmp_path):
    (tmp_path / "run" / "leases").mkdir(parents=True)
    with pytest.raises(RecordingError):
        plan.make(config(with_sources=True))
    assert (tmp_path / "run" / "leases").exists()


def test_make__tells_why_a_source_cannot_be_read(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "b.txt").write_text("b")
    made = plan.make(config(with_sources=True))
    assert (made.n_source, made.n_source_read) == (2, 1)
    text = "\n".join(plan_text.lines(made))
    assert "cannot be read, session a: [Errno 2] No such file" in text
    assert "core-hours" in text


def test_make__another_study_is_refused(config, tmp_path):
    first = config()
    (tmp_path / "run").mkdir()
    study = toy_study.Toy(first)
    store.create(tmp_path / "run" / "sweep.zarr", study, [], Grid(study.axes()))
    with pytest.raises(StudyMismatchError, match=r"seed: 0 in the store, 5 in the config\nSet `results`"):
        plan.make(config(seed=5))


class Sized(toy_study.Toy):
    """Cost is the number of units of the source."""

    def cost(self, cell, facts):
        return float(facts.get("n_unit", 1))


def test_costs__unread_sources_are_like_the_mean_of_the_others(config):
    study = Sized(config(sizes=(2,)))
    groups = [{"session": session, "condition": "rest", "size": 2, "repetition": 0} for session in "abcd"]
    read = [Prepared({"session": name}, "p", "c", {"n_unit": n}) for name, n in (("a", 10), ("b", 30))]
    broken = Prepared({"session": "c"}, error_type="OSError", error="gone")
    cost, spread = plan_sources.costs(study, groups, np.ones(4), [*read, broken])
    assert cost.tolist() == [10, 30, 20, 20]
    # c and d: a deviation of sqrt(200) each, the mean known from two
    np.testing.assert_allclose(spread, 2 * np.sqrt(200) * np.sqrt(1 / 2 + 1 / 2) / 80)
    assert plan_sources.costs(study, groups[:2], np.ones(2), read)[1] == 0


def test_costs__an_unread_source_may_be_too_small(config):
    study = Sized(config(sizes=(20,)))
    groups = [{"session": session, "condition": "rest", "size": 20, "repetition": 0} for session in "ab"]
    read = [Prepared({"session": name}, "p", "c", {"n_unit": n}) for name, n in (("c", 10), ("d", 30))]
    assert plan_sources.costs(study, groups, np.ones(2), read)[0].tolist() == [15, 15]


def test_extrapolate__wider_where_sources_are_unread():
    timings = [pilot.Timing({}, 1.0, 1.0), pilot.Timing({}, 1.0, 1.0)]
    low, likely, high = pilot.extrapolate(timings, np.ones(1), np.ones(1), 0.5)
    assert high > likely * np.exp(1.0)
    assert low < likely / np.exp(1.0)


def test_make__resumes_and_grows(config, tmp_path, toy):
    first = config()
    (tmp_path / "run").mkdir()
    study = toy_study.Toy(first)
    made = store.create(tmp_path / "run" / "sweep.zarr", study, [], Grid(study.axes()))
    status = made.status()
    status[0] = layout.OK
    store.Store.open(made.path, "r+").array("status")[:] = status
    grown = plan.make(config(sessions=("c", "b", "a")))
    assert (grown.counts["ok"], grown.counts["pending"]) == (24, 48)
    assert {timing.cell["session"] for timing in grown.timings} <= {"b", "c"}


def test_make__budget_still_times_two_cells(config, monkeypatch):
    monkeypatch.setattr(toy_study, "Timed", Timed, raising=False)
    made = plan.make(config("toy_study:Timed"), budget=0.0)
    assert [timing.cell["size"] for timing in made.timings] == [0, 4]


def test_make__a_million_cells_in_seconds(config):
    sessions = tuple(f"s{i}" for i in range(50))
    start = time.monotonic()
    made = plan.make(config(sessions=sessions, sizes=tuple(range(2, 12)), repetitions=1000))
    assert made.grid.n_cell == 10**6
    assert made.blocks.n_block <= 3000
    assert time.monotonic() - start < 60


def test_choose__spread_over_all_axes():
    axes = (Axis("session", tuple("abcdefgh")), Axis("size", (5, 10, "all")), Axis("repetition", tuple(range(20))))
    grid = Grid(axes)
    chosen = pilot.choose(grid, np.ones(grid.shape, bool), lambda index: 1.0, 12)
    assert [grid.labels("size")[size] for _, size, _ in chosen[:3]] == [0, 10, 5]
    assert len({session for session, _, _ in chosen}) >= 5
    assert len({repetition for _, _, repetition in chosen}) >= 8


def test_choose__without_sizes_by_cost():
    grid = Grid((Axis("lag", tuple(range(30))),))
    chosen = pilot.choose(grid, np.ones(grid.shape, bool), lambda index: index[0], 3)
    assert chosen[0][0] >= 20
    assert chosen[2][0] < 10


def test_choose__only_open_cells():
    grid = Grid((Axis("size", (1, 2, 3)), Axis("repetition", (0, 1))))
    open_cells = np.zeros(grid.shape, bool)
    open_cells[1, 1] = True
    assert pilot.choose(grid, open_cells, lambda index: 1.0) == [(1, 1)]


def test_extrapolate__between_sizes_not_from_the_smallest():
    # seconds grow with the cube, the study's cost only with the square
    timings = [pilot.Timing({}, n**3 * 1e-6, n**2) for n in (10, 30, 100)]
    sizes = np.array([10, 20, 40, 70, 100])
    likely = pilot.extrapolate(timings, sizes**2.0, np.ones(5))[1]
    np.testing.assert_allclose(likely, (sizes**3.0 * 1e-6).sum(), rtol=1e-6)


def test_make__stop_rule_before_and_after(config, tmp_path):
    rule = {"absolute_sem": 1e6, "at_least": 3}
    first = config(sweep={"stop": rule}, repetitions=5)
    made = plan.make(first)
    assert (made.counts["pending"], made.n_least) == (60, 36)
    assert "stop rule: at least 36 of these" in "\n".join(plan_text.lines(made))
    study = toy_study.Toy(first)
    there = store.create(tmp_path / "run" / "sweep.zarr", study, [], Grid(study.axes()))
    status = there.status()
    status[0, ..., :4], status[1, ..., :1] = layout.OK, layout.FAILED
    store.Store.open(there.path, "r+").array("status")[:] = status
    values = store.Store.open(there.path, "r+").array("value")
    values[:] = np.ones(there.shape)
    made = plan.make(config(sweep={"stop": rule}, repetitions=7))
    assert {name: n for name, n in made.counts.items() if n} == {"ok": 18, "failed": 6, "not_needed": 24, "pending": 36}
    assert made.n_least == 6 * 3
    assert "24 not needed" in "\n".join(plan_text.lines(made))
    assert (there.status() == status).all()
