"""The workers as the driver sees them: how many, what became of lost ones, and whether more will come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cluster.ends import UNKNOWN
from neq.errors import SweepError

if TYPE_CHECKING:
    import distributed

NO_WORKER_SECONDS = 600.0

T = TypeVar("T")


@dataclass(frozen=True)
class Loss(Generic[T]):
    """What was lost with a worker, and why.

    Parameters
    ----------
    what
        What the worker had in hand.
    guilty
        Whether that may have killed the worker; not so where the batch system ended its job.
    """

    what: T
    reason: str
    guilty: bool


@dataclass(frozen=True)
class _Open(Generic[T]):
    """A loss whose cause is not known yet."""

    what: T
    worker: str
    address: str
    died: float


class Crew(Generic[T]):
    """The workers of one client.

    Those that are jobs of a batch system have a watchdog: it is told what is needed, and asked why workers were lost.
    Of other workers nothing is known but that they died.
    """

    def __init__(self, client: distributed.Client) -> None:
        self.client = client
        self.n_thread = 0
        self._watchdog: Any = getattr(client, "watchdog", None)
        self._open: list[_Open[T]] = []
        self._seen_worker = time.monotonic()

    def look(self) -> None:
        """Count the workers.

        Raises
        ------
        neq.errors.SweepError
            The scheduler does not answer, or no worker is left and none will come.
        """
        try:
            self.n_thread = sum(self.client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise SweepError(f"The Dask scheduler does not answer ({error}): give the same command again.") from error
        if not self.n_thread and self._watchdog is not None and self._watchdog.problem:
            raise SweepError(f"{self._watchdog.problem} Then give the same command again.")
        now = time.monotonic()
        if self.n_thread or self.coming:
            self._seen_worker = now
        if now - self._seen_worker > NO_WORKER_SECONDS:
            raise SweepError(
                f"There has been no worker for {NO_WORKER_SECONDS / 60:.0f} minutes: see why the cluster starts none "
                "(its queue, its logs), then give the same command again."
            )

    @property
    def coming(self) -> bool:
        """Whether jobs wait or start that will bring workers."""
        if self._watchdog is None:
            return bool(getattr(self.client, "coming", False))
        return not self._watchdog.problem

    @property
    def note(self) -> str:
        """How the jobs stand, in words; empty where there are none."""
        return self._watchdog.note if self._watchdog is not None else getattr(self.client, "note", "")

    @property
    def ended(self) -> str:
        """How many jobs have ended and why the last did, in words; empty where none has."""
        return self._watchdog.ended if self._watchdog is not None else ""

    def need(self, n_block: int, longest: float) -> None:
        """Say how many blocks are left, and the time (s) of the longest cell so far."""
        if self._watchdog is not None:
            self._watchdog.need(n_block)
            self._watchdog.cell_seconds(longest)

    def lost(self, what: T, error: distributed.KilledWorker) -> None:
        """Note that the worker died that had this in hand."""
        worker = error.last_worker
        self._open.append(_Open(what, str(worker.name), worker.address, time.monotonic()))

    @property
    def in_doubt(self) -> bool:
        """Whether the cause of a loss is still to be found."""
        return bool(self._open)

    def losses(self) -> Iterator[Loss[T]]:
        """Yield the losses whose cause is known by now."""
        for one in list(self._open):
            loss = self._explain(one)
            if loss is not None:
                self._open.remove(one)
                yield loss

    def has_memory(self) -> bool:
        """Whether all workers have the memory that is wanted after workers ran out of it; asks for it first."""
        return self._watchdog is None or bool(self._watchdog.has_memory())

    def _explain(self, one: _Open[T]) -> Loss[T] | None:
        if self._watchdog is None:
            return Loss(one.what, UNKNOWN, guilty=True)
        end = self.client.end_of(one.worker, one.address, one.died)
        if end is None:
            return None
        return Loss(one.what, end.text, guilty=end.guilty)
