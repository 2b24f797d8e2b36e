"""Settings of Dask and of the numeric libraries that hold wherever a worker runs."""

from __future__ import annotations

import json
from typing import Any

from . import preload

THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""Set before a worker starts: libraries read them once, on import."""

WORKER_SETTINGS: dict[str, Any] = {
    # a worker holds one block, nothing that could be spilled; above its limit it is ended and the cell blamed
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.preload": [preload.__name__],
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1 hour",
}
"""What a worker needs to know that does not inherit the driver's settings, as one in a batch job."""

SETTINGS: dict[str, Any] = {
    **WORKER_SETTINGS,
    # a task whose worker died comes back at once: the engine decides about trying again
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.nanny.pre-spawn-environ": THREADS,
    # what is kept of ended tasks for a performance report, about 2 kB each; a sweep has seldom more blocks
    "distributed.scheduler.dashboard.tasks.task-stream-length": 5_000,
}
"""What a driver sets before it starts a scheduler or local workers."""


def worker_environment() -> dict[str, str]:
    """Return the variables that give a worker in a batch job its threads and its settings.

    Dask reads a setting from the variable of its name; values are Python literals.

    Examples
    --------
    >>> found = worker_environment()
    >>> found["OMP_NUM_THREADS"], found["DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE"]
    ('1', '0.95')
    """
    settings = {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): _literal(value)
        for name, value in WORKER_SETTINGS.items()
    }
    return {**THREADS, **settings}


def _literal(value: Any) -> str:
    # double quotes within, as a shell then needs only single ones around
    return json.dumps(value) if isinstance(value, list) else str(value)
