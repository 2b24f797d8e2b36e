"""Blocks on their way to workers: a bounded window, the costliest first, deaths blamed on the cell that was begun."""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import distributed
import numpy as np

from neq.errors import LeaseLostError, StoreError, SweepError
from workflows import dashboard, layout
from workflows.blocks import owners, task
from workflows.blocks.blame import Blame
from workflows.blocks.crew import Crew
from workflows.blocks.order import costliest_first
from workflows.blocks.stopping import Everything
from workflows.blocks.words import task_key, words
from workflows.config import SweepConfig
from workflows.lease import Lease
from workflows.store import Store, problems

MOST_IN_FLIGHT = 10_000
"""Of more workers than this the scheduler makes little."""
MOST_COUNTED = 200
"""Only so many blocks in flight are looked at for cells they have finished; the others are taken to be like them."""
MOST_NAMED = 20
"""Blocks in flight that whoever watches can read of."""
FRUITLESS_OFFERS = 30
"""So many offers in a row that end without a block done mean that something else than a cell is wrong."""
WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Offer:
    """A block given to a worker under a token; ``cells`` None stands for all pending ones."""

    block: str
    token: str
    cells: tuple[int, ...] | None


class Dispatch:
    """Offers blocks of one store to the workers of one client.

    Parameters
    ----------
    opened
        The store.
    client, lease
        Who computes, and the right to write.
    sweep
        How many workers may die in a cell, and how long finished cells wait for their writing.
    run_id
        Kept with each cell.
    progress
        Called with the numbers of cells done, of all, and of failed ones.
    """

    def __init__(
        self,
        opened: Store,
        client: distributed.Client,
        lease: Lease,
        sweep: SweepConfig,
        run_id: str,
        progress: Callable[[int, int, int], Any],
    ) -> None:
        self.store = opened
        self.client = client
        self.lease = lease
        self.blame = Blame(opened, sweep.deaths)
        self.stopping = Everything(opened)
        """Which cells are needed; the engine puts the rule of the config here."""
        self.run_id = run_id
        self.flush_seconds = sweep.flush
        self.progress = progress
        self.problems: dict[str, str] = {}
        self.damaged = np.zeros(opened.shape, bool)
        self.n_computed = 0
        self._folder = opened.path.parent
        self._nonce = uuid.uuid4().hex[:6]
        self._events: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
        self._in_flight: dict[distributed.Future, Offer] = {}
        self._in_doubt: set[Offer] = set()
        self._fruitless = 0
        self._n_done = self._n_failed = self._n_cell = 0
        self._begun: tuple[float, int] | None = None
        self._crew: Crew[Offer] = Crew(client)
        self._dashboard = dashboard.of(client)
        self._longest = 0.0
        self._watched = 0.0

    def count(self, status: np.ndarray) -> None:
        """Take the truth about progress from the store (status of the wanted cells)."""
        self._n_cell = status.size
        self._n_done = int((status != layout.PENDING).sum())
        self._n_failed = int((status == layout.FAILED).sum())
        self._tell()

    def run(self, pending: np.ndarray) -> None:
        """Offer every block with a pending cell once, and again where its worker died (bool, grid)."""
        self.pending = pending
        self.blame.keep(pending)
        self._watch()
        first = self.stopping.begin(costliest_first(self.store, pending), pending, self._crew.n_thread)
        waiting: deque[tuple[str, tuple[int, ...] | None]] = deque((block, None) for block in first)
        try:
            while waiting or self._in_flight or self._crew.in_doubt or self.blame.suspects:
                self._watch()
                waiting.extend(self._lost())
                while waiting and len(self._in_flight) < min(max(1, self._crew.n_thread), MOST_IN_FLIGHT):
                    self._offer(*waiting.popleft())
                self._crew.need(self._n_left(len(waiting)), self._longest)
                if not (waiting or self._in_flight or self._crew.in_doubt) and self._crew.has_memory():
                    waiting.extend(self.blame.next_suspects())
                    continue
                waiting.extend(self._next_event())
        finally:
            self._withdraw()

    def _offer(self, block: str, cells: tuple[int, ...] | None) -> None:
        self.lease.check()
        if cells is None:
            cells = self._innocent(block)
        condemned = self.blame.condemned(block)
        if cells == () and not condemned:
            self.stopping.given.discard(block)
            return
        self.stopping.given.add(block)
        offer = Offer(block, self.lease.token(), cells)
        with problems(self._folder):
            owners.grant(self._folder, block, offer.token)
        arguments = (str(self._folder), block, offer.token, condemned, cells, self.run_id, self.flush_seconds)
        key = task_key(self.store.grid, self.store.blocks, block, f"{offer.token}-{self._nonce}")
        future = self.client.submit(task.run_block, *arguments, key=key, pure=False, retries=0)
        self._in_flight[future] = offer
        future.add_done_callback(self._events.put)

    def _innocent(self, block: str) -> tuple[int, ...] | None:
        """Return the cells to compute now: None for all, else those that are wanted and have killed no worker."""
        wanted = {int(number) for number in self.store.blocks.numbers(block, self.stopping.offered)}
        cells = wanted - self.blame.suspects.get(block, set())
        n_cell = self.pending[self.store.blocks.region(block)].size
        return None if len(cells) == n_cell else tuple(sorted(cells))

    def _next_event(self) -> list[tuple[str, tuple[int, ...] | None]]:
        """Wait for a task to end and return what has to be offered again."""
        try:
            future = self._events.get(timeout=0.5)
        except queue.Empty:
            return []
        offer = self._in_flight.pop(future, None)
        if offer is None:
            return []
        error = future.exception() if future.status == "error" else None
        if isinstance(error, distributed.KilledWorker):
            self._in_doubt.add(offer)
            self._crew.lost(offer, error)
            return []
        if future.status != "finished":
            raise SweepError(_outside(future, error))
        return self._ended(offer, future.result())

    def _lost(self) -> Iterator[tuple[str, tuple[int, ...] | None]]:
        """Blame what was lost with workers, and yield what has to be offered again."""
        for loss in self._crew.losses():
            self._in_doubt.discard(loss.what)
            if loss.guilty:
                self._check_fruitless(f"the workers die before they finish anything (last: {loss.reason})")
            with problems(self._folder):
                self.blame.death(loss.what.block, loss.what.token, loss.reason, loss.guilty)
            yield loss.what.block, None

    def _ended(self, offer: Offer, result: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...] | None]]:
        state = result["state"]
        if state == "disk":
            raise StoreError(result["message"])
        if state in ("fenced", "claimed"):
            self._check_fruitless("blocks are started twice or taken from their workers again and again")
            return [(offer.block, offer.cells)]
        self._fruitless = 0
        counts = {name: result.get(name, 0) for name in layout.STATUS_NAMES}
        self.n_computed += sum(counts.values())
        self._n_done += sum(counts.values())
        self._n_failed += counts["failed"]
        self._longest = max(self._longest, result.get("longest", 0.0))
        if state == "left":
            return [(offer.block, offer.cells)]
        if state == "chunk":
            self.problems[offer.block] = result["message"]
            self.damaged[self.stopping.lose(offer.block)] = True
        if self.blame.settle(offer.block, offer.cells):
            with problems(self._folder):
                owners.finish(self._folder, offer.block, self.lease.epoch)
        released = self.stopping.ended(offer.block, self._crew.n_thread)
        self.blame.keep(self.pending)
        return [(block, None) for block in released]

    def _n_left(self, n_waiting: int) -> int:
        """Return how many blocks workers can still be given, those too that the stop rule holds back."""
        n_begun = n_waiting + len(self._in_flight) + len(self._in_doubt)
        return max(n_begun, self.stopping.n_left) + len(self.blame.suspects)

    def _check_fruitless(self, what: str) -> None:
        self._fruitless += 1
        # a batch system may end many jobs at once, and each leaves a block behind
        if self._fruitless > max(FRUITLESS_OFFERS, 2 * self._crew.n_thread):
            raise SweepError(f"The sweep stops: {what}. Look into the workers' logs, then give the same command again.")

    def _withdraw(self) -> None:
        """Leave nothing running that could still write."""
        futures, offers = list(self._in_flight), [*self._in_flight.values(), *self._in_doubt]
        self._in_flight.clear()
        self._in_doubt.clear()
        if futures:
            with contextlib.suppress(OSError):
                self.client.cancel(futures, force=True)
        for offer in offers:
            with contextlib.suppress(OSError, LeaseLostError):
                owners.revoke(self._folder, offer.block, self.lease.epoch)

    def _watch(self) -> None:
        """Look now and then at the lease, the workers and how far they are."""
        now = time.monotonic()
        if now - self._watched < WATCH_SECONDS:
            return
        self._watched = now
        self.lease.check()
        self._crew.look()
        self._tell()

    def _tell(self) -> None:
        """Report progress, with the cells that workers have finished but not yet handed over."""
        offers = list(itertools.islice(self._in_flight.values(), MOST_COUNTED))
        folders = (owners.block_folder(self._folder, o.block) / o.token for o in offers)
        counted = sum(max(0, owners.count_marks(folder) - 1) for folder in folders)
        running = counted * len(self._in_flight) // max(1, len(offers))
        done = min(self._n_cell, self._n_done + self.stopping.n_dropped + running)
        self.progress(done, self._n_cell, self._n_failed)
        now = time.time()
        begun, first = self._begun = self._begun or (now, done)
        self.lease.progress(
            {
                "n_cell": self._n_cell,
                "n_done": done,
                "n_failed": self._n_failed,
                "n_worker": self._crew.n_thread,
                "jobs": self._crew.note,
                "ended": self._crew.ended,
                "running": [self._text(offer.block) for offer in offers[:MOST_NAMED]],
                "n_running": len(self._in_flight),
                "dashboard": self._dashboard,
                "rate": (done - first) / max(now - begun, 1e-9),
                "time": now,
            }
        )

    def _text(self, block: str) -> str:
        """Return the labels of a block on the axes that people look for."""
        return words(self.store.grid, self.store.blocks.region(block))


def _outside(future: distributed.Future, error: BaseException | None) -> str:
    if error is None:
        return "The connection to the Dask scheduler was lost: give the same command again."
    return f"A task failed outside its cells ({type(error).__name__}: {error}): the workers cannot run this study."
