"""One trial job, watched from its submission until its worker is connected or will not be any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from .slurm import Job

CONNECT_SECONDS = 90.0
"""From the start of a job; a worker gives up after 60 s."""
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Trial:
    """How a trial job went.

    Parameters
    ----------
    job
        As SLURM last described it.
    worker
        Address of its worker, "" if none connected.
    waited
        Seconds from its submission to its start, so far where it has not started.
    connected
        Seconds from its start until its worker was connected, or so far.
    """

    job: Job
    worker: str = ""
    waited: float = 0.0
    connected: float = 0.0


def follow(
    number: int,
    job_of: Callable[[int], Job | None],
    worker_of: Callable[[int], str],
    patience: float,
    tell: Callable[[str], object] = lambda text: None,
    connect: float = CONNECT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> Trial:
    """Watch a job until its worker connects, it ends, or patience does.

    Parameters
    ----------
    number
        The job's id.
    job_of
        Gives the job as SLURM describes it; None where SLURM does not know it (yet).
    worker_of
        Gives the address of the job's worker, "" while there is none.
    patience
        Longest time in the queue (s).
    tell
        Called with how it stands whenever that changes.
    connect
        Longest time from the start of the job to its worker (s).
    """
    start = clock()
    trial, began, told = Trial(Job(number, "PENDING")), None, ""
    while True:
        job = job_of(number) or trial.job
        now = clock()
        worker = worker_of(number)
        began = now if began is None and (worker or not job.waits) else began
        waited = (now if began is None else began) - start
        trial = replace(trial, job=job, worker=worker, waited=waited, connected=0.0 if began is None else now - began)
        if worker or job.ended or waited > patience or trial.connected > connect:
            return trial
        if (text := stands(job)) != told:
            told = text
            tell(text)
        pause(LOOK_SECONDS)


def stands(job: Job) -> str:
    """Return how a job stands, in words.

    Examples
    --------
    >>> stands(Job(7, "PENDING", reason="Resources"))
    'job 7 waits (Resources)'
    """
    if job.waits:
        return f"job {job.id} waits" + (f" ({job.reason})" if job.reason else "")
    return f"job {job.id} runs on {job.node or 'a node'}, its worker is starting"


def name_of(number: int, names: Iterable[str]) -> str:
    """Return the worker's name that belongs to a job, "" if none does.

    Examples
    --------
    >>> name_of(12, ["neq-1-0", "neq-12-1"])
    'neq-12-1'
    """
    return next((name for name in names if name.startswith(f"neq-{number}-")), "")
