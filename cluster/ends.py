"""Why a job or a worker came to its end, and whether what it computed is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .slurm import Job


class Kind(StrEnum):
    """What an end says about the work."""

    LEFT = "left"
    """It ended in good order."""
    OUTSIDE = "outside"
    """Preempted, cancelled, out of time, a node lost: the work is not to blame."""
    MEMORY = "memory"
    CRASH = "crash"


@dataclass(frozen=True)
class End:
    """How a job or worker ended, and the same in words.

    Examples
    --------
    >>> End(Kind.MEMORY, "OUT_OF_MEMORY").guilty, End(Kind.OUTSIDE, "PREEMPTED").guilty
    (True, False)
    """

    kind: Kind
    text: str

    @property
    def guilty(self) -> bool:
        """Whether what was computed may have brought it about."""
        return self.kind in (Kind.MEMORY, Kind.CRASH)


UNKNOWN = "it was killed from outside or ran out of memory"
"""What is said of the end of a process of which nothing else is known."""


OUTSIDE = {
    "PREEMPTED": "others had priority",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "somebody cancelled it",
    "REVOKED": "another cluster took it",
    "TIMEOUT": "its walltime was over",
    "DEADLINE": "its deadline was over",
}
NO_LOG = 53
"""How SLURM says that a node could not open the file for a job's output."""
MEMORY_WORDS = ("exceeded job memory limit", "oom-kill", "oom_kill", "out of memory", "exceeded step memory limit")


def of_job(job: Job, stderr: str = "") -> End:
    """Return how a job ended.

    Parameters
    ----------
    stderr
        The last lines that it printed: without control groups SLURM says only there that memory was the cause.

    Examples
    --------
    >>> of_job(Job(12, "TIMEOUT", node="n3")).text
    'TIMEOUT: its walltime was over (job 12 on n3)'
    >>> of_job(Job(2, "FAILED", "NonZeroExitCode", exit_code=3, node="n1")).text
    'FAILED with exit code 3 (job 2 on n1)'
    >>> of_job(Job(2, "FAILED", "RaisedSignal:53", exit_code=0, signal=NO_LOG, node="n1")).text
    "FAILED: its node does not see the folder of the jobs' logs (job 2 on n1)"
    """
    where = place(job)
    if job.state in OUTSIDE:
        return End(Kind.OUTSIDE, f"{job.state}: {OUTSIDE[job.state]} {where}")
    if job.state == "OUT_OF_MEMORY" or any(word in stderr.lower() for word in MEMORY_WORDS):
        return End(Kind.MEMORY, f"OUT_OF_MEMORY: the job exceeded its memory {where}")
    if job.state == "COMPLETED":
        return End(Kind.LEFT, f"COMPLETED {where}")
    if NO_LOG in (job.signal, job.exit_code):
        return End(Kind.CRASH, f"{job.state}: its node does not see the folder of the jobs' logs {where}")
    how = f" by signal {job.signal}" if job.signal else f" with exit code {job.exit_code}" if job.exit_code else ""
    return End(Kind.CRASH, f"{job.state}{how} {where}")


def requeued(job: Job) -> End:
    """Return how the earlier run of a job ended that SLURM has put back into the queue."""
    return End(Kind.OUTSIDE, f"REQUEUED: preempted, or its node failed (job {job.id})")


def place(job: Job) -> str:
    """Return which job this was, and where.

    Examples
    --------
    >>> place(Job(12, "RUNNING"))
    '(job 12)'
    """
    return f"(job {job.id} on {job.node})" if job.node else f"(job {job.id})"
