import errno
import json
import time
from io import StringIO

import numpy as np
import pytest
from fake_slurm import FakeSlurm, options
from rich.console import Console

from cluster import leaving, preload, slurm
from cluster.errors import AwayError
from neq.errors import ConfigError, LeaseHeldError, SweepError
from workflows import layout, lease, provenance
from workflows.blocks import handout, owners
from workflows.blocks.flush import Fence
from workflows.commands import array, jobs
from workflows.store import Store

# of the local run that is compared with: distributed leaves sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

BITS = ("value", "n_unit", "reason", "drawn_unit", "theta", "status", "quality", "error_type", "error")
PROFILE = """
scheduler: slurm
partition: normal
cores: 2
processes: 2
memory: 1GiB
memory_margin: 1.5
workers: 6
most_jobs: 3
driver: {memory: 2GiB, walltime: "00:30:00"}
"""


class Site:
    """A config, a profile and jobs that run when the test says so, in this process."""

    def __init__(self, folder, batch, monkeypatch):
        self.config, self.profile, self.run = folder / "toy.yaml", folder / "site.yaml", folder / "run"
        self.profile.write_text(PROFILE)
        self.batch, self._monkeypatch = batch, monkeypatch
        self.out = Console(file=StringIO(), width=300)

    def configure(self, **keys):
        lines = {"study": "toy_study:Toy", "results": str(self.run), **keys}
        self.config.write_text(json.dumps(lines))
        return self

    def submit(self, tasks=2):
        array.submit(self.config, str(self.profile), [], tasks, self.out)
        return self

    def job(self, step, *arguments, index=0):
        """Do the step of a job under the id that it was submitted with."""
        number = jobs.read(self.run).jobs[step]
        # every element of an array has an id of its own
        self._monkeypatch.setenv("SLURM_JOB_ID", str(number * 100 + index if step == array.TASKS else number))
        self._monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
        do = {array.PREPARE: array.prepare, array.TASKS: array.compute, array.FINISH: array.finish}[step]
        return do(self.run, *arguments, self.out)

    def said(self):
        return self.out.file.getvalue()

    @property
    def store(self):
        return Store.open(self.run / "sweep.zarr")

    def die(self, number_of_round, cell):
        """Leave behind what a task leaves that is killed in a cell of the first block of a round."""
        given = handout.read(self.run / "jobs" / f"round-{number_of_round}" / "blocks.json").given[0]
        assert handout.take(self.run, given, 5)
        self.batch.states[5] = "OUT_OF_MEMORY"
        fence = Fence(owners.block_folder(self.run, given.block) / given.token)
        fence.claim()
        fence.mark(cell)


@pytest.fixture
def site(tmp_path, monkeypatch):
    # it would leave Ctrl-C to a driver that there is not
    monkeypatch.setattr(preload, "dask_setup", lambda worker: None)
    return Site(tmp_path, FakeSlurm(monkeypatch), monkeypatch)


def test_submit__three_jobs_that_wait_for_one_another(site):
    site.configure().submit(tasks=64)
    prepare, tasks, finish = map(options, site.batch.scripts)
    assert "--job-name=neq-prepare-run" in prepare
    assert {"--mem=2048M", "-t 00:30:00"} <= set(prepare)
    assert not [line for line in prepare if "dependency" in line]
    assert {"--array=0-63%3", "--dependency=afterok:101", "--kill-on-invalid-dep=yes"} <= set(tasks)
    assert {"--cpus-per-task=1", "--mem=1536M", f"--output={site.run}/jobs/tasks-%A_%a.log"} <= set(tasks)
    assert "--dependency=afterany:102" in finish
    assert [script.splitlines()[-1].partition(" job-step ")[2] for script in site.batch.scripts] == [
        f"prepare {site.run}",
        f"tasks {site.run} 1",
        f"finish {site.run} 1",
    ]
    assert jobs.read(site.run).jobs == {"prepare": 101, "tasks": 102, "finish": 103}
    assert "jobs 101 (prepares), 102 (64 tasks), 103 (reduces)" in site.said()


def test_submit__as_many_tasks_as_workers_where_nobody_says(site):
    site.configure().submit(tasks=None)
    assert "--array=0-5%3" in options(site.batch.scripts[1])


def test_submit__refused_while_a_job_of_it_lives(site):
    site.configure().submit()
    site.batch.states[103] = "PENDING"
    with pytest.raises(LeaseHeldError, match="job 103, submitted for it, is PENDING"):
        site.submit()


@pytest.mark.parametrize("most", [1, 2])
def test_submit__nothing_is_left_in_the_queue_where_one_is_refused(site, most):
    site.batch.most = most
    with pytest.raises(SweepError, match="too many"):
        site.configure().submit()
    assert sorted(site.batch.cancelled) == [101, 102][:most]


def test_submit__job_that_cannot_be_cancelled_is_told(site, monkeypatch):
    def away(ids=(), name=""):
        raise AwayError("scancel cannot cancel now: Socket timed out.")

    site.batch.most = 1
    monkeypatch.setattr(slurm, "cancel", away)
    with pytest.raises(SweepError, match="scancel cannot cancel now"):
        site.configure().submit()


