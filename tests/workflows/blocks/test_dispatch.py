"""What a watchdog that is made up hears of the driver of real workers, and what a driver that breaks off leaves."""

from types import SimpleNamespace

import pytest

from workflows import engine, lease
from workflows.blocks import owners

# distributed drops half-open sockets when a worker dies
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LOOSE = {"absolute_sem": 1e6, "at_least": 2}


@pytest.fixture
def needs(client, monkeypatch):
    """Return the numbers of blocks of which a watchdog is told."""
    heard = []
    watchdog = SimpleNamespace(problem="", note="", ended="", need=heard.append)
    watchdog.cell_seconds, watchdog.has_memory = (lambda longest: None), (lambda: True)
    monkeypatch.setattr(client, "watchdog", watchdog, raising=False)
    return heard


def sweep(folder, study, client):
    with lease.acquire(folder) as held:
        engine.prepare_store(folder, study, [], held)
        return engine.run_sweep(folder, study, study.config, client, held)


def test_need__blocks_not_cells(tmp_path, toy, client, needs):
    sweep(tmp_path, toy(repetitions=8, sweep={"block": {"repetition": 4, "size": 1}}), client)
    # 2 sessions, 2 conditions, 3 sizes, 8 repetitions
    assert max(needs) == 24
    assert needs[-1] < 24


def test_need__blocks_too_that_the_stop_rule_holds_back(tmp_path, toy, client, needs):
    keys = {"sessions": ("a",), "conditions": ("rest",), "sizes": (2,), "repetitions": 40}
    sweep(tmp_path, toy(**keys, sweep={"block": {"repetition": 2}, "stop": LOOSE}), client)
    assert max(needs) == 20


def test_withdraw__blocks_of_which_nobody_knows_yet_why_they_were_lost(tmp_path, toy, client, needs, monkeypatch):
    def interrupt(worker, address, died):
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "end_of", interrupt, raising=False)
    study = toy(sessions=("a",), conditions=("rest",), sizes=(2,), repetitions=2, die="a/rest/2/0")
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, study, client)
    left = {path.name for block in (tmp_path / owners.FOLDER).iterdir() for path in block.iterdir()}
    # the marks are kept, no token is
    assert left == {owners.STARTED}
