"""What the note of a submission says when its jobs have come to an end, for those who watch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from neq.errors import ConfigError
from workflows.commands import jobs

CANCELLED, GIVEN_UP, TAKEN_OVER = "cancelled", "given up", "driven by hand"
"""How the jobs of a run have ended that is not done."""


def forget(run_folder: Path) -> None:
    """Remove the note of a run that is done."""
    (run_folder / jobs.FOLDER / jobs.NOTE).unlink(missing_ok=True)


def take_over(run_folder: Path) -> None:
    """Note that a driver goes on with a run that was submitted, if none of its jobs does."""
    try:
        submission = jobs.read(run_folder)
    except ConfigError:
        return
    if not _is_of(submission):
        jobs.write(run_folder, replace(submission, end=submission.end or TAKEN_OVER))


@contextlib.contextmanager
def ending(run_folder: Path) -> Iterator[None]:
    """Mark a run where the step of one of its jobs breaks off in the block: no other job goes on with it."""
    if (submission := jobs.read(run_folder)).end and _is_of(submission):
        # put back into the queue, or given again
        jobs.write(run_folder, replace(submission, end=""))
    try:
        yield
    except BaseException as error:
        if _is_of(submission := jobs.read(run_folder)):
            end = CANCELLED if isinstance(error, KeyboardInterrupt) else GIVEN_UP
            jobs.write(run_folder, replace(submission, end=end))
        raise


def _is_of(submission: jobs.Submission) -> bool:
    """Whether this process runs in a job of a submission."""
    return os.environ.get("SLURM_JOB_ID", "") in map(str, submission.jobs.values())
