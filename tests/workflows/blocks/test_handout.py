import os
import signal

import numpy as np
import pytest

from workflows import layout, lease, store
from workflows.blocks import handout, owners
from workflows.blocks.blame import MOST_LOSSES, Blame
from workflows.blocks.flush import Fence
from workflows.grid import Grid
from workflows.store import Store

BLOCK = "0.0.0.0"


@pytest.fixture
def opened(tmp_path, toy):
    study = toy(sessions=("a",), conditions=("rest",), sizes=(2, 4), repetitions=8, sweep={"block": {"repetition": 4}})
    return store.create(tmp_path / "sweep.zarr", study, [], Grid(study.axes()), {"repetition": 4})


def grant(opened, limit=3, pending=None):
    """Hand out under a lease of its own, as a job does that then ends."""
    with lease.acquire(opened.path.parent) as held:
        pending = opened.status() == layout.PENDING if pending is None else pending
        return handout.grant(opened, pending, held, Blame(opened, limit), "r1")


def die_in(opened, given, number, job=5):
    """Leave behind what a task leaves that is killed in a cell."""
    folder = opened.path.parent
    assert handout.take(folder, given, job)
    fence = Fence(owners.block_folder(folder, given.block) / given.token)
    fence.claim()
    fence.mark(number)


def judged(opened, handed, limit=3, reason="OUT_OF_MEMORY"):
    """Judge and revoke, as the last job of a round does; return how many deaths there were."""
    with lease.acquire(opened.path.parent) as held:
        n_death = handout.judge(opened, handed, Blame(opened, limit), lambda job: (reason, job == 5))
        owners.revoke_all(opened.path.parent, held.epoch)
    return n_death


def compute(opened, handed, job=1):
    folder = opened.path.parent
    return [handout.work(folder, one, handed.run_id) for one in handed.given if handout.take(folder, one, job)]


def test_hand_out__every_block_once(opened, tmp_path):
    handed = grant(opened)
    assert sorted(given.block for given in handed.given) == [BLOCK, "0.0.0.1"]
    assert all(given.cells is None for given in handed.given)
    handed.write(tmp_path / "rounds" / "1.json")
    assert handout.read(tmp_path / "rounds" / "1.json") == handed


def test_hand_out__the_first_repetitions_before_all_others_and_the_costliest_of_them_first(tmp_path, toy):
    study = toy(sessions=("a",), conditions=("rest",), sizes=(2, 8, 4), repetitions=8)
    found = store.create(tmp_path / "sweep.zarr", study, [], Grid(study.axes()), {"size": 1, "repetition": 4})
    # sizes 8, 4, 2: neither the order of the grid nor its reverse
    order = [f"0.0.{size}.{part}" for part in (0, 1) for size in (1, 2, 0)]
    assert [given.block for given in grant(found).given] == order


def test_hand_out__survives_the_file_with_cells(tmp_path):
    given = handout.Given(BLOCK, "1-1", (2, 3))
    handout.HandOut(1, "r1", (given,)).write(tmp_path / "a.json")
    assert handout.read(tmp_path / "a.json").given == (given,)


def test_take__one_task_only(opened):
    handed = grant(opened)
    folder = opened.path.parent
    assert [handout.take(folder, handed.given[0], job) for job in (1, 2, 2)] == [True, False, False]
    assert handout.take(folder, handed.given[1], 2)


def test_work__all_blocks_by_two_tasks(opened):
    handed = grant(opened)
    assert handout.take(opened.path.parent, handed.given[0], 1)
    first = handout.work(opened.path.parent, handed.given[0], "r1")
    rest = compute(opened, handed, job=2)
    assert [result["ok"] for result in (first, *rest)] == [8, 8]
    assert (opened.status() == layout.OK).all()
    assert judged(opened, handed) == 0


def test_work__revoked_tokens_write_nothing(opened):
    handed = grant(opened)
    assert handout.take(opened.path.parent, handed.given[0], 1)
    judged(opened, handed)
    assert handout.work(opened.path.parent, handed.given[0], "r1")["state"] == "fenced"
    assert not handout.take(opened.path.parent, handed.given[1], 1)
    assert (opened.status() == layout.PENDING).all()


def test_work__newer_tokens_are_not_those_of_the_old_list(opened):
    old = grant(opened)
    new = grant(opened)
    assert compute(opened, old) == []
    assert [result["state"] for result in compute(opened, new)] == ["done", "done"]


