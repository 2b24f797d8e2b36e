"""The batch jobs that work on a run folder by themselves: their scripts, and the note of what was submitted.

``jobs/`` of the run folder holds the scripts and logs, the note ``submitted.json``, and the rounds of an array run.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cluster import limits, script, slurm
from cluster.profile import Profile
from neq.errors import ConfigError, LeaseHeldError, SweepError
from workflows import config as run_config
from workflows import lease
from workflows.cluster_profile import load_profile, told
from workflows.lease import SILENCE_SECONDS, Lease, acquire
from workflows.staging import write_whole
from workflows.store import problems

FOLDER, NOTE = "jobs", "submitted.json"
LEAST_NOTICE, MOST_NOTICE = 30, 180
"""Seconds before the end of its walltime at which a driver job is told; SLURM may be a minute early."""
FRUITLESS = 4
"""So many attempts, or rounds of an array, in a row without a new cell done end the run."""
PATIENCE_SECONDS = 1.5 * SILENCE_SECONDS
"""A job waits so long for the lease: its own earlier life may have died on another machine."""


@dataclass(frozen=True)
class Submission:
    """What was submitted, and how it has gone on since.

    Parameters
    ----------
    config, overrides, profile
        As the command was given them, paths made absolute.
    jobs
        Ids by what the job does.
    tasks
        Tasks of the array; 0: a driver with workers.
    n_done
        Cells done when the last attempt ended; -1: none has ended.
    fruitless
        Attempts in a row without a new cell done.
    end
        Why no job goes on with it, though it is not done; empty while one does.
    """

    config: str
    overrides: tuple[str, ...]
    profile: str
    jobs: dict[str, int] = field(default_factory=dict)
    tasks: int = 0
    n_done: int = -1
    fruitless: int = 0
    end: str = ""

    def loaded(self) -> run_config.RunConfig:
        """Return the config with its overrides."""
        return run_config.load(self.config, self.overrides)

    def checked_profile(self) -> Profile:
        """Return the profile."""
        return load_profile(self.profile)

    def after(self, n_done: int, advanced: bool = False) -> Submission:
        """Return the note after an attempt that left so many cells done, or got on in another way.

        Examples
        --------
        >>> submission = Submission("c.yaml", (), "slurm", n_done=7, fruitless=1)
        >>> submission.after(7).fruitless, submission.after(9).fruitless
        (2, 0)
        """
        advanced = advanced or n_done > max(0, self.n_done)
        return replace(self, n_done=n_done, fruitless=0 if advanced else self.fruitless + 1)


def read(run_folder: Path) -> Submission:
    """Return the note of a run folder.

    Raises
    ------
    neq.errors.ConfigError
        There is none.
    """
    try:
        content = json.loads((run_folder / FOLDER / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"Nothing was submitted for {run_folder}: give `neq submit CONFIG` first.") from error
    return Submission(**{**content, "overrides": tuple(content["overrides"])})


def write(run_folder: Path, submission: Submission) -> None:
    """Write the note."""
    with problems(run_folder):
        (run_folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_whole(run_folder / FOLDER / NOTE, json.dumps(asdict(submission), indent=2).encode())


def refuse_second(run_folder: Path) -> None:
    """Raise where a job submitted earlier waits or runs.

    Raises
    ------
    neq.errors.LeaseHeldError
        It does; the message has its id and state.
    """
    if not (run_folder / FOLDER / NOTE).exists():
        return
    with told(SweepError):
        living = [job for job in slurm.jobs(read(run_folder).jobs.values()).values() if not job.ended]
    if living:
        ids = " ".join(str(job.id) for job in living)
        raise LeaseHeldError(
            f"{run_folder} is in use: job {living[0].id}, submitted for it, is {living[0].state}. "
            f"Follow it with `neq status {shlex.quote(str(run_folder))}`, or end it with `scancel {ids}`."
        )


def require(asked: Profile) -> None:
    """Refuse a profile whose jobs, those of the driver too, cannot be submitted from here.

    Raises
    ------
    neq.errors.ConfigError
        This machine has no sbatch, or a partition does not give what is asked for.
    """
    with told():
        for profile in (asked, driver_profile(asked)):
            limits.require(profile)


def submit(
    run_folder: Path, asked: Profile, name: str, step: Sequence[str], directives: Sequence[str] = (), first: str = ""
) -> int:
    """Write the script of a job into the run folder, submit it and return the job's id.

    Parameters
    ----------
    asked
        What the job asks for.
    name
        What the job does, one word: of its script and its log.
    step
        Words after ``neq job-step``.
    directives
        More options of sbatch, one each.
    first
        A line of the shell before all others.
    """
    text = script_text(run_folder, asked, name, step, directives, first)
    with problems(run_folder):
        (run_folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_whole(run_folder / FOLDER / f"{name}.sh", text.encode())
    with told(SweepError):
        return slurm.submit(text)


def script_text(
    run_folder: Path, asked: Profile, name: str, step: Sequence[str], directives: Sequence[str] = (), first: str = ""
) -> str:
    """Return the script of a job: what the profile asks for, then one step of the run in place of the shell."""
    # those of a worker, without its name and its logs
    lines = script.preamble(asked, run_folder / FOLDER)
    ours = ("#SBATCH -J", "#SBATCH -o", "#SBATCH -e")
    begin = [line for line in lines if line.startswith("#SBATCH") and not line.startswith(ours)]
    rest = [line for line in lines if line.strip() and not line.startswith("#")]
    label = shlex.quote(f"neq-{name}-{run_folder.name}")
    extra = [f"--job-name={label}", f"--output={log_pattern(run_folder, name)}", "--open-mode=append", "--requeue"]
    python = asked.python or shlex.quote(sys.executable)
    words = shlex.join([*step[:1], str(run_folder), *step[1:]])
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            *begin,
            *(f"#SBATCH {line}" for line in (*extra, *directives)),
            *([first] if first else []),
            *rest,
            # in place of the shell, so that signals to the job reach it
            f"exec {python} -m workflows.cli job-step {words}",
            "",
        ]
    )


def log_pattern(run_folder: Path, name: str) -> str:
    """Return where the log of a job lies, with SLURM's signs for its numbers."""
    number = "%A_%a" if name.startswith("task") else "%j"
    return shlex.quote(f"{str(run_folder / FOLDER).replace('%', '%%')}/{name}-{number}.log")


