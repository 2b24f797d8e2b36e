"""In which order the blocks of a sweep are given away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workflows.grid import REPETITION, block_index
from workflows.store import Store


def costliest_first(opened: Store, pending: np.ndarray) -> list[str]:
    """Return the blocks with a pending cell (bool, grid), the most expected work first.

    Repetitions of one another cost the same, so that the study is asked once for all of them.
    """
    names, chunk = opened.grid.names, opened.chunk
    repeated = tuple(axis for axis, name in enumerate(names) if name == REPETITION)
    cost = np.zeros([1 if axis in repeated else n for axis, n in enumerate(opened.shape)])
    for index in np.argwhere(pending.any(axis=repeated, keepdims=True)).tolist():
        cell = opened.grid.cell(tuple(index))
        prepared = opened.prepared_for(cell)
        cost[tuple(index)] = opened.study.cost(cell, prepared.facts if prepared else {})
    work = pending
    for axis in repeated:
        work = _per_block(work, axis, chunk[axis])
    work = work * cost
    for axis in set(range(work.ndim)) - set(repeated):
        work = _per_block(work, axis, chunk[axis])
    return sorted(opened.blocks.holding(pending), key=lambda block: -work[block_index(block)])


def earliest_repetition_first(blocks: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the blocks of a grid with these axes by repetition, else in the order in which they come.

    Examples
    --------
    >>> earliest_repetition_first(["1.1", "1.0", "0.1", "0.0"], ("size", "repetition"))
    ['1.0', '0.0', '1.1', '0.1']
    """
    if REPETITION not in names:
        return list(blocks)
    axis = names.index(REPETITION)
    return sorted(blocks, key=lambda block: block_index(block)[axis])


def _per_block(values: np.ndarray, axis: int, chunk: int) -> np.ndarray:
    """Return the sums of values (grid) over the cells of each block along one axis."""
    dtype = np.int64 if values.dtype == bool else values.dtype
    return np.add.reduceat(values, np.arange(0, values.shape[axis], chunk), axis=axis, dtype=dtype)