def test_array__same_bits_as_the_local_run(site, finished_run):
    local = Store.open(finished_run[1] / "sweep.zarr")
    site.configure(sessions=["a", "bad1"], sizes=[2, 13, "all"], big=True, repetitions=3).submit()
    assert site.job("prepare") == 0
    assert lease.current(site.run) is None
    assert [site.job("tasks", 1, index=i) for i in (1, 0)] == [0, 0]
    assert site.job("finish", 1) == 1
    for name in BITS:
        np.testing.assert_array_equal(site.store.read(name), local.read(name), err_msg=name)
    assert (site.store.read("attempts") == 1).all()
    assert list((site.run / "owners").iterdir()) == []
    assert (site.run / "report.html").exists()
    (run,) = set(site.store.read("run").ravel())
    facts = provenance.read(site.run)[run]
    assert facts["workers"] == [provenance.machine()]
    assert facts["jobs"] == [10200, 10201]
    assert "36 cells: 12 ok, 12 failed, 12 impossible, 36 computed" in site.said()
    assert not (site.run / "jobs" / "submitted.json").exists()
    site.submit()
    assert f"{site.run} is finished" in site.said()
    assert len(site.batch.scripts) == 3


def test_array__sources_are_prepared_by_the_first_job(site):
    site.configure(with_sources=True, sessions=["a", "b"], repetitions=1).submit()
    (site.run / "a.txt").write_text("one")
    assert site.job("prepare") == 0
    assert "ingest failed, session b" in site.said()
    assert site.job("tasks", 1) == 0
    assert site.job("finish", 1) == 1
    assert set(site.store.read("error_type")[1].ravel()) == {"IngestError"}
    assert set(site.store.status()[0].ravel()) == {1}


def test_array__a_task_that_died_costs_its_cell_one_round(site):
    site.configure(repetitions=2).submit()
    site.job("prepare")
    site.die(1, cell=1)
    site.job("tasks", 1)
    rounds = 1
    while "reduce, figures, report" not in site.said():
        assert site.job("finish", rounds) == 0
        rounds += 1
        if "reduce, figures, report" not in site.said():
            site.job("tasks", rounds)
        assert rounds < 9
    # one round for its neighbours, one for itself
    assert rounds == 4
    attempts = site.store.read("attempts")
    assert (site.store.status() == 1).all()
    assert sorted(attempts.ravel().tolist())[-2:] == [1, 2]
    assert "round 2, jobs 104 and 105" in site.said()
    assert "--array=0-0%3" in options(site.batch.scripts[3])


def test_array__a_cell_that_kills_its_task_is_given_up(site):
    site.configure(repetitions=2, sweep={"deaths": 1}).submit()
    site.job("prepare")
    site.die(1, cell=1)
    site.job("tasks", 1)
    assert site.job("finish", 1) == 0
    site.job("tasks", 2)
    assert site.job("finish", 2) == 1
    assert "24 cells: 23 ok, 1 failed" in site.said()
    error = site.store.read("error")
    assert [text for text in error.ravel() if text] == [
        "The worker died in this cell 1 times; the last time: OUT_OF_MEMORY: the job exceeded its memory (job 5)."
    ]


def test_array__cells_beyond_the_stop_rule_are_masked(site):
    stop = {"absolute_sem": 1000.0, "at_least": 2}
    site.configure(repetitions=4, sweep={"stop": stop, "block": {"repetition": 1}}).submit()
    site.job("prepare")
    site.job("tasks", 1)
    assert site.job("finish", 1) == 0
    assert (site.store.status()[..., :2] == 1).all()
    assert (site.store.status()[..., 2:] == 4).all()
    # a task asks the rule before it takes a block: blocks beyond it are never computed
    assert (site.store.read("run")[..., 2:] == "").all()


def test_array__rounds_without_progress_end(site):
    site.configure(repetitions=1).submit()
    site.job("prepare")
    codes = [site.job("finish", number) for number in range(1, jobs.FRUITLESS + 1)]
    assert codes == [0] * (jobs.FRUITLESS - 1) + [1]
    assert f"given up: {jobs.FRUITLESS} rounds in a row without a new cell done, 12 to go" in site.said()
    assert jobs.read(site.run).end == "given up"
    assert lease.current(site.run) is None


def test_array__rounds_end_where_tasks_die_before_their_first_cell(site):
    site.configure(repetitions=1, sessions=["a"]).submit()
    site.job("prepare")
    codes = []
    for number in range(1, 2 * jobs.FRUITLESS):
        (given, *_) = handout.read(site.run / "jobs" / f"round-{number}" / "blocks.json").given
        assert handout.take(site.run, given, 5)
        site.batch.states[5] = "OUT_OF_MEMORY"
        codes.append(site.job("finish", number))
        if codes[-1]:
            break
    assert codes == [0] * (jobs.FRUITLESS - 1) + [1]
    assert owners.all_deaths(site.run) == {}


