"""A worker in a batch job leaves by itself, between two cells, before the batch system ends it.

Dask's own lifetime cuts the task that runs. Here the job says until when its workers take work, also those that a
nanny starts anew: a task asks :func:`time_is_up` after each cell and gives back the rest of its block; the worker
takes no further task, and closes as soon as it is idle.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from typing import Any

VARIABLE = "NEQ_LEAVE_AT"
"""Environment variable with the time (s since the epoch) from which on a worker takes no more work."""
POLL_SECONDS = 0.5
GRACE_SECONDS = 1.0
"""A task goes on for so long, so that its worker has been taken out of the scheduler's hands when it ends."""


def export(lifetime: float, stagger: float) -> str:
    """Return the shell line that sets the variable in a job.

    Parameters
    ----------
    lifetime
        Seconds after the job's start, at most.
    stagger
        Up to so many seconds less, drawn by each job: not all are to leave at once.

    Examples
    --------
    >>> export(3300.0, 300.0)
    'export NEQ_LEAVE_AT=$(( $(date +%s) + 3300 - RANDOM % 300 ))'
    """
    return f"export {VARIABLE}=$(( $(date +%s) + {lifetime:.0f} - RANDOM % {max(1, round(stagger))} ))"


def leave_at() -> float:
    """Return when this process has to leave; infinite where nothing ends it."""
    try:
        return float(os.environ[VARIABLE])
    except (KeyError, ValueError):
        return math.inf


def time_is_up() -> bool:
    """Whether a task here should give back what it has not begun."""
    return time.time() > leave_at() + GRACE_SECONDS


async def leave(worker: Any) -> None:
    """Close a worker in good order when its time is up."""
    from distributed.core import Status

    while time.time() < leave_at():
        await asyncio.sleep(POLL_SECONDS)
    worker.status = Status.paused
    while worker.state.executing_count:
        await asyncio.sleep(POLL_SECONDS)
    await worker.close_gracefully(reason="its job ends soon")
