"""Sources prepared on workers before the sweep: what is lost with a worker is tried again."""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import distributed

from neq.errors import SweepError
from workflows import config as run_config
from workflows.blocks import task
from workflows.blocks.blame import MOST_LOSSES
from workflows.blocks.crew import Crew, Loss
from workflows.blocks.dispatch import WATCH_SECONDS
from workflows.lease import Lease
from workflows.studies.base import Prepared, Source, Study


def ingest(
    run_folder: str | Path,
    study: Study,
    client: distributed.Client,
    lease: Lease,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> list[Prepared]:
    """Prepare all sources of a study on the workers; one that fails comes back with its error, the others go on.

    Raises
    ------
    neq.errors.LeaseLostError, neq.errors.SweepError
        Another driver has taken over, or there are no workers and none will come.
    """
    arguments = (str(Path(run_folder).absolute()), run_config.science(study.config))
    return _Sources(study.sources(), arguments, client, lease, study.config.sweep.deaths, progress).run()


class _Sources:
    """Gives each source to a worker, one at a time; one in which a worker died comes again, alone, after all others.

    Parameters
    ----------
    limit
        So many deaths are an error of the source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        arguments: tuple[Any, ...],
        client: distributed.Client,
        lease: Lease,
        limit: int,
        progress: Callable[[int, int], Any],
    ) -> None:
        self._sources, self._arguments = sources, arguments
        self._client, self._lease, self._limit, self._progress = client, lease, limit, progress
        self._prepared: dict[int, Prepared] = {}
        self._waiting, self._suspects = deque(range(len(sources))), deque[int]()
        self._deaths, self._losses = Counter[int](), Counter[int]()
        self._in_flight: dict[distributed.Future, int] = {}
        self._events: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
        self._crew: Crew[int] = Crew(client)
        self._nonce = uuid.uuid4().hex[:6]
        self._watched = 0.0

    def run(self) -> list[Prepared]:
        self._progress(0, len(self._sources))
        try:
            while len(self._prepared) < len(self._sources):
                self._watch()
                for loss in self._crew.losses():
                    self._lost(loss)
                self._give()
                self._next_event()
        finally:
            with contextlib.suppress(OSError):
                self._client.cancel(list(self._in_flight), force=True)
        return [self._prepared[number] for number in range(len(self._sources))]

    def _watch(self) -> None:
        """Look now and then at the lease and the workers."""
        now = time.monotonic()
        if now - self._watched < WATCH_SECONDS:
            return
        self._watched = now
        self._lease.check()
        self._crew.look()

    def _give(self) -> None:
        while self._waiting and len(self._in_flight) < max(1, self._crew.n_thread):
            self._submit(self._waiting.popleft())
        idle = not (self._waiting or self._in_flight or self._crew.in_doubt)
        if idle and self._suspects and self._crew.has_memory():
            # alone, so that a source whose worker died for another one's sake is not blamed
            self._submit(self._suspects.popleft())

    def _submit(self, number: int) -> None:
        source = self._sources[number]
        attempt = self._deaths[number] + self._losses[number]
        # one group of tasks in the dashboard, however many sources; a dash would end a label
        labels = ", ".join(map(str, source.labels.values())).replace("-", "_")
        key = f"ingest-({labels})-{number}-{attempt}-{self._nonce}"
        future = self._client.submit(task.run_ingest, *self._arguments, asdict(source), key=key, pure=False)
        self._in_flight[future] = number
        future.add_done_callback(self._events.put)

    def _next_event(self) -> None:
        """Wait for a task to end and take what came of it."""
        try:
            future = self._events.get(timeout=0.5)
        except queue.Empty:
            return
        number = self._in_flight.pop(future)
        error = future.exception() if future.status == "error" else None
        if isinstance(error, distributed.KilledWorker):
            self._crew.lost(number, error)
        elif error is not None:
            raise SweepError(f"A source could not be prepared ({type(error).__name__}: {error}).") from error
        elif future.status != "finished":
            raise SweepError("The connection to the Dask scheduler was lost: give the same command again.")
        else:
            self._done(number, Prepared(**future.result()))

    def _lost(self, loss: Loss[int]) -> None:
        """Offer a source again that was lost with its worker, until it has killed too many."""
        number = loss.what
        self._losses[number] += not loss.guilty
        if not loss.guilty and self._losses[number] <= MOST_LOSSES:
            self._waiting.append(number)
            return
        self._deaths[number] += 1
        if self._deaths[number] < self._limit:
            self._suspects.append(number)
            return
        error = f"the worker died while it read this source; the last time: {loss.reason}"
        self._done(number, Prepared(self._sources[number].labels, error_type=task.WORKER_LOST, error=error))

    def _done(self, number: int, prepared: Prepared) -> None:
        self._prepared[number] = prepared
        self._progress(len(self._prepared), len(self._sources))
