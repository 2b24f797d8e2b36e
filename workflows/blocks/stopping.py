"""The stop rule on a store: which cells are still needed, in which order they are offered, which are masked.

A cell that the rule does not need has the status ``not_needed``, whether it was computed or not. One that was keeps its
values and ``run``, the last variable written before the status; one that was not has neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from workflows import layout, stop
from workflows.blocks import owners
from workflows.blocks.block import BlockValues
from workflows.blocks.flush import Encoder, Fence
from workflows.config import StopConfig
from workflows.grid import REPETITION, Index, Region, block_id, block_index
from workflows.lease import Lease
from workflows.store import Store, problems
from workflows.studies.base import Label, Study


class Everything:
    """No rule: every pending cell is needed and offered at once."""

    def __init__(self, opened: Store) -> None:
        self.store = opened
        self.given: set[str] = set()
        """Blocks that are with a worker or wait for one."""
        self.offered = np.zeros(opened.shape, bool)
        """Cells to compute when their block is offered (bool, grid)."""
        self.n_dropped = 0
        """Cells found not needed, and marked so, since :meth:`begin`."""
        self.n_left = 0
        """Blocks that may still be offered, where not all are at once."""

    def begin(self, blocks: Sequence[str], pending: np.ndarray, n_worker: int) -> list[str]:
        """Return the blocks to offer first, of those with a pending cell (bool, grid), in their order."""
        self.offered = pending
        return list(blocks)

    def ended(self, block: str, n_worker: int) -> list[str]:
        """Note that a block's task ended, and return the blocks to offer next."""
        return []

    def lose(self, block: str) -> Region:
        """Note that a block cannot be read; return the cells that cannot be computed for that."""
        return self.store.blocks.region(block)


