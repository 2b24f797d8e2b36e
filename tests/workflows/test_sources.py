"""Sources prepared by real client, which a batch system that is made up takes away."""

from types import SimpleNamespace

import pytest

from cluster.ends import End, Kind
from neq.errors import LeaseLostError, SweepError
from workflows import lease, sources

# distributed drops half-open sockets when a worker dies
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Batch:
    """Says of every lost worker the same, and mends the source ``bad`` after so many have been lost in it."""

    def __init__(self, folder, end, most=99):
        self.folder, self.end, self.most = folder, end, most
        self.n_lost = self.n_memory = 0
        self.watchdog = SimpleNamespace(problem="", note="", ended="", has_memory=self.has_memory)

    def has_memory(self):
        self.n_memory += 1
        return self.n_memory > 1

    def end_of(self, worker, address, died):
        self.n_lost += 1
        if self.n_lost >= self.most:
            (self.folder / "bad.txt").write_text("mended")
        return self.end


@pytest.fixture
def study(toy, tmp_path):
    for name, text in (("a", "one"), ("bad", "die")):
        (tmp_path / f"{name}.txt").write_text(text)
    return toy(with_sources=True, sessions=("bad", "a"), sweep={"deaths": 2})


def ingest(folder, study, client, monkeypatch, batch):
    monkeypatch.setattr(client, "watchdog", batch.watchdog, raising=False)
    monkeypatch.setattr(client, "end_of", batch.end_of, raising=False)
    with lease.acquire(folder) as held:
        return sources.ingest(folder, study, client, held)


def test_ingest__sources_lost_to_others_are_tried_again(tmp_path, study, client, monkeypatch):
    batch = Batch(tmp_path, End(Kind.OUTSIDE, "PREEMPTED"), most=4)
    prepared = ingest(tmp_path, study, client, monkeypatch, batch)
    assert [(one.content, one.error_type) for one in prepared] == [("mended", ""), ("one", "")]
    assert batch.n_memory == 0


def test_ingest__a_source_that_takes_all_memory_is_tried_with_more(tmp_path, study, client, monkeypatch):
    batch = Batch(tmp_path, End(Kind.MEMORY, "OUT_OF_MEMORY, of 2 GiB"))
    prepared = ingest(tmp_path, study, client, monkeypatch, batch)
    assert [one.error_type for one in prepared] == ["WorkerLost", ""]
    assert prepared[0].error == "the worker died while it read this source; the last time: OUT_OF_MEMORY, of 2 GiB"
    # asked again until there was more
    assert batch.n_memory == 2
    assert 2 <= batch.n_lost <= 3


@pytest.mark.long
def test_ingest__a_source_lost_again_and_again_is_blamed_in_the_end(tmp_path, study, client, monkeypatch):
    monkeypatch.setattr(sources, "MOST_LOSSES", 2)
    batch = Batch(tmp_path, End(Kind.OUTSIDE, "TIMEOUT"))
    prepared = ingest(tmp_path, study, client, monkeypatch, batch)
    assert [one.error_type for one in prepared] == ["WorkerLost", ""]
    # three losses are a death, and so is a fourth, though the batch system is to blame for all
    assert batch.n_lost == 4


def test_ingest__ends_when_no_worker_is_left_and_none_will_come(tmp_path, study, client, monkeypatch):
    batch = Batch(tmp_path, End(Kind.OUTSIDE, "TIMEOUT"))
    batch.watchdog.problem = "5 jobs in a row ended before their worker reached this machine."
    monkeypatch.setattr(client, "nthreads", lambda: {})
    with pytest.raises(SweepError, match=r"5 jobs in a row .* give the same command again"):
        ingest(tmp_path, study, client, monkeypatch, batch)


def test_ingest__ends_when_another_driver_takes_over(tmp_path, study, client):
    with lease.acquire(tmp_path) as held:
        (tmp_path / "leases" / "9.json").write_text("{}")
        with pytest.raises(LeaseLostError, match="lease 9, ours was 1"):
            sources.ingest(tmp_path, study, client, held)
