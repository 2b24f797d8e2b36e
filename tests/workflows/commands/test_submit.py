import os
import signal
import subprocess
import sys
from io import StringIO

import pytest
from fake_slurm import FakeSlurm, options
from rich.console import Console

from neq.errors import ConfigError, LeaseHeldError, SweepError
from workflows import lease
from workflows.commands import job_ends, jobs, submit
from workflows.commands.jobs import Submission

# of the local run that is finished: distributed leaves sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PROFILE = """
scheduler: slurm
partition: long
account: brain
walltime: "02:00:00"
cores: 2
processes: 2
memory: 4GiB
workers: 6
most_jobs: 3
prologue: ["module load python"]
directives: ["--constraint=skylake"]
skip_directives: ["--mem"]
driver: {partition: service, memory: 2GiB, walltime: "1-00:00:00"}
"""


@pytest.fixture
def site(tmp_path):
    """Return the paths of a config, a profile and the run folder, in a folder with a space in its name."""
    folder = tmp_path / "my site"
    folder.mkdir()
    (folder / "toy.yaml").write_text(f"study: toy_study:Toy\nresults: {folder}/run\nrepetitions: 2\n")
    (folder / "site.yaml").write_text(PROFILE)
    return folder / "toy.yaml", folder / "site.yaml", folder / "run"


@pytest.fixture
def batch(monkeypatch):
    return FakeSlurm(monkeypatch)


@pytest.fixture
def out():
    return Console(file=StringIO(), width=300)


def said(out):
    return out.file.getvalue()


def test_submit__one_job_and_where_to_follow_it(site, batch, out):
    config, profile, folder = site
    submit.submit(config, str(profile), ["seed=3"], out)
    (script,) = batch.scripts
    assert (folder / "jobs" / "driver.sh").read_text() == script
    assert jobs.read(folder) == Submission(str(config), ("seed=3",), str(profile), {"driver": 101})
    assert lease.current(folder) is None
    text = said(out)
    assert f"job 101 drives {folder}, log: {folder}/jobs/driver-101.log" in text
    assert f"neq status '{folder}' --watch" in text


def test_submit__script_asks_for_what_the_profile_says_of_the_driver(site, batch, out):
    config, profile, folder = site
    submit.submit(config, str(profile), [], out)
    assert options(batch.scripts[0]) == [
        "-p service",
        "-A brain",
        "-n 1",
        "--cpus-per-task=1",
        "-t 24:00:00",
        "--constraint=skylake",
        "--job-name=neq-driver-run",
        f"--output='{folder}/jobs/driver-%j.log'",
        "--open-mode=append",
        "--requeue",
        "--signal=B:USR1@180",
    ]
    lines = batch.scripts[0].splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines.index("module load python") < lines.index("export OMP_NUM_THREADS=1")
    assert lines[-1] == f"exec {sys.executable} -m workflows.cli job-step drive '{folder}'"
    subprocess.run(["bash", "-n"], input=batch.scripts[0], text=True, check=True)


def test_submit__refused_while_an_earlier_job_lives(site, batch, out):
    config, profile, folder = site
    submit.submit(config, str(profile), [], out)
    for state in ("PENDING", "RUNNING", "COMPLETING"):
        batch.states[101] = state
        with pytest.raises(LeaseHeldError, match=rf"job 101, submitted for it, is {state}.*scancel 101"):
            submit.submit(config, str(profile), [], out)
    assert len(batch.scripts) == 1
    batch.states[101] = "COMPLETED"
    submit.submit(config, str(profile), [], out)
    assert jobs.read(folder).jobs == {"driver": 102}


def test_submit__refused_while_a_driver_lives(site, batch, out, monkeypatch):
    config, profile, folder = site
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with lease.acquire(folder), pytest.raises(LeaseHeldError, match=r"process \d+ on .* \(job 77\) works on it"):
        submit.submit(config, str(profile), [], out)
    assert not batch.scripts


def test_submit__finished_run_is_left_alone(finished_run, site, batch, out):
    submit.submit(finished_run[0], str(site[1]), [], out)
    assert "is finished: nothing left to compute" in said(out)
    assert not batch.scripts


def test_submit__bad_input_before_anything_is_written(site, batch, out):
    config, profile, folder = site
    profile.with_name("pbs.yaml").write_text("scheduler: pbs\ncores: 1\nmemory: 1GiB\n")
    with pytest.raises(ConfigError, match=r"knows SLURM only, and the profile .*pbs.yaml is of pbs: put `neq run"):
        submit.submit(config, str(profile.with_name("pbs.yaml")), [], out)
    with pytest.raises(ConfigError, match="There is no profile 'slrum': did you mean 'slurm'"):
        submit.submit(config, "slrum", [], out)
    with pytest.raises(ConfigError, match="The profile 'local' has no jobs"):
        submit.submit(config, "local", [], out)
    with pytest.raises(ConfigError, match="repetitions"):
        submit.submit(config, str(profile), ["repetitions=many"], out)
    profile.write_text(PROFILE.replace('walltime: "1-00', 'walltime: "2-00'))
    with pytest.raises(ConfigError, match="over the limit of partition service, 1-00:00:00"):
        submit.submit(config, str(profile), [], out)
    batch.here = False
    with pytest.raises(ConfigError, match="This machine has no sbatch"):
        submit.submit(config, str(profile), [], out)
    assert not folder.exists()


def test_submit__what_sbatch_says_comes_through(site, batch, out):
    batch.most = 0
    with pytest.raises(SweepError, match="too many"):
        submit.submit(site[0], str(site[1]), [], out)
    assert lease.current(site[2]) is None


@pytest.fixture
def driven(site, batch, out, monkeypatch):
    """Return a function that is the job: its driver ends with ``code`` and leaves so many cells done and pending."""
    config, profile, folder = site
    submit.submit(config, str(profile), ["seed=3"], out)
    monkeypatch.setenv("SLURM_JOB_ID", "101")

    class Ended:
        end_near = cancelled = False

        def run(self, command):
            self.commands.append(command)
            return self.code

    def drive(code, n_done=0, n_pending=5, **flags):
        Ended.code, Ended.commands = code, []
        for name in ("end_near", "cancelled"):
            setattr(Ended, name, flags.get(name, False))
        monkeypatch.setattr(submit, "Child", Ended)
        monkeypatch.setattr(submit, "progress", lambda submission: (n_done, n_pending))
        code = submit.drive(folder, out)
        assert Ended.commands == [
            [sys.executable, "-m", "workflows.cli", "run", str(config), "--cluster", str(profile), "--set", "seed=3"]
        ]
        return code

    return drive


@pytest.mark.parametrize("code", [0, 1])
def test_drive__done(driven, batch, site, code):
    assert driven(code, n_done=16, n_pending=0) == code
    assert not batch.requeued
    # nothing is waited for any more
    assert not (site[2] / "jobs" / "submitted.json").exists()


def test_drive__what_another_attempt_would_not_change(driven, batch, site):
    assert driven(2, n_done=3) == 2
    assert not batch.requeued
    assert jobs.read(site[2]).end == "given up"


def test_drive__cancelled_is_not_brought_back(driven, batch, site, out):
    assert driven(130, n_done=3, cancelled=True) == 130
    assert not batch.requeued
    assert said(out).endswith("cancelled: what is done is kept\n")
    assert jobs.read(site[2]).end == "cancelled"


def test_drive__goes_back_into_the_queue(driven, batch, site, out):
    # told of the end of its walltime; then SLURM ends what has not ended
    assert driven(130, n_done=3, end_near=True, cancelled=True) == 0
    assert driven(137, n_done=5) == 0
    assert driven(1, n_done=6) == 0
    assert batch.requeued == [101, 101, 101]
    assert jobs.read(site[2]).fruitless == 0
    assert "exit code 137, 5 cells to go: back into the queue" in said(out)


def test_drive__fruitless_attempts_end(driven, batch, site, out):
    assert driven(137, n_done=3) == 0
    results = [driven(1, n_done=3) for _ in range(jobs.FRUITLESS)]
    assert results == [0] * (jobs.FRUITLESS - 1) + [1]
    assert len(batch.requeued) == jobs.FRUITLESS
    assert f"given up: {jobs.FRUITLESS} attempts in a row" in said(out)
    assert jobs.read(site[2]).end == "given up"
    # put back into the queue by hand it goes on
    assert driven(137, n_done=4) == 0
    assert jobs.read(site[2]).end == ""


def test_take_over__by_a_driver_that_is_no_job_of_the_run(driven, site, monkeypatch):
    job_ends.take_over(site[2])
    assert jobs.read(site[2]).end == ""
    monkeypatch.delenv("SLURM_JOB_ID")
    job_ends.take_over(site[2])
    assert jobs.read(site[2]).end == "driven by hand"


def test_drive__without_a_store(driven, batch, out):
    assert driven(1, n_done=-1, n_pending=0) == 0
    assert batch.requeued == [101]


def test_drive__another_job_where_the_site_forbids_to_requeue(driven, batch, site):
    batch.may_requeue = False
    assert driven(130, n_done=3, end_near=True) == 0
    assert "--dependency=afterany:101" in options(batch.scripts[-1])
    assert jobs.read(site[2]).jobs == {"driver": 102}


def test_drive__only_the_job_that_was_submitted(site, batch, out, monkeypatch):
    submit.submit(site[0], str(site[1]), [], out)
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    with pytest.raises(ConfigError, match="Job 55 is not the one that drives"):
        submit.drive(site[2], out)
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(ConfigError, match="belongs into jobs"):
        submit.drive(site[2], out)


def test_progress__counts_cells_of_the_config(finished_run, site):
    found = Submission(str(finished_run[0]), (), str(site[1]))
    assert submit.progress(found) == (36, 0)
    assert submit.progress(Submission(str(finished_run[0]), ("repetitions=4",), str(site[1]))) == (36, 12)
    assert submit.progress(Submission(str(site[0]), (), str(site[1]))) == (-1, 0)


SIGNALLED = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
os.kill(os.getppid(), {number})
time.sleep(20)
"""


@pytest.fixture
def _own_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize(("number", "end_near"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_child__is_asked_to_end_when_its_job_is(number, end_near):
    child = submit.Child()
    assert child.run([sys.executable, "-c", SIGNALLED.format(number=int(number))]) == 7
    assert (child.end_near, child.cancelled) == (end_near, not end_near)


@pytest.mark.usefixtures("_own_signals")
def test_child__killed_or_told_before_it_began():
    child = submit.Child()
    assert child.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137
    os.kill(os.getpid(), signal.SIGUSR1)
    assert child.end_near
    assert child.run(["never-run"]) == 143
