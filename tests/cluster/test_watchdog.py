"""The watchdog, on batch systems that are made up."""

import re
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import batch, patience, watchdog
from cluster.decide import SILENT_SECONDS, START_FAILURES, Failures, Limits, Record, decide, note
from cluster.ends import End, Kind
from cluster.errors import AwayError, ClusterError
from cluster.ledger import run_of
from cluster.partition import Partition
from cluster.profile import Profile
from cluster.slurm import Job
from cluster.watchdog import Watchdog


def waiting(number, reason="Priority", level=0):
    return Record(Job(number, "PENDING", reason), level=level)


def working(number, level=0):
    return Record(Job(number, "RUNNING", node="n1"), connected=1, level=level)


def starting(number, silent=1.0):
    return Record(Job(number, "RUNNING", node="n1"), silent=silent)


def test_decide__submits_what_is_missing():
    assert decide([], Limits(3)).submit == 3
    assert decide([working(1), waiting(2)], Limits(3)).submit == 1
    assert decide([working(1), waiting(2), starting(3)], Limits(3)).submit == 0


def test_decide__silent_job_is_replaced():
    found = decide([working(1), starting(2, SILENT_SECONDS + 1)], Limits(2))
    assert (found.cancel, found.submit) == ((2,), 1)


def test_decide__surplus_jobs_that_wait_are_cancelled_but_none_that_runs():
    found = decide([working(1), working(2), waiting(3), waiting(4)], Limits(1))
    assert (set(found.cancel), found.submit) == ({3, 4}, 0)


def test_decide__jobs_with_too_little_memory_are_replaced():
    found = decide([working(1), waiting(2), working(3, level=1)], Limits(3, level=1))
    assert (set(found.cancel), found.submit) == ({1, 2}, 2)


def test_decide__gives_up_when_jobs_fail_at_their_start():
    bad = Failures(START_FAILURES, 1.0, "FAILED with exit code 7 (job 5 on n1): no such module")
    found = decide([], Limits(4), bad)
    assert found.submit == 0
    assert found.stop.startswith("5 jobs in a row ended before their worker reached this machine; the last: FAILED")
    assert "no such module" in found.stop
    # while another is on its way there is hope, and while others work there is work
    assert not decide([starting(9)], Limits(4), bad).stop
    assert not decide([working(9)], Limits(4), bad).stop


def test_decide__few_jobs_at_a_time_while_jobs_fail_at_their_start():
    assert decide([], Limits(100), Failures(1, 1.0, "x")).submit == START_FAILURES - 1
    assert decide([starting(1), starting(2)], Limits(100), Failures(2, 1.0, "x")).submit == START_FAILURES - 4
    late = Failures(START_FAILURES, 1e4, "x")
    assert decide([working(1)], Limits(100), late).submit == 1
    assert decide([working(1)], Limits(100), Failures(START_FAILURES, 1.0, "x")).submit == 0


@pytest.mark.parametrize(
    "reason",
    [
        *("PartitionTimeLimit", "BadConstraints", "JobHeldAdmin", "JobHoldMaxRequeue"),
        *(
            "QOSMaxWallDurationPerJobLimit",
            "QOSMaxMemoryPerJob",
            "AssocMaxWallDurationPerJobLimit",
            "AssocMaxMemPerJob",
        ),
    ],
)
def test_decide__jobs_that_will_never_start(reason):
    assert f" ({reason})" in decide([waiting(1, reason)], Limits(1)).stop
    assert not decide([waiting(1, reason), working(2)], Limits(2)).stop
    assert not decide([waiting(1, reason), waiting(2, "Resources")], Limits(2)).stop


@pytest.mark.parametrize(
    "reason",
    [
        "Resources",
        "QOSMaxMemoryPerUser",
        "QOSMaxJobsPerUserLimit",
        "AssocGrpCpuLimit",
        "AssocMaxJobsLimit",
        "BeginTime",
    ],
)
def test_decide__reasons_that_pass(reason):
    assert not decide([waiting(1, reason)], Limits(1)).stop


