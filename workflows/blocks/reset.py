"""Cells made pending again, or marked failed, by the driver itself: through the same fence as a task."""

from __future__ import annotations

import numpy as np

from workflows import layout
from workflows.blocks import cells, owners
from workflows.blocks.block import BlockValues
from workflows.blocks.flush import Encoder, Fence
from workflows.lease import Lease
from workflows.store import Store, drop_consolidated, problems
from workflows.studies.base import Prepared

INGEST_ERROR = "IngestError"
"""Error type of the cells whose recording could not be prepared."""


def reset_cells(store: Store, mask: np.ndarray, lease: Lease) -> int:
    """Make the cells that are True in ``mask`` (grid) pending and forget their deaths; return how many there are.

    A block of which every cell is chosen is not read, so that damaged chunks are replaced too.
    """
    lease.check()
    drop_consolidated(store.path)
    encoder = Encoder(store)
    for block in store.blocks.holding(mask):
        whole = bool(mask[store.blocks.region(block)].all())
        numbers = [int(number) for number in store.blocks.numbers(block, mask)]
        with problems(store.path):
            fence = Fence(owners.grant(store.path.parent, block, lease.token()))
            BlockValues(store, block, encoder, blank=whole).reset(numbers, fence)
            owners.finish(store.path.parent, block, lease.epoch)
    return int(mask.sum())


def settle_ingest(store: Store, wanted: np.ndarray, lease: Lease, run_id: str) -> None:
    """Mark the pending cells of recordings that failed to be prepared, and free those of recordings mended since."""
    broken = [prepared for prepared in store.prepared if prepared.error_type]
    status = store.status()
    lost = np.zeros(store.shape, bool)
    for prepared in broken:
        lost |= cells_of(store, prepared)
    failed = (status == layout.FAILED) & wanted & ~lost
    if store.prepared and failed.any():
        mended = _with_ingest_error(store, failed)
        if mended.any():
            reset_cells(store, mended, lease)
    for prepared in broken:
        mask = cells_of(store, prepared) & wanted & (status == layout.PENDING)
        _mark(store, mask, f"{prepared.error_type}: {prepared.error}", lease, run_id)


def _mark(store: Store, mask: np.ndarray, error: str, lease: Lease, run_id: str) -> None:
    encoder = Encoder(store)
    record = {**cells.failure(INGEST_ERROR, error), "run": run_id}
    for block in store.blocks.holding(mask):
        with problems(store.path):
            fence = Fence(owners.grant(store.path.parent, block, lease.token()))
            values = BlockValues(store, block, encoder)
            for number in store.blocks.numbers(block, mask):
                values.put(int(number), record)
            values.flush(fence)
            owners.finish(store.path.parent, block, lease.epoch)


def cells_of(store: Store, prepared: Prepared) -> np.ndarray:
    """Return the cells (bool, grid) that one prepared source serves."""
    return store.grid.mask({name: (label,) for name, label in prepared.labels.items()})


def _with_ingest_error(store: Store, failed: np.ndarray) -> np.ndarray:
    """Return which of the failed cells failed for want of their recording, reading only blocks that have any."""
    found = np.zeros(store.shape, bool)
    for block in store.blocks.holding(failed):
        region = store.blocks.region(block)
        found[region] = failed[region] & (store.read("error_type", region) == INGEST_ERROR)
    return found