def test_judge__no_blame_for_a_task_that_left_or_never_began(opened):
    handed = grant(opened)
    die_in(opened, handed.given[0], 0, job=6)
    assert handout.take(opened.path.parent, handed.given[1], 5)
    # the first was ended from outside, the second was in no cell yet
    assert judged(opened, handed) == 0
    assert owners.all_deaths(opened.path.parent) == {}


def test_judge__a_cell_lost_again_and_again_is_blamed_in_the_end(opened):
    found = []
    for _ in range(MOST_LOSSES + 1):
        handed = grant(opened)
        die_in(opened, handed.given[0], 0, job=6)
        found.append(judged(opened, handed, reason="TIMEOUT"))
    assert found == [0] * MOST_LOSSES + [1]
    assert owners.deaths(opened.path.parent, handed.given[0].block) == {0: ["TIMEOUT"]}


def test_judge__once_though_the_job_that_judges_is_killed_and_begins_again(opened):
    handed = grant(opened)
    die_in(opened, handed.given[0], 0)
    with lease.acquire(opened.path.parent):
        assert handout.judge(opened, handed, Blame(opened, 3), lambda job: ("CRASH", True)) == 1
    assert judged(opened, handed) == 0
    assert owners.deaths(opened.path.parent, handed.given[0].block) == {0: ["CRASH"]}


def test_judge__no_blame_for_a_task_asked_to_end(tmp_path, toy):
    study = toy(sessions=("a",), conditions=("rest",), sizes=(2,), repetitions=4, seconds=0.3, flush_seconds=0.0)
    found = store.create(tmp_path / "sweep.zarr", study, [], Grid(study.axes()), {"repetition": 4})
    handed = grant(found)

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            compute(found, handed, job=5)
    finally:
        signal.signal(signal.SIGALRM, before)
    status = found.status()
    assert 0 < int((status == layout.OK).sum()) < 4
    assert judged(found, handed) == 0
    assert compute(found, grant(found))[0]["ok"] == 4 - int((status == layout.OK).sum())


def test_blame__suspects_wait_then_come_alone_then_are_given_up(opened):
    handed = grant(opened)
    one = next(given for given in handed.given if given.block == BLOCK)
    die_in(opened, one, 2)
    assert judged(opened, handed) == 1
    # the neighbours first
    handed = grant(opened)
    one = next(given for given in handed.given if given.block == BLOCK)
    assert set(one.cells) == set(range(8)) - {2}
    compute(opened, handed)
    assert int((opened.status() == layout.PENDING).sum()) == 1
    for n_death in (2, 3):
        handed = grant(opened)
        assert [given.cells for given in handed.given] == [(2,)]
        die_in(opened, handed.given[0], 2)
        assert judged(opened, handed) == 1
        assert [len(reasons) for reasons in owners.deaths(opened.path.parent, BLOCK).values()] == [n_death]
    with lease.acquire(opened.path.parent) as held:
        handout.give_up(opened, opened.status() == layout.PENDING, held, Blame(opened, 3), "r1")
    found = Store.open(opened.path)
    assert np.argwhere(found.status() == layout.FAILED).shape == (1, 4)
    assert found.read("error_type")[found.status() == layout.FAILED].tolist() == ["WorkerLost"]
    assert found.read("error")[found.status() == layout.FAILED].tolist() == [
        "The worker died in this cell 3 times; the last time: OUT_OF_MEMORY."
    ]


def test_blame__several_at_their_last_chance_come_one_by_one(opened):
    for number in (1, 3):
        owners.add_death(opened.path.parent, BLOCK, number, "x")
    mask = np.zeros(opened.shape, bool)
    part = np.zeros(opened.chunk, bool)
    part.reshape(-1)[[1, 3]] = True
    mask[opened.blocks.region(BLOCK)] = part
    assert [given.cells for given in grant(opened, limit=3, pending=mask).given] == [(1, 3)]
    assert [given.cells for given in grant(opened, limit=2, pending=mask).given] == [(1,)]


def test_tidy__forgets_finished_blocks(opened):
    handed = grant(opened)
    compute(opened, handed)
    with lease.acquire(opened.path.parent) as held:
        handout.tidy(opened, handed, opened.status() == layout.PENDING, held)
    assert os.listdir(opened.path.parent / "owners") == []
