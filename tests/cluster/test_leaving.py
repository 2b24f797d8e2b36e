"""Workers that leave between two cells, and the post-mortem of those that did not."""

import subprocess
import time

import pytest

from cluster import autopsy, leaving, local
from cluster.ends import Kind

V1 = "12:memory:/slurm_n1/uid_0/job_7/step_batch/task_0\n4:freezer:/slurm_n1\n0::/\n"
V2 = "0::/system.slice/slurmstepd.scope/job_7\n"


def test_export__shell_sets_a_time_ahead():
    script = f"{leaving.export(100.0, 20.0)}; echo $NEQ_LEAVE_AT"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert 79 <= int(done.stdout) - time.time() <= 101


@pytest.mark.parametrize(("text", "is_up"), [(None, False), ("1", True), ("9999999999", False), ("rubbish", False)])
def test_time_is_up(monkeypatch, text, is_up):
    if text is None:
        monkeypatch.delenv(leaving.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(leaving.VARIABLE, text)
    assert leaving.time_is_up() is is_up


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_leave__ends_its_task_and_takes_no_other(monkeypatch):
    # as in a job: the worker inherits the variable, and its preload does the rest
    at = time.time() + 8.0
    monkeypatch.setenv(leaving.VARIABLE, str(at))
    with local.start(workers=1, memory="1GiB", dashboard=False) as client:
        tasks = [client.submit(time.sleep, seconds, pure=False) for seconds in (max(0.0, at + 0.5 - time.time()), 0.0)]
        assert tasks[0].result(timeout=30) is None
        until(lambda: not client.nthreads())
        assert tasks[1].status != "finished"


def test_oom_kills__both_versions_of_control_groups(tmp_path):
    groups = tmp_path / "cgroup"
    groups.write_text(V1)
    assert autopsy.oom_kills(groups, tmp_path) == 0
    old = tmp_path / "memory" / "slurm_n1" / "uid_0" / "job_7" / "step_batch" / "task_0"
    old.mkdir(parents=True)
    (old / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert autopsy.oom_kills(groups, tmp_path) == 2
    groups.write_text(V2)
    new = tmp_path / "system.slice" / "slurmstepd.scope" / "job_7"
    new.mkdir(parents=True)
    (new / "memory.events").write_text("low 0\nmax 4\noom 1\noom_kill 1\n")
    assert autopsy.oom_kills(groups, tmp_path) == 1


class Nannies:
    """A client whose nannies say what a test wants."""

    def __init__(self, address="tcp://1", kills=0, log=(), events=()):
        self.address, self.kills, self.log, self.events = address, kills, log, events

    def run_on_scheduler(self, function, worker):
        return self.address

    def run(self, function, workers, nanny):
        return {self.address: self.kills}

    def get_worker_logs(self, workers, nanny):
        return {self.address: [("WARNING", line) for line in self.log]}

    def get_events(self, topic):
        return [(0.0, event) for event in self.events]


@pytest.mark.parametrize(
    ("kills", "log", "kind", "text"),
    [
        (0, ["Restarting worker", "Worker process 7 was killed by signal 9"], Kind.CRASH, "was killed by signal 9"),
        (0, ["Worker process 8 exited with status 3", "x 7 was killed by signal 9"], Kind.CRASH, "with status 3"),
        (0, [], Kind.CRASH, "its process died (worker neq-7-0)"),
        (2, ["Worker process 7 was killed by signal 9"], Kind.MEMORY, "OUT_OF_MEMORY: the kernel ended it"),
    ],
)
def test_ask_nanny(kills, log, kind, text):
    end, known = autopsy.ask_nanny(Nannies(kills=kills, log=log), "neq-7-0", known_kills=1)
    assert (end.kind, known) == (kind, kills)
    assert text in end.text


def test_ask_nanny__not_back_yet():
    assert autopsy.ask_nanny(Nannies(address=None), "neq-7-0", 0) is None


def test_memory_limit_met():
    client = Nannies(events=[{"worker": "tcp://1", "pid": 3, "rss": 5}])
    assert autopsy.memory_limit_met(client, "tcp://1")
    assert not autopsy.memory_limit_met(client, "tcp://2")
