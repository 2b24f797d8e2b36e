"""Lost workers as the driver sees them, on a watchdog that is made up."""

from types import SimpleNamespace

import distributed
import numpy as np
import pytest

from cluster.batch import BatchClient
from cluster.ends import UNKNOWN, End, Kind
from neq.errors import SweepError
from workflows import engine, lease
from workflows.blocks import owners
from workflows.blocks.blame import MOST_LOSSES, Blame
from workflows.blocks.crew import Crew


class Watchdog:
    problem, note, ended = "", "2 jobs wait in the queue (Priority)", ""

    def __init__(self):
        self.enough = True

    def has_memory(self):
        return self.enough


def killed(name="neq-3-0"):
    return SimpleNamespace(last_worker=SimpleNamespace(name=name, address="tcp://1"))


@pytest.fixture
def client():
    made = SimpleNamespace(watchdog=Watchdog(), ends={}, threads={"tcp://1": 1})
    made.nthreads = lambda: made.threads
    made.end_of = lambda worker, address, died: made.ends.get(worker)
    return made


def test_losses__wait_until_the_cause_is_known(client):
    crew = Crew(client)
    crew.lost("block", killed())
    assert (list(crew.losses()), crew.in_doubt) == ([], True)
    client.ends["neq-3-0"] = End(Kind.OUTSIDE, "PREEMPTED: others had priority (job 3 on n1)")
    (loss,) = crew.losses()
    assert (loss.what, loss.guilty, loss.reason[:9]) == ("block", False, "PREEMPTED")
    assert not crew.in_doubt


@pytest.mark.parametrize(
    ("kind", "guilty"), [(Kind.OUTSIDE, False), (Kind.LEFT, False), (Kind.MEMORY, True), (Kind.CRASH, True)]
)
def test_losses__guilt(client, kind, guilty):
    crew = Crew(client)
    crew.lost("block", killed())
    client.ends["neq-3-0"] = End(kind, "why")
    assert [loss.guilty for loss in crew.losses()] == [guilty]


def test_losses__on_this_machine():
    crew = Crew(SimpleNamespace())
    crew.lost("block", killed("3"))
    assert [(loss.reason, loss.guilty) for loss in crew.losses()] == [(UNKNOWN, True)]
    assert crew.has_memory()
    assert (crew.note, crew.ended, crew.coming) == ("", "", False)


def test_coming__jobs_that_nobody_watches():
    """As those of batch systems other than SLURM: their queue may be long."""
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        with BatchClient(cluster) as client:
            crew = Crew(client)
            crew.look()
            assert (crew.n_thread, crew.coming) == (0, True)
            assert "wait in its queue" in crew.note
        with distributed.Client(cluster) as client:
            assert not Crew(client).coming


def test_look__no_worker_while_jobs_wait_is_no_error_but_a_problem_is(client):
    client.threads = {}
    crew = Crew(client)
    crew.look()
    assert (crew.n_thread, crew.coming) == (0, True)
    client.watchdog.problem = "5 jobs in a row ended before their worker reached this machine."
    with pytest.raises(SweepError, match=r"5 jobs in a row .* give the same command again"):
        crew.look()


def test_blame__cells_lost_to_others_are_spared_for_long(tmp_path, toy):
    study = toy(repetitions=1)
    with lease.acquire(tmp_path) as held:
        store = engine.prepare_store(tmp_path, study, [], held)
        block = next(iter(store.blocks.ids()))
        for number in range(MOST_LOSSES + 2):
            token = held.token()
            folder = owners.grant(tmp_path, block, token)
            (folder / owners.STARTED).write_bytes(b"0000000\n")
            blame = Blame(store, limit=2)
            blame.death(block, token, "PREEMPTED", guilty=False)
            assert bool(blame.suspects) == (number == MOST_LOSSES)
        assert blame.condemned(block) == {0: "The worker died in this cell 2 times; the last time: PREEMPTED."}
        blame.keep(np.zeros(store.shape, bool))
