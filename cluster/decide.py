"""What a watchdog does next, from what it sees: a pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .slurm import Job

START_FAILURES = 5
"""So many jobs in a row that end before a worker of theirs has connected are no accident."""
SILENT_SECONDS = 180.0
"""A running job that has lost its worker for so long is cancelled; its worker gives up after a minute as well."""
RETRY_SECONDS = 300.0
"""Where others work but new jobs fail at their start, one is tried again after so long."""
PER_JOB = (
    *("AssocMaxCpuPerJobLimit", "AssocMaxCpuPerNode", "AssocMaxCpuMinutesPerJobLimit"),
    *("AssocMaxMemPerJob", "AssocMaxMemPerNode", "AssocMaxMemMinutesPerJob"),
    *("AssocMaxGRESPerJob", "AssocMaxGRESPerNode", "AssocMaxGRESMinutesPerJob"),
    *("AssocMaxNodePerJobLimit", "AssocMaxNodeMinutesPerJob", "AssocMaxWallDurationPerJobLimit"),
    *("QOSMaxCpuPerJobLimit", "QOSMaxCpuPerNode", "QOSMaxCpuMinutesPerJobLimit"),
    *("QOSMaxMemoryPerJob", "QOSMaxMemoryPerNode", "QOSMaxMemoryMinutesPerJob"),
    *("QOSMaxGRESPerJob", "QOSMaxGRESPerNode", "QOSMaxGRESMinutesPerJob"),
    *("QOSMaxNodePerJobLimit", "QOSMaxNodeMinutesPerJob", "QOSMaxWallDurationPerJobLimit"),
    *("QOSMinCpuNotSatisfied", "QOSMinMemory", "QOSMinGRES", "QOSMinNode"),
)
"""Limits of each single job, whatever else runs; those of a user or a group pass when other jobs end."""
OF_PARTITION = frozenset({"PartitionTimeLimit", "PartitionNodeLimit", "AccountNotAllowed", "QOSNotAllowed"})
"""Reasons that SLURM may give for one partition of several, where a job may yet start in another."""
HOPELESS = {
    "PartitionTimeLimit": "their walltime is longer than the partition allows",
    "PartitionNodeLimit": "they ask for more nodes than the partition has",
    "BadConstraints": "no node has what they ask for",
    "DependencyNeverSatisfied": "they depend on a job that failed",
    "InvalidAccount": "the account is not known",
    "InvalidQOS": "the quality of service is not known",
    "AccountNotAllowed": "the account may not use this partition",
    "QOSNotAllowed": "the quality of service is not allowed there",
    "JobHeldUser": "they are held",
    "JobHeldAdmin": "the batch system holds them",
    "JobHoldMaxRequeue": "the batch system holds them, as they were put back into the queue too often",
    **dict.fromkeys(PER_JOB, "they ask for what the limits of the account or quality of service give to no single job"),
}
"""Reasons to wait that do not pass by themselves."""


@dataclass(frozen=True)
class Record:
    """A job of ours that has not ended.

    Parameters
    ----------
    connected
        Workers of its present run that are connected.
    silent
        Seconds for which it has run without a worker.
    level
        How often memory had been raised when it was submitted.
    came
        Whether its present run has had a worker.
    """

    job: Job
    connected: int = 0
    silent: float = 0.0
    level: int = 0
    came: bool = False


@dataclass(frozen=True)
class Limits:
    """What is wanted.

    Parameters
    ----------
    jobs
        Jobs that should wait or run.
    level
        How often memory has been raised by now.
    start
        Seconds within which the first worker of a running job must come.
    several
        Whether jobs may start in any of several partitions.
    """

    jobs: int
    level: int = 0
    start: float = SILENT_SECONDS
    several: bool = False


@dataclass(frozen=True)
class Failures:
    """Jobs that ended before a worker of theirs had connected, since one last did.

    Parameters
    ----------
    in_a_row
        How many.
    since
        Seconds since the last.
    text
        Why the last one ended.
    """

    in_a_row: int = 0
    since: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Parameters
    ----------
    submit
        Number of new jobs.
    cancel
        Jobs to cancel.
    failed
        Those among them whose worker never came.
    stop
        Why nothing more can come of it; empty as a rule.
    note
        How the jobs stand, for a person.
    """

    submit: int = 0
    cancel: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    stop: str = ""
    note: str = ""