def test_array__a_full_disk_ends_a_task_and_blames_no_cell(site, monkeypatch):
    site.configure(repetitions=1, sessions=["a"]).submit()
    site.job("prepare")

    def full(fence, path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Fence, "write", full)
        assert site.job("tasks", 1) == 1
    assert "sweep.zarr cannot be written: No space left on device. Free some space" in site.said()
    site.batch.states[10200] = "FAILED"
    assert site.job("finish", 1) == 0
    assert owners.all_deaths(site.run) == {}
    assert site.job("tasks", 2) == 0
    assert site.job("finish", 2) == 0
    assert (site.store.status() == 1).all()


def test_array__a_source_that_kills_its_process_fails_alone(site):
    site.configure(with_sources=True, sessions=["a", "b"], repetitions=1, sweep={"deaths": 1}).submit()
    for name, content in (("a", "die"), ("b", "one")):
        (site.run / f"{name}.txt").write_text(content)
    assert site.job("prepare") == 0
    assert "ingest failed, session a: its process died while it read this source" in site.said()
    assert site.job("tasks", 1) == 0
    assert site.job("finish", 1) == 1
    assert set(site.store.read("error").ravel()[:6]) == {
        "WorkerLost: its process died while it read this source: it was killed from outside or ran out of memory"
    }
    assert set(site.store.status()[1].ravel()) == {1}


def test_array__no_cell_is_begun_when_the_walltime_is_nearly_over(site, monkeypatch):
    site.configure(repetitions=4, sessions=["a"], conditions=["rest"], sizes=[2], seconds=0.3).submit()
    site.job("prepare")
    assert "export NEQ_LEAVE_AT=$(( $(date +%s) + 3300 - RANDOM % 1 ))" in site.batch.scripts[1].splitlines()
    assert not any("NEQ_LEAVE_AT" in site.batch.scripts[i] for i in (0, 2))
    monkeypatch.setenv("NEQ_LEAVE_AT", str(time.time() - leaving.GRACE_SECONDS + 0.4))
    assert site.job("tasks", 1) == 0
    n_done = int((site.store.status() == 1).sum())
    assert 0 < n_done < 4
    # the next task of the round begins nothing
    assert site.job("tasks", 1, index=1) == 0
    assert site.said().count("the walltime is nearly over") == 2
    assert int((site.store.status() == 1).sum()) == n_done
    assert site.job("finish", 1) == 0
    assert owners.all_deaths(site.run) == {}
    monkeypatch.delenv("NEQ_LEAVE_AT")
    assert site.job("tasks", 2) == 0
    assert site.job("finish", 2) == 0
    assert provenance.read(site.run)[site.store.read("run").ravel()[0]]["problems"] == []


def test_array__a_damaged_block_in_which_tasks_died_is_told(site):
    site.configure(repetitions=2, sessions=["a"], sweep={"deaths": 2}).submit()
    site.job("prepare")
    for number in (1, 2, 3):
        if number != 2:  # the neighbours, in between
            site.die(number, cell=1)
        site.job("tasks", number)
        if number != 3:
            site.job("finish", number)
    (given,) = handout.read(site.run / "jobs" / "round-3" / "blocks.json").given
    index = tuple(int(part) for part in given.block.split("."))
    path = layout.chunk_path(site.store.path, "value", index)
    assert path.exists()
    path.write_bytes(b"rubbish")
    assert site.job("finish", 3) == 0
    assert f"variable value, block {given.block}" in site.said()


def test_preload__what_computes_without_dask_has_no_loop(monkeypatch, tmp_path):
    monkeypatch.setenv("NEQ_LEAVE_AT", "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(preload, "cache_root", lambda: tmp_path)
    monkeypatch.setattr(preload.signal, "signal", lambda *_: None)
    preload.dask_setup(None)


def test_finish__only_the_last_job_of_the_round(site, monkeypatch):
    site.configure(repetitions=1).submit()
    site.job("prepare")
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    with pytest.raises(ConfigError, match=r"Round 1 of .* is over: job 103 ends the run"):
        array.finish(site.run, 1, site.out)


def test_finish__says_where_to_look_when_nothing_was_prepared(site):
    site.configure().submit()
    with pytest.raises(SweepError, match="was not prepared: the log of job 101"):
        site.job("finish", 1)
    assert jobs.read(site.run).end == "given up"


def test_cause__of_a_death(site):
    site.batch.states |= {1: "OUT_OF_MEMORY", 2: "FAILED", 3: "TIMEOUT", 4: "NODE_FAIL", 5: "COMPLETED"}
    assert array.cause(1) == ("OUT_OF_MEMORY: the job exceeded its memory (job 1)", True)
    assert array.cause(2) == ("FAILED (job 2)", True)
    assert [array.cause(job)[1] for job in (3, 4, 5)] == [False] * 3
    # what SLURM has forgotten may have been anything
    assert array.cause(6) == ("it was killed from outside or ran out of memory", False)