class Stopping(Everything):
    """Offers the repetitions of each group from the first, few of them beyond those that are decided.

    Blocks that differ in their repetitions alone form a chain. A block is offered again and again, each time with the
    cells that have come to be needed.

    Parameters
    ----------
    opened
        The store.
    study
        Its study, by the config of this run.
    rule
        The rule.
    lease
        The right to write.
    """

    def __init__(self, opened: Store, study: Study, rule: StopConfig, lease: Lease) -> None:
        super().__init__(opened)
        self.rule = rule
        self._lease = lease
        self._variable = stop.variable(study)
        self._wanted = opened.grid.mask({axis.name: axis.labels for axis in study.axes()})
        self._repetitions = stop.Repetitions.of(opened.grid, repetitions(study))
        self._chains: dict[Index, list[str]] = {}
        self._open: set[Index] = set()
        self._held: dict[Index, int] = {}

    def begin(self, blocks: Sequence[str], pending: np.ndarray, n_worker: int) -> list[str]:
        """Return the blocks to offer first, of those with a pending cell (bool, grid), in their order.

        Cells that turn out not to be needed are taken out of ``pending``.
        """
        self.given, self.n_dropped = set(), 0
        self.offered = np.zeros(self.store.shape, bool)
        self._pending = pending
        self._status, self._values = self.store.status(), self.store.read(self._variable)
        self._chains = {}
        for block in self.store.blocks.holding(pending):
            self._chains.setdefault(self._chain(block), []).append(block)
        self._open, self._held = set(self._chains), {chain: len(held) for chain, held in self._chains.items()}
        self.n_left = sum(self._held.values())
        released = {block for chain in self._chains for block in self._release(chain, n_worker)}
        return [block for block in blocks if block in released]

    def ended(self, block: str, n_worker: int) -> list[str]:
        """Note that a block's task ended, and return the blocks to offer next."""
        self.given.discard(block)
        chain = self._chain(block)
        if chain not in self._open:
            return []
        region = self.store.blocks.region(block)
        self._status[region] = self.store.read(layout.STATUS, region)
        self._values[region] = self.store.read(self._variable, region)
        return self._release(chain, n_worker)

    def lose(self, block: str) -> Region:
        """Note that a block cannot be read; return its whole chain, of which nothing more can be decided."""
        chain = self._chain(block)
        self._open.discard(chain)
        self._hold(chain, 0)
        region = self._region(chain)
        self.offered[region] = False
        return region

    def _release(self, chain: Index, n_worker: int) -> list[str]:
        """Choose the cells of a chain to compute now; return its blocks that have some and are not given away."""
        region = self._region(chain)
        status = self._repetitions.last(self._status[region])
        found = stop.prefix(status, self._repetitions.last(self._values[region]), self.rule)
        pending = self._repetitions.last(self._pending[region]) & (status == layout.PENDING)
        pending &= stop.judged(status, found) != layout.NOT_NEEDED
        self._repetitions.put(self._pending[region], pending)
        self._hold(chain, len(self._holding(chain, self._pending)))
        count = found.offered(self.rule, self._ahead(found.counted, n_worker, self._held[chain]))
        self._repetitions.put(self.offered[region], pending & (np.arange(status.shape[-1]) < count[..., None]))
        blocks = self._holding(chain, self.offered)
        if not blocks:
            self._close(chain)
        released = [block for block in blocks if block not in self.given]
        self.given.update(released)
        return released

    def _hold(self, chain: Index, n_block: int) -> None:
        """Note in how many blocks a chain has cells left."""
        self.n_left += n_block - self._held[chain]
        self._held[chain] = n_block

    def _holding(self, chain: Index, mask: np.ndarray) -> list[str]:
        """Return the blocks of a chain with a cell that is True in ``mask`` (grid)."""
        return [block for block in self._chains[chain] if mask[self.store.blocks.region(block)].any()]

    def _ahead(self, counted: np.ndarray, n_worker: int, n_block: int) -> np.ndarray:
        """Return how many repetitions of each group to compute that may turn out not to be needed.

        A quarter of those that count, so that a block is not offered for every single one; and some blocks more where
        workers would do nothing else, there being fewer chains than workers.
        """
        length = self.store.chunk[self._repetitions.axis]
        share = min(math.ceil(n_worker / max(1, len(self._open))), n_block)
        quarter = np.maximum(1, np.minimum(length, (counted + 3) // 4))
        return quarter + max(0, share - 1) * length

    def _close(self, chain: Index) -> None:
        """Mark what a chain does not need, once none of its blocks is with a worker."""
        if self.given.intersection(self._chains[chain]):
            return
        self._open.discard(chain)
        region = self._region(chain)
        status = self._status[region]
        after = judged_status(status, self._values[region], self._repetitions, self.rule)
        marked = self._status.copy()
        marked[region] = np.where(self._wanted[region], after, status)
        self.n_dropped += int((marked[region] != status)[status == layout.PENDING].sum())
        mark(self.store, self._status, marked, self._lease)
        self._status = marked

    def _chain(self, block: str) -> Index:
        """Return the numbers of a block with 0 for the repetitions: the name of its chain."""
        return tuple(0 if i == self._repetitions.axis else n for i, n in enumerate(block_index(block)))

    def _region(self, chain: Index) -> Region:
        region = list(self.store.blocks.region(block_id(chain)))
        region[self._repetitions.axis] = slice(0, self.store.shape[self._repetitions.axis])
        return tuple(region)


def outlook(opened: Store, study: Study, rule: StopConfig | None) -> np.ndarray:
    """Return the status of every cell as the rule has it (u1, grid); the store is only read.

    Cells that it no longer needs are ``not_needed``. Those that were, and are needed now, have the status they were
    computed with, or are pending. Labels that the config leaves out are left alone.
    """
    status, wanted = opened.status(), opened.grid.mask({axis.name: axis.labels for axis in study.axes()})
    masked = wanted & (status == layout.NOT_NEEDED)
    if rule is None:
        return np.where(masked, _computed_as(opened, masked), status)
    places = stop.Repetitions.of(opened.grid, repetitions(study))
    values = opened.read(stop.variable(study))
    # where what is needed already meets the rule, nobody has to know what lies beyond
    met = stop.prefix(places.last(status), places.last(values), rule).met
    doubtful = np.zeros(opened.shape, bool)
    places.put(doubtful, np.broadcast_to(~met[..., None], (*met.shape, len(places.places))))
    doubtful &= masked
    status = np.where(doubtful, _computed_as(opened, doubtful), status)
    return np.where(wanted, judged_status(status, values, places, rule), status)


def settle(opened: Store, study: Study, rule: StopConfig | None, lease: Lease) -> np.ndarray:
    """Bring the marks of the store up to date with the rule, while no task lives; return the status (u1, grid)."""
    before = opened.status()
    if rule is None and not (before == layout.NOT_NEEDED).any():
        return before
    after = outlook(opened, study, rule)
    mark(opened, before, after, lease)
    return after


def mark(opened: Store, before: np.ndarray, after: np.ndarray, lease: Lease) -> None:
    """Write the status of the cells in which ``after`` differs from ``before`` (u1, grid); none is with a worker."""
    encoder = Encoder(opened)
    lease.check()
    for block in opened.blocks.holding(before != after):
        region = opened.blocks.region(block)
        dropped = (before == layout.PENDING) & (after != layout.PENDING)
        numbers = [int(number) for number in opened.blocks.numbers(block, dropped)]
        with problems(opened.path):
            fence = Fence(owners.grant(opened.path.parent, block, lease.token()))
            if numbers:
                # emptied first: what a killed task left of a cell must not pass for a finished one later
                values = BlockValues(opened, block, encoder)
                values.empty(numbers, after[region])
                values.flush(fence)
            else:
                for path, content in encoder.chunks(layout.STATUS, region, after[region]).items():
                    fence.write(path, content)
            forget = owners.revoke if (after[region] == layout.PENDING).any() else owners.finish
            forget(opened.path.parent, block, lease.epoch)


def judged_status(status: np.ndarray, values: np.ndarray, places: stop.Repetitions, rule: StopConfig) -> np.ndarray:
    """Return the status (u1, grid or a part with all repetitions) with ``not_needed`` where the rule has it."""
    after = status.copy()
    turned = places.last(status)
    places.put(after, stop.judged(turned, stop.prefix(turned, places.last(values), rule)))
    return after


def _computed_as(opened: Store, mask: np.ndarray) -> np.ndarray:
    """Return the status with which not needed cells (bool, grid) were computed, ``pending`` where they were not."""
    found = np.zeros(opened.shape, "u1")
    for block in opened.blocks.holding(mask):
        region = opened.blocks.region(block)
        run, kind, error = (opened.read(name, region) != "" for name in ("run", "error_type", "error"))
        codes = [layout.PENDING, layout.FAILED, layout.IMPOSSIBLE]
        found[region] = np.select([~run, kind, error], codes, layout.OK)
    return found


def repetitions(study: Study) -> Sequence[Label]:
    """Return the labels of the repetitions that a study's config names."""
    return next(axis.labels for axis in study.axes() if axis.name == REPETITION)
