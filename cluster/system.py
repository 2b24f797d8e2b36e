"""What a watchdog asks of a batch system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from .slurm import Job

Pause = Callable[[float], object]
"""Waits for so many seconds; true where there is no use in going on."""


class System(Protocol):
    """A batch system; the module :mod:`cluster.slurm` is one."""

    def submit(self, script: str, extra: tuple[str, ...], pause: Pause) -> int:
        """Submit a script and return the job's id."""

    def jobs(self, ids: Iterable[int], name: str) -> Mapping[int, Job]:
        """Return the jobs with these ids or this name."""

    def ended(self, ids: Iterable[int]) -> Mapping[int, Job]:
        """Return what is on record of jobs that are no longer listed."""

    def cancel(self, ids: Iterable[int] = (), name: str = "", pause: Pause = ...) -> None:
        """Cancel jobs."""
