"""`neq submit` on a real SLURM: the driver as a job, and sweeps as arrays of tasks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from cluster import slurm as commands
from workflows import lease
from workflows.commands import jobs

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
PROFILE = {"cores": 1, "workers": 2, "driver": {"memory": "800MiB"}}
BITS = ("value", "n_unit", "reason", "drawn_unit", "status", "quality", "error_type", "error")


def submit(sweep, *words):
    command = [sys.executable, "-m", "workflows.cli", "submit", str(sweep.folder / "sweep.yaml")]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [*command, "--cluster", str(sweep.folder / "here.yaml"), *words],
        # as it is within a job: nothing of this may pass into the jobs that are submitted
        env={**os.environ, "PYTHONPATH": path, "SBATCH_PARTITION": "down", "SLURM_JOB_ID": "1"},
        capture_output=True,
        text=True,
    )


def living(sweep):
    """Jobs of the present submission that have not ended; the note is gone once the run is done."""
    if not (sweep.run / jobs.FOLDER / jobs.NOTE).exists():
        return []
    return [job for job in commands.jobs(jobs.read(sweep.run).jobs.values()).values() if not job.ended]


def log(sweep, name):
    return "".join(path.read_text() for path in sorted((sweep.run / "jobs").glob(f"{name}-*.log")))


def assert_same_bits(store, other):
    for name in BITS:
        np.testing.assert_array_equal(store.read(name), other.read(name), err_msg=name)


@pytest.fixture
def submitted(sweep):
    """Return a sweep of which nothing is left in the queue afterwards."""
    yield sweep
    # the last job of a round may be submitting the next
    for _ in range(3):
        commands.cancel(job.id for job in living(sweep))


@pytest.mark.long
def test_driver__goes_back_into_the_queue_until_the_sweep_is_done(submitted, local_store, until):
    # SLURM gives notice of the end up to a minute early: the first life lasts a minute or less, the sweep needs more
    driver = {"walltime": "00:02:00", "memory": "800MiB"}
    sweep = submitted.configure(PROFILE | {"driver": driver}, seconds=1.2)
    done = submit(sweep)
    assert (done.returncode, done.stderr) == (0, "")
    job = jobs.read(sweep.run).jobs["driver"]
    assert f"job {job} drives {sweep.run}, log: {sweep.run}/jobs/driver-{job}.log" in done.stdout
    again = submit(sweep)
    assert again.returncode == 2
    assert f"job {job}, submitted for it, is " in again.stderr
    until(lambda: commands.jobs([job])[job].restarts, 180)
    until(lambda: not living(sweep), 300)
    until(lambda: commands.jobs([job])[job].state == "COMPLETED", 30)
    assert not (sweep.run / jobs.FOLDER / jobs.NOTE).exists()
    assert "cells to go: back into the queue" in log(sweep, "driver")
    assert "120 cells: 120 ok" in log(sweep, "driver")
    assert_same_bits(sweep.store, local_store)
    # of each worker at each end of a life: the cell it was in, and what it had not handed over
    n_lost = commands.jobs([job])[job].restarts * 2 * (1 + int(2 / 1.2))
    assert (sweep.store.read("attempts").astype(int) - 1).sum() <= n_lost
    assert not sweep.jobs()


def test_driver__cancelled_does_not_come_back(submitted, until):
    sweep = submitted.configure(PROFILE, seconds=0.5)
    assert submit(sweep).returncode == 0
    job = jobs.read(sweep.run).jobs["driver"]
    until(lambda: sweep.n_done() > 3, 120)
    subprocess.run(["scancel", str(job)], check=True)
    until(lambda: not living(sweep))
    assert commands.jobs([job])[job].state == "CANCELLED"
    until(lambda: not sweep.jobs(), 90)
    assert lease.current(sweep.run) is None


def test_array__same_bits_as_the_local_run(submitted, local_store, until):
    sweep = submitted.configure(PROFILE)
    done = submit(sweep, "--array", "--tasks", "3")
    assert (done.returncode, done.stderr) == (0, "")
    refused = submit(sweep, "--array")
    assert refused.returncode == 2
    assert "submitted for it, is " in refused.stderr
    until(lambda: not living(sweep), 120)
    assert "120 cells: 120 ok" in log(sweep, "finish"), log(sweep, "")
    assert_same_bits(sweep.store, local_store)
    assert (sweep.store.read("attempts") == 1).all()
    assert len(list((sweep.run / "jobs").glob("tasks-*_[012].log"))) == 3


def tasks_of(sweep):
    words = ["job-step", "tasks", str(sweep.run)]
    return [one for one in psutil.process_iter(["cmdline"]) if words == (one.info["cmdline"] or [])[-4:-1]]


@pytest.mark.long
def test_array__a_task_killed(submitted, local_store, until):
    sweep = submitted.configure(PROFILE, seconds=0.5)
    assert submit(sweep, "--array", "--tasks", "2").returncode == 0
    until(lambda: sweep.n_done() > 5, 60)
    tasks_of(sweep)[0].kill()
    until(lambda: not living(sweep), 300)
    assert "120 cells: 120 ok" in log(sweep, "finish"), log(sweep, "")
    assert "cells are left: round 2" in log(sweep, "finish")
    assert_same_bits(sweep.store, local_store)
    # the cell it was in, and what it had not handed over
    assert (sweep.store.read("attempts").astype(int) - 1).sum() <= 1 + 2 / 0.5


@pytest.mark.long
def test_array__a_cell_that_kills_its_task_fails_alone(submitted, until):
    sweep = submitted.configure(PROFILE, die="a/move/4/1", sweep={"deaths": 2}, seconds=0.0)
    assert submit(sweep, "--array", "--tasks", "2").returncode == 0
    until(lambda: not living(sweep), 300)
    assert "120 cells: 119 ok, 1 failed" in log(sweep, "finish"), log(sweep, "")
    status = sweep.store.status()
    assert np.argwhere(status == 2).tolist() == [[0, 1, 1, 1]]
    assert (
        "The worker died in this cell 2 times; the last time: FAILED by signal 9"
        in (sweep.store.read("error")[0, 1, 1, 1])
    )


def test_array__nothing_can_be_prepared(submitted, until):
    sweep = submitted.configure(PROFILE, with_sources=True)
    assert submit(sweep, "--array", "--tasks", "2").returncode == 0
    until(lambda: not living(sweep), 60)
    assert "No such file or directory" in log(sweep, "prepare")
    assert "was not prepared: the log of job" in log(sweep, "finish")
    assert not (sweep.run / "sweep.zarr").exists()