def decide(records: Sequence[Record], limits: Limits, failures: Failures = Failures()) -> Decision:
    """Return what to do about our jobs.

    Examples
    --------
    >>> decide([], Limits(jobs=3))
    Decision(submit=3, cancel=(), failed=(), stop='', note='no job')
    >>> waiting = Record(Job(7, "PENDING", "Priority"))
    >>> decide([waiting], Limits(jobs=1)).note
    '1 job waits in the queue (Priority)'
    """
    stale = [one for one in records if _stale(one, limits)]
    kept = [one for one in records if one not in stale]
    surplus = [one for one in kept if one.job.waits][: max(0, len(kept) - limits.jobs)]
    cancel = tuple(one.job.id for one in [*stale, *surplus])
    failed = tuple(one.job.id for one in stale if _silent(one, limits) and not one.came)
    stop = _hopeless(kept, limits) or _failing(kept, failures)
    submit = 0 if stop else _paced(limits.jobs - len(kept), kept, failures)
    return Decision(submit, cancel, failed, stop, note(records))


def note(records: Sequence[Record]) -> str:
    """Return how jobs stand, in words."""
    waiting = [one.job for one in records if one.job.waits]
    working = sum(one.connected > 0 for one in records)
    starting = len(records) - len(waiting) - working
    parts = [_counted(working, "works", "work"), _counted(starting, "starts or ends", "start or end")]
    if waiting:
        reasons = Counter(job.reason for job in waiting if job.reason)
        why = f" ({', '.join(reason for reason, _ in reasons.most_common(2))})" if reasons else ""
        parts.append(_counted(len(waiting), "waits in the queue", "wait in the queue") + why)
    return ", ".join(part for part in parts if part) or "no job"


def _stale(one: Record, limits: Limits) -> bool:
    """Whether a job is of no more use: it runs without a worker, or has too little memory."""
    return one.level < limits.level or _silent(one, limits)


def _silent(one: Record, limits: Limits) -> bool:
    return one.job.runs and one.silent > (SILENT_SECONDS if one.came else limits.start)


def _hopeless(kept: Sequence[Record], limits: Limits) -> str:
    reasons = {one.job.reason for one in kept}
    final = HOPELESS.keys() - (OF_PARTITION if limits.several else frozenset())
    if not kept or any(one.connected or not one.job.waits for one in kept) or not reasons <= final:
        return ""
    reason = sorted(reasons)[0]
    return (
        f"{_counted(len(kept), 'waits', 'wait')} and will never start: {HOPELESS[reason]} ({reason}). "
        "Change the profile, or ask the site; `neq cluster check` tries it with one job."
    )


def _failing(kept: Sequence[Record], failures: Failures) -> str:
    if failures.in_a_row < START_FAILURES or any(one.job.runs or one.connected for one in kept):
        return ""
    return (
        f"{failures.in_a_row} jobs in a row ended before their worker reached this machine; the last: {failures.text}. "
        "See the jobs' logs, then `neq cluster check`."
    )


def _paced(missing: int, kept: Sequence[Record], failures: Failures) -> int:
    """Return how many jobs to submit: all that are missing, but few where jobs fail at their start."""
    if failures.in_a_row >= START_FAILURES:
        missing = min(missing, int(failures.since > RETRY_SECONDS))
    elif failures.in_a_row:
        starting = sum(not one.connected for one in kept)
        missing = min(missing, START_FAILURES - failures.in_a_row - starting)
    return max(0, missing)


def _counted(number: int, verb: str, verbs: str) -> str:
    return "" if not number else f"1 job {verb}" if number == 1 else f"{number} jobs {verbs}"