def log_path(run_folder: Path, name: str, job: int) -> Path:
    """Return the log of a job that is not an array."""
    return run_folder / FOLDER / f"{name}-{job}.log"


def driver_profile(workers: Profile) -> Profile:
    """Return what the job of a driver, or of a step that prepares or reduces, asks for."""
    driver = workers.driver
    changes = {
        "partition": driver.partition or workers.partition,
        "walltime": driver.walltime or workers.walltime,
        "memory": driver.memory,
        "memory_margin": 1.0,
        "cores": 1,
        "processes": 1,
    }
    return workers.model_copy(update=changes)


def notice_seconds(walltime_seconds: int) -> int:
    """Return how long before the end of its walltime a driver job is told of it.

    Examples
    --------
    >>> notice_seconds(120), notice_seconds(86400)
    (30, 180)
    """
    return int(min(MOST_NOTICE, max(LEAST_NOTICE, walltime_seconds // 10)))


def patient_lease(run_folder: Path) -> Lease:
    """Take the lease of a run folder, waiting for one whose holder may have died on another machine."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return acquire(run_folder)
        except LeaseHeldError:
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


def wait_for_lease(run_folder: Path) -> None:
    """Return when nobody holds the lease, or somebody has for so long that the holder must be alive."""
    end = time.monotonic() + PATIENCE_SECONDS
    while lease.current(run_folder) is not None and time.monotonic() < end:
        time.sleep(1.0)


def own_job() -> int:
    """Return the id of the SLURM job that this process runs in.

    Raises
    ------
    neq.errors.ConfigError
        It runs in none.
    """
    try:
        return int(os.environ["SLURM_JOB_ID"])
    except (KeyError, ValueError):
        raise ConfigError("`neq job-step` belongs into jobs of `neq submit`: give that command.") from None