def test_decide__limit_of_one_partition_of_several():
    assert not decide([waiting(1, "PartitionTimeLimit")], Limits(1, several=True)).stop
    assert decide([waiting(1, "QOSMaxMemoryPerJob")], Limits(1, several=True)).stop


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([], "no job"),
        ([waiting(1), waiting(2), waiting(3, "Resources")], "3 jobs wait in the queue (Priority, Resources)"),
        ([working(1), starting(2), waiting(3, "")], "1 job works, 1 job starts or ends, 1 job waits in the queue"),
    ],
)
def test_note(records, text):
    assert note(records) == text


records_strategy = st.lists(
    st.builds(
        lambda state, connected, silent, level: Record(
            Job(0, state, "Priority"), connected if state == "RUNNING" else 0, silent, level
        ),
        st.sampled_from(["PENDING", "RUNNING", "COMPLETING"]),
        st.integers(0, 1),
        st.floats(0, 2 * SILENT_SECONDS),
        st.integers(0, 2),
    ),
    max_size=12,
).map(
    lambda found: [
        Record(Job(i, r.job.state, r.job.reason), r.connected, r.silent, r.level) for i, r in enumerate(found)
    ]
)


@given(records_strategy, st.integers(0, 15), st.integers(0, 2))
def test_decide__reaches_the_wanted_number_and_stays_there(records, jobs, level):
    found = decide(records, Limits(jobs, level))
    kept = [one for one in records if one.job.id not in found.cancel]
    assert len(kept) + found.submit == max(jobs, sum(one in kept for one in records))
    again = decide([*kept, *(waiting(100 + i, level=level) for i in range(found.submit))], Limits(jobs, level))
    assert (again.submit, again.cancel) == (0, ())


class Lab:
    """A batch system that does what a test says; time stands still in it."""

    def __init__(self):
        self.listed, self.recorded, self.cancelled, self.scripts = {}, {}, [], []
        self.connected, self.dismissed = [], []
        self.refuse, self.n_look = "", 0

    def submit(self, script, extra, pause):
        if self.refuse:
            raise self.refuse if isinstance(self.refuse, Exception) else ClusterError(self.refuse)
        number = len(self.scripts) + 1
        self.scripts.append((script, extra))
        self.listed[number] = Job(number, "PENDING", "Priority")
        return number

    def jobs(self, ids, name):
        self.n_look += 1
        return dict(self.listed)

    def ended(self, ids):
        return {number: self.recorded[number] for number in ids if number in self.recorded}

    def cancel(self, ids=(), name="", pause=None):
        self.cancelled += [*ids, *([name] if name else [])]
        for number in ids:
            self.set(number, "CANCELLED")

    def set(self, number, state, **more):
        self.listed[number] = Job(number, state, node="n1", **more)

    def work(self, *numbers, restarts=0):
        for number in numbers:
            self.set(number, "RUNNING", restarts=restarts)
            self.connected.append(f"neq-{number}-{restarts}")


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture
def make(lab, tmp_path):
    def made(n_worker=2, partition=None, **keys):
        keys = {"scheduler": "slurm", "cores": 1, "memory": "1GiB", "submit_pause": 0, "watch_interval": 0.05} | keys
        return Watchdog(
            system=lab,
            profile=Profile(**keys),
            name="neq-test",
            script=lambda memory, margin: f"{memory / 2**30:g} {margin}",
            workers=lambda: list(lab.connected),
            dismiss=lab.dismissed.extend,
            log_folder=tmp_path,
            n_worker=n_worker,
            partition=partition,
        )

    return made


