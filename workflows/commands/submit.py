"""What `neq submit` does: the driver as a batch job that goes back into the queue until its sweep is done."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster import slurm
from neq.errors import ConfigError
from workflows import stop, studies
from workflows.commands import job_ends, jobs, pipeline
from workflows.commands.jobs import Submission
from workflows.commands.plan import status_on
from workflows.grid import Grid
from workflows.guard import EXIT_FAILED, EXIT_USAGE
from workflows.layout import PENDING
from workflows.lease import acquire
from workflows.progress import say
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Study

DRIVER, DRIVER_STEP = "driver", "drive"
END_NEAR = signal.SIGUSR1
"""Sent by SLURM before the walltime ends. Not SIGTERM, which `scancel` sends: who cancels a job wants its end."""
_HOPELESS = (EXIT_USAGE,)
"""Exit codes of `neq run` that another attempt would not change."""


def submit(config: Path, profile: str, overrides: Sequence[str], console: Console) -> None:
    """Submit the driver of a sweep as a batch job and say where to follow it.

    Raises
    ------
    neq.errors.LeaseHeldError
        A driver, or a job that was submitted earlier, works on the run folder or waits to.
    """
    if (asked := to_submit(config, profile, overrides, console)) is None:
        return
    submission, folder = asked
    # under the lease, so that of two commands at once only one submits
    with acquire(folder):
        jobs.write(folder, submission)
        job = submit_driver(folder, submission)
        jobs.write(folder, replace(submission, jobs={DRIVER: job}))
    say(console, f"job {job} drives {folder}, log: {jobs.log_path(folder, DRIVER, job)}")
    say(console, "it goes back into the queue until the sweep is done")
    say(console, f"follow it: neq status {shlex.quote(str(folder))} --watch")


def to_submit(config: Path, profile: str, overrides: Sequence[str], console: Console) -> tuple[Submission, Path] | None:
    """Return what is to be submitted and its run folder, once all that can be known here is right.

    Returns
    -------
    tuple or None
        None for a run that is finished, which is told.
    """
    submission, study = _checked(config, profile, overrides)
    folder = study.config.run_folder.absolute()
    if pipeline.finished(study.config, study) is not None:
        say(console, f"{folder} is finished: nothing left to compute.")
        return None
    jobs.require(submission.checked_profile())
    jobs.refuse_second(folder)
    return submission, folder


def _checked(config: Path, profile: str, overrides: Sequence[str]) -> tuple[Submission, Study]:
    submission = Submission(str(config.absolute()), tuple(overrides), _absolute(profile))
    if (found := submission.checked_profile()).scheduler != "slurm":
        raise ConfigError(
            f"`neq submit` knows SLURM only, and the profile {profile} is of {found.scheduler}: put "
            f"`neq run {config} --cluster {profile}` into a job of your own."
        )
    loaded = submission.loaded()
    make = studies.study_class(loaded.study)
    study = make(make(loaded).resolved())
    Grid(study.axes()).block_shape(loaded.sweep.block)
    if loaded.sweep.stop is not None:
        stop.variable(study)
    return submission, study


def submit_driver(folder: Path, submission: Submission, directives: Sequence[str] = ()) -> int:
    """Submit the job of a driver and return its id."""
    asked = jobs.driver_profile(submission.checked_profile())
    notice = f"--signal=B:{END_NEAR.name.removeprefix('SIG')}@{jobs.notice_seconds(asked.walltime_seconds)}"
    return jobs.submit(folder, asked, DRIVER, [DRIVER_STEP], [notice, *directives])


def command(submission: Submission) -> list[str]:
    """Return the words of `neq run` for a submission.

    Examples
    --------
    >>> command(Submission("/c/s1.yaml", ("seed=2",), "slurm"))
    ['run', '/c/s1.yaml', '--cluster', 'slurm', '--set', 'seed=2']
    """
    words = ["run", submission.config, "--cluster", submission.profile]
    return [*words, *(word for text in submission.overrides for word in ("--set", text))]


def drive(folder: Path, console: Console) -> int:
    """Run the driver within its job; if it does not end the sweep, put the job back into the queue.

    Returns
    -------
    int
        Exit code of the job.
    """
    jobs.own_job()
    with job_ends.ending(folder):
        return _drive(folder, console)


def _drive(folder: Path, console: Console) -> int:
    job, child = jobs.own_job(), Child()
    jobs.wait_for_lease(folder)
    submission = jobs.read(folder)
    if submission.jobs.get(DRIVER) not in (job, None):
        raise ConfigError(f"Job {job} is not the one that drives {folder}, which is {submission.jobs[DRIVER]}.")
    say(console, f"neq {shlex.join(command(submission))}")
    code = child.run([sys.executable, "-m", "workflows.cli", *command(submission)])
    if child.cancelled and not child.end_near:
        say(console, "cancelled: what is done is kept")
        jobs.write(folder, replace(submission, end=job_ends.CANCELLED))
        return code
    if code in _HOPELESS:
        jobs.write(folder, replace(submission, end=job_ends.GIVEN_UP))
        return code
    n_done, n_pending = progress(submission)
    if n_done >= 0 and not n_pending and code in (0, EXIT_FAILED):
        job_ends.forget(folder)
        return code
    submission = submission.after(n_done)
    jobs.write(folder, submission)
    if submission.fruitless >= jobs.FRUITLESS:
        jobs.write(folder, replace(submission, end=job_ends.GIVEN_UP))
        say(console, f"given up: {submission.fruitless} attempts in a row without a new cell done; see above for why")
        return EXIT_FAILED
    say(console, f"exit code {code}, {n_pending} cells to go: back into the queue")
    _again(folder, submission, job)
    return 0


def progress(submission: Submission) -> tuple[int, int]:
    """Return how many cells of the config are done and pending; -1 and 0 where there is no store yet."""
    config = submission.loaded()
    path = config.run_folder / STORE_NAME
    if not path.exists():
        return -1, 0
    status = status_on(Grid(studies.study_class(config.study)(config).axes()), Store.open(path))
    return int((status != PENDING).sum()), int((status == PENDING).sum())


class Child:
    """The driver's own process, told of the signals that this one gets from now on."""

    def __init__(self) -> None:
        self.end_near = self.cancelled = False
        self._process: subprocess.Popen[bytes] | None = None
        for number in (END_NEAR, signal.SIGTERM):
            signal.signal(number, self._told)

    def run(self, command: Sequence[str]) -> int:
        """Run a command to its end, however it comes, and return its exit code."""
        if self.end_near or self.cancelled:
            return 128 + signal.SIGTERM
        self._process = subprocess.Popen(command)
        if self.end_near or self.cancelled:
            self._process.terminate()
        code = self._process.wait()
        return 128 - code if code < 0 else code

    def _told(self, number: int, frame: Any) -> None:
        self.end_near |= number == END_NEAR
        self.cancelled |= number == signal.SIGTERM
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def _again(folder: Path, submission: Submission, job: int) -> None:
    """Put this job back into the queue, under its own id; where the site does not allow that, submit another.

    The new life of a job keeps id, log and place in `squeue`, so that one `scancel` ends the run for good.
    """
    if not slurm.requeue(job):
        other = submit_driver(folder, submission, [f"--dependency=afterany:{job}"])
        jobs.write(folder, replace(submission, jobs={DRIVER: other}))


def _absolute(profile: str) -> str:
    path = Path(profile).expanduser()
    return str(path.absolute()) if path.suffix in (".yaml", ".yml") else profile
