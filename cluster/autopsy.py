"""Why a worker process died whose job lives on, asked of the nanny that has started another."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import distributed

from .ends import End, Kind

MEMORY_EVENT = "worker-restart-memory"
"""Topic on which a nanny says that it ended its worker for the memory it took."""
_DEATH = re.compile(
    r"Worker process \d+ (was killed by signal \d+|exited with status \d+|was killed by unknown signal)"
)


def memory_limit_met(client: distributed.Client, address: str) -> bool:
    """Whether a nanny has ended the worker with this address because it took too much memory."""
    events = client.get_events(MEMORY_EVENT)
    return any(isinstance(event, dict) and event.get("worker") == address for _, event in events)


def ask_nanny(client: distributed.Client, worker: str, known_kills: int) -> tuple[End, int] | None:
    """Return how the last process of a worker ended, and the number of kernel kills in its job so far.

    Parameters
    ----------
    worker
        Name of the worker.
    known_kills
        That number as it was last known.

    Returns
    -------
    tuple or None
        None where the worker is not back.
    """
    found = client.run_on_scheduler(address_of, worker=worker)
    if found is None:
        return None
    with contextlib.suppress(OSError, TimeoutError, ValueError, KeyError):
        kills = client.run(oom_kills, workers=[found], nanny=True)[found]
        if kills > known_kills:
            return End(Kind.MEMORY, f"OUT_OF_MEMORY: the kernel ended it for want of memory (worker {worker})"), kills
        lines = [line for _, line in client.get_worker_logs(workers=[found], nanny=True)[found]]
        # the newest line comes first
        how = next((match[1] for line in lines if (match := _DEATH.search(line))), "died")
        return End(Kind.CRASH, f"its process {how} (worker {worker})"), kills
    return None


def address_of(dask_scheduler: Any, worker: str) -> str | None:
    """Return the address of a connected worker by its name; runs in the scheduler."""
    state = dask_scheduler.workers.get(dask_scheduler.aliases.get(worker, ""))
    return state.address if state is not None else None


def worker_names(dask_scheduler: Any) -> list[str]:
    """Return the names of the connected workers; runs in the scheduler."""
    return [str(state.name) for state in dask_scheduler.workers.values()]


async def dismiss(dask_scheduler: Any, prefixes: list[str]) -> None:
    """Take workers out whose jobs have ended, so that their tasks go elsewhere; runs in the scheduler."""
    for state in list(dask_scheduler.workers.values()):
        name = str(state.name)
        if any(name == prefix or name.startswith(f"{prefix}-") for prefix in prefixes):
            await dask_scheduler.remove_worker(address=state.address, stimulus_id="neq-job-ended")


def oom_kills(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processes of this control group the kernel has ended for want of memory; 0 where it tells none.

    Runs in a nanny; version 1 and 2 of control groups have the number in files of different names.
    """
    for line in groups.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        file = root / controllers / path.lstrip("/") / ("memory.oom_control" if controllers else "memory.events")
        with contextlib.suppress(OSError):
            for entry in file.read_text().splitlines():
                if entry.startswith("oom_kill "):
                    return int(entry.split()[1])
    return 0