def test_watchdog__keeps_up_the_number(lab, make, tmp_path):
    dog = make()
    dog.look()
    assert [extra for _, extra in lab.scripts] == [("--job-name=neq-test",)] * 2
    lab.work(1, 2)
    dog.look()
    assert (len(lab.scripts), dog.note) == (2, "2 jobs work")
    lab.connected.remove("neq-2-0")
    lab.set(2, "PREEMPTED", signal=15)
    dog.look()
    assert len(lab.scripts) == 3
    assert dog.end_of("neq-2-0", 0.0).text == "PREEMPTED: others had priority (job 2 on n1)"
    assert dog.end_of("neq-1-0", 0.0) is None
    assert "job 2 ended: PREEMPTED: others had priority (job 2 on n1)" in (tmp_path / "events.log").read_text()


def test_watchdog__job_queued_again_is_the_same_job(lab, make):
    dog = make(1)
    dog.look()
    lab.work(1)
    dog.look()
    lab.connected.clear()
    lab.listed[1] = Job(1, "PENDING", "BeginTime", restarts=1)
    dog.look()
    assert dog.end_of("neq-1-0", 0.0).kind is Kind.OUTSIDE
    assert dog.end_of("neq-1-1", 0.0) is None
    lab.work(1, restarts=1)
    dog.look()
    assert (len(lab.scripts), dog.note) == (1, "1 job works")


def test_watchdog__forgotten_job_is_looked_up_in_the_records(lab, make):
    dog = make(2)
    dog.look()
    lab.work(1, 2)
    dog.look()
    lab.listed.clear()
    lab.recorded[1] = Job(1, "TIMEOUT", node="n1")
    dog.look()
    assert dog.end_of("neq-1-0", 0.0).text == "TIMEOUT: its walltime was over (job 1 on n1)"
    assert dog.end_of("neq-2-0", 0.0) is None
    look_until(dog, lambda: dog.end_of("neq-2-0", 0.0))
    assert dog.end_of("neq-2-0", 0.0).text == "UNKNOWN (job 2 on n1)"


def look_until(dog, condition, seconds=10.0):
    def looked():
        dog.look()
        return condition()

    wait_until(looked, seconds)


def test_watchdog__one_listing_without_a_job_that_works_is_no_end(lab, make):
    dog = make(1, watch_interval=20)
    dog.look()
    lab.work(1, restarts=2)
    dog.look()
    listed = dict(lab.listed)
    lab.listed.clear()
    dog.look()
    dog.look()
    dog.look()
    assert (dog.end_of("neq-1-2", 0.0), lab.dismissed, len(lab.scripts)) == (None, [], 1)
    lab.listed |= listed
    dog.look()
    assert (dog.note, lab.dismissed) == ("1 job works", [])


def test_watchdog__job_that_is_back_after_long_is_alive(lab, make):
    dog = make(1)
    dog.look()
    lab.work(1, restarts=2)
    dog.look()
    listed = dict(lab.listed)
    lab.listed.clear()
    look_until(dog, lambda: lab.dismissed)
    # it was started twice before: that does not change where nobody tells of it
    assert dog.end_of("neq-1-2", 0.0).kind is Kind.CRASH
    lab.listed |= listed
    lab.dismissed.clear()
    dog.look()
    assert (dog.end_of("neq-1-2", 0.0), lab.dismissed) == (None, [])


def test_watchdog__records_do_not_tell_how_often_a_job_was_started_again(lab, make):
    dog = make(1)
    dog.look()
    lab.work(1, restarts=1)
    dog.look()
    lab.listed.clear()
    lab.recorded[1] = Job(1, "NODE_FAIL", node="n1")
    dog.look()
    assert dog.end_of("neq-1-1", 0.0).text == "NODE_FAIL: its node failed (job 1 on n1)"


def test_watchdog__worker_of_an_ended_job_is_dismissed(lab, make):
    dog = make(1)
    dog.look()
    lab.work(1)
    dog.look()
    lab.set(1, "NODE_FAIL")
    dog.look()
    assert lab.dismissed == ["neq-1-0"]


def test_watchdog__refused_job_is_told_at_once(lab, make):
    lab.refuse = "sbatch refused the job: Invalid partition name specified."
    with pytest.raises(ClusterError, match="Invalid partition name"):
        make().start()


