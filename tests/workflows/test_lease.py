import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from neq.errors import LeaseHeldError, LeaseLostError, StoreError
from workflows import lease

CHILD = """
import sys, time
from workflows import lease
lease.acquire(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_driver(tmp_path):
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def stored(folder, epoch):
    return folder / "leases" / f"{epoch}.json"


def test_lease__epochs_rise_over_releases(tmp_path):
    for epoch in (1, 2, 3):
        with lease.acquire(tmp_path) as held:
            assert held.epoch == epoch
            held.check()
            assert lease.current(tmp_path)["pid"] == os.getpid()
        assert lease.current(tmp_path) is None
    assert sorted(path.name for path in (tmp_path / "leases").iterdir()) == ["3.released"]


def test_lease__second_driver_refuses(tmp_path, other_driver):
    with pytest.raises(LeaseHeldError, match=rf"process {other_driver.pid} on .* since 20\d\d-"):
        lease.acquire(tmp_path)


def test_lease__dead_driver_is_followed_at_once(tmp_path, other_driver):
    # not waited for: a process that is dead but still listed holds no lease either
    other_driver.send_signal(signal.SIGKILL)
    while psutil.Process(other_driver.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    start = time.monotonic()
    with lease.acquire(tmp_path) as held:
        assert held.epoch == 2
    assert time.monotonic() - start < 5


def test_lease__another_host_is_followed_after_silence(tmp_path):
    first = lease.acquire(tmp_path)
    content = json.loads(first.path.read_text()) | {"host": "elsewhere", "boot": "other", "pid": 1}
    first.path.write_text(json.dumps(content))
    with pytest.raises(LeaseHeldError, match="process 1 on elsewhere"):
        lease.acquire(tmp_path)
    long_ago = time.time() - lease.SILENCE_SECONDS - 1
    os.utime(first.path, (long_ago, long_ago))
    with lease.acquire(tmp_path) as second:
        assert second.epoch == 2
        with pytest.raises(LeaseLostError, match="lease 2, ours was 1"):
            first.check()
    first.release()


def test_lease__heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.02)
    with lease.acquire(tmp_path) as held:
        os.utime(held.path, (1, 1))
        time.sleep(0.3)
        assert time.time() - held.path.stat().st_mtime < 10


def test_lease__number_below_a_newer_one_is_not_won(tmp_path):
    with lease.acquire(tmp_path):
        stored(tmp_path, 1).rename(stored(tmp_path, 5))
        assert not lease._link(tmp_path / "leases", 2)
        assert not stored(tmp_path, 2).exists()


def test_lease__exactly_one_of_many_wins(tmp_path):
    barrier, outcomes = threading.Barrier(8), []

    def contend():
        barrier.wait()
        try:
            outcomes.append(lease.acquire(tmp_path))
        except LeaseHeldError:
            outcomes.append(None)

    drivers = [threading.Thread(target=contend) for _ in range(8)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    won = [held for held in outcomes if held is not None]
    assert (len(outcomes), len(won)) == (8, 1)
    won[0].release()
    assert sorted(path.name for path in (tmp_path / "leases").iterdir()) == ["1.released"]


def test_lease__progress_is_seen_by_others(tmp_path):
    with lease.acquire(tmp_path) as held:
        held.progress({"n_done": 3})
        assert lease.current(tmp_path)["progress"] == {"n_done": 3}
        assert held.token() != held.token()


def test_lease__folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        lease.acquire(tmp_path / "file")