def test_watchdog__refused_later_while_others_work(lab, make):
    dog = make(2)
    dog.look()
    lab.work(1, 2)
    dog.look()
    lab.connected.remove("neq-2-0")
    lab.set(2, "NODE_FAIL")
    lab.refuse = "sbatch refused the job: no."
    dog.look()
    assert not dog.problem
    lab.connected.clear()
    lab.set(1, "NODE_FAIL")
    dog.look()
    assert dog.problem == "sbatch refused the job: no."
    lab.refuse = ""
    dog.look()
    assert (dog.problem, len(lab.scripts)) == ("", 4)


def test_watchdog__gives_up_with_what_the_job_said(lab, make, tmp_path):
    dog = make(2)
    for _ in range(START_FAILURES):
        dog.look()
        for number in lab.listed:
            (tmp_path / f"neq-{number}.err").write_text("some lines\npython: not found\n")
            lab.set(number, "FAILED", exit_code=127)
    dog.look()
    assert "FAILED with exit code 127" in dog.problem
    assert "python: not found" in dog.problem
    assert len(lab.scripts) <= START_FAILURES + 1


def test_watchdog__workers_that_never_come_are_failures(lab, make, tmp_path):
    """A prologue that hangs: the jobs run for ever."""
    dog = make(2, start_patience=0.02)

    def given_up():
        dog.look()
        for number, job in lab.listed.items():
            if job.waits:
                (tmp_path / f"neq-{number}.err").write_text("waiting for the disk\n")
                lab.set(number, "RUNNING")
        return dog.problem or len(lab.scripts) > 20

    wait_until(given_up)
    assert re.match(
        r"\d jobs in a row ended before their worker reached this machine; "
        r"the last: CANCELLED: no worker after 0\.02 s \(job \d on n1\): waiting for the disk",
        dog.problem,
    )
    assert len(lab.scripts) < 2 * START_FAILURES


def test_watchdog__lost_worker_is_waited_for_as_long_as_ever(lab, make):
    dog = make(1, start_patience=0.01)
    dog.look()
    lab.work(1)
    dog.look()
    lab.connected.clear()
    time.sleep(0.05)
    dog.look()
    assert lab.cancelled == []


def test_watchdog__workers_that_came_and_went_between_two_looks_are_no_failures(lab, make):
    dog = make(1)
    for number in range(1, START_FAILURES + 3):
        dog.look()
        assert dog.end_of(f"neq-{number}-0", time.monotonic()) is None
        lab.set(number, "OUT_OF_MEMORY")
    dog.look()
    assert (dog.problem, len(lab.scripts)) == ("", START_FAILURES + 3)


def test_watchdog__worker_that_ran_short_of_memory_between_two_looks_is_no_failure(lab, make):
    dog = make(1)
    for number in range(1, START_FAILURES + 3):
        dog.look()
        dog.ran_short(f"neq-{number}-0", SHORT_OF_MEMORY)
        lab.set(number, "OUT_OF_MEMORY")
    dog.look()
    assert (dog.problem, len(lab.scripts)) == ("", START_FAILURES + 3)


SHORT_OF_MEMORY = End(Kind.MEMORY, "OUT_OF_MEMORY: it took more than its memory")


def run_out(dog, lab, number):
    """Let a cell run out of memory in the worker of this job, and tell what is noted of it."""
    lab.work(number)
    dog.look()
    end = dog.ran_short(f"neq-{number}-0", SHORT_OF_MEMORY)
    lab.connected.clear()
    return end.text


def test_watchdog__more_memory_at_most_twice(lab, make):
    dog = make(1)
    dog.look()
    lab.work(1)
    dog.look()
    assert dog.has_memory()
    for level, had in ((1, "1.0 GiB"), (2, "2.0 GiB")):
        assert run_out(dog, lab, level) == f"OUT_OF_MEMORY: it took more than its memory, of {had}"
        assert not dog.has_memory()
        dog.look()
        assert lab.cancelled == list(range(1, level + 1))
        dog.look()
        assert dog.has_memory()
    run_out(dog, lab, 3)
    assert dog.has_memory()
    dog.look()
    assert [script for script, _ in lab.scripts] == ["1 None", "2 None", "4 None"]


def test_watchdog__several_cells_short_of_memory_raise_it_once(lab, make):
    dog = make(2)
    dog.look()
    run_out(dog, lab, 1)
    run_out(dog, lab, 2)
    assert not dog.has_memory()
    dog.look()
    # one that is told of late had the memory of before
    dog.ran_short("neq-2-0", SHORT_OF_MEMORY)
    assert dog.has_memory()
    assert [script for script, _ in lab.scripts] == ["1 None"] * 2 + ["2 None"] * 2
    assert dog.note.endswith("; memory raised to 2.0 GiB")


def test_watchdog__memory_as_far_as_the_partition_has_it(lab, make, tmp_path):
    small = Partition("short", "UP", None, most_memory_mib=3 * 1024, n_node=1, node_memory_mib=64 * 1024)
    dog = make(1, partition=small, memory_margin=1)
    dog.look()
    for number in (1, 2):
        run_out(dog, lab, number)
        assert not dog.has_memory()
        dog.look()
    text = run_out(dog, lab, 3)
    assert text.endswith("of 3.0 GiB, the most that partition short can give")
    dog.has_memory()
    dog.look()
    assert [script for script, _ in lab.scripts] == ["1 None", "2 None", "3 None"]
    assert "memory stays at 3.0 GiB, the most that partition short can give" in (tmp_path / "events.log").read_text()


def test_watchdog__memory_that_no_node_has(lab, make):
    dog = make(1)
    dog.look()
    run_out(dog, lab, 1)
    assert not dog.has_memory()
    lab.refuse = "sbatch refused the job: Memory specification can not be satisfied."
    dog.look()
    lab.refuse = ""
    dog.look()
    assert [script for script, _ in lab.scripts] == ["1 None", "1 None"]
    assert not dog.problem
    assert run_out(dog, lab, 2).endswith("of 1.0 GiB, the most that the batch system can give")
    dog.has_memory()
    dog.look()
    assert len(lab.scripts) == 2


def test_watchdog__busy_batch_system_takes_no_memory_away(lab, make):
    dog = make(1)
    dog.look()
    run_out(dog, lab, 1)
    assert not dog.has_memory()
    lab.refuse = AwayError("sbatch cannot submit now: Unable to contact slurm controller.")
    dog.look()
    lab.refuse = ""
    assert not dog.problem
    dog.look()
    assert [script for script, _ in lab.scripts] == ["1 None", "2 None"]


def test_watchdog__no_more_jobs_than_blocks_are_left(lab, make):
    dog = make(8, most_jobs=5)
    dog.look()
    assert len(lab.scripts) == 5
    lab.work(1)
    dog.need(
        2,
    )
    dog.look()
    assert len(lab.cancelled) == 3
    assert 1 not in lab.cancelled
    assert Counter(job.state for job in lab.listed.values()) == {"RUNNING": 1, "PENDING": 1, "CANCELLED": 3}


def test_watchdog__workers_leave_earlier_where_cells_are_long(lab, make):
    dog = make(1, walltime="01:00:00")
    dog.look()
    lab.set(1, "NODE_FAIL")
    dog.cell_seconds(100.0)
    dog.look()
    assert [script for script, _ in lab.scripts] == ["1 None", "1 390.0"]


def test_watchdog__goes_on_while_the_batch_system_is_away(lab, make):
    dog = make(1)
    dog.start()
    answer = lab.jobs

    def away(ids, name):
        raise ClusterError("squeue does not answer")

    lab.jobs = away
    wait_until(lambda: "not known (squeue does not answer)" in dog.note)
    lab.jobs = answer
    lab.work(1)
    wait_until(lambda: dog.note == "1 job works")
    dog.close()
    assert lab.cancelled == ["neq-test"]


def test_watchdog__starts_with_one_job_and_looks_between_the_others(lab, make, monkeypatch):
    monkeypatch.setattr(watchdog, "WAKE_SECONDS", 0.01)
    dog = make(50, watch_interval=60)
    dog.start()
    assert len(lab.scripts) <= 1 + watchdog.MOST_SUBMITS
    wait_until(lambda: len(lab.scripts) == 50)
    assert lab.n_look == 4
    dog.close()


def test_watchdog__first_look_submits_one_job(lab, make, monkeypatch):
    dog = make(50)
    monkeypatch.setattr(dog, "_thread", threading.Thread())
    dog.start()
    assert len(lab.scripts) == 1
    assert dog.note == "1 job waits in the queue"


def test_watchdog__refused_jobs_are_not_asked_for_again_at_once(lab, make, monkeypatch):
    """As where the site lets nobody have so many."""
    monkeypatch.setattr(watchdog, "WAKE_SECONDS", 0.01)
    dog = make(50, watch_interval=60)
    dog.start()
    lab.refuse = "sbatch refused the job: QOSMaxSubmitJobPerUserLimit."
    wait_until(lambda: "QOSMaxSubmitJobPerUserLimit" in dog.note or len(lab.scripts) > 1)
    n_look = lab.n_look
    time.sleep(0.2)
    assert lab.n_look <= n_look + 2
    assert not dog.problem
    dog.close()


def test_watchdog__closes_while_the_batch_system_is_busy(lab, make):
    dog = make(2)
    busy, answer = threading.Event(), lab.submit

    def submit(script, extra, pause):
        if not lab.scripts:
            return answer(script, extra, pause)
        busy.set()
        pause(60.0)
        raise AwayError("sbatch cannot submit now.")

    lab.submit = submit
    dog.start()
    assert busy.wait(10)
    begin = time.monotonic()
    dog.close()
    assert time.monotonic() - begin < 5


def test_watchdog__batch_system_that_is_away_is_told_and_not_waited_for_without_end(lab, make, monkeypatch):
    lab.refuse = AwayError("sbatch cannot submit now: Unable to contact slurm controller.")
    dog = make(1)
    dog.look()
    dog.look()
    assert dog.note == "no job; sbatch cannot submit now: Unable to contact slurm controller"
    assert not dog.problem
    monkeypatch.setattr(patience, "AWAY_SECONDS", 0.0)
    dog.look()
    assert dog.problem == "sbatch cannot submit now: Unable to contact slurm controller."
    lab.refuse = ""
    dog.look()
    dog.look()
    assert (dog.problem, dog.note) == ("", "1 job waits in the queue (Priority)")


def test_watchdog__a_look_that_always_fails_is_a_problem_in_the_end(lab, make, monkeypatch):
    monkeypatch.setattr(watchdog, "WAKE_SECONDS", 0.01)
    monkeypatch.setattr(patience, "BROKEN_SECONDS", 0.2)
    dog = make(1, watch_interval=0.01)
    dog.start()
    lab.jobs = None
    wait_until(lambda: dog.note == "not known ('NoneType' object is not callable)")
    assert not dog.problem
    wait_until(lambda: dog.problem)
    assert dog.problem == "The jobs cannot be watched (TypeError: 'NoneType' object is not callable)."
    dog.close()


def test_watchdog__jobs_that_cannot_be_cancelled_are_told(lab, make, tmp_path):
    dog = make(1)
    dog.look()
    told = []

    def cancel(ids=(), name="", pause=None):
        raise AwayError("scancel cannot cancel now: Socket timed out.")

    lab.cancel = cancel
    batch._close(dog, told.append)
    assert told == [
        "Jobs may be left in the queue, `scancel --name=neq-test` cancels them: "
        "scancel cannot cancel now: Socket timed out."
    ]
    assert "cannot cancel now" in (tmp_path / "events.log").read_text()


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["neq-1", "neq-a-0", "other-1-0", "3"])
def test_run_of__workers_that_are_not_ours(name):
    assert run_of(name) is None
