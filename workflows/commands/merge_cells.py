"""Which run each cell of a joint store comes from, and that runs which both computed it agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neq.errors import StoreError
from workflows import layout
from workflows.blocks.block import chunk_files
from workflows.commands.verify import same_bits
from workflows.grid import Grid, Index, shown_label
from workflows.store import Store
from workflows.studies.base import Output

_RANKS = {layout.PENDING: 0, layout.NOT_NEEDED: 1, layout.FAILED: 2, layout.OK: 4, layout.IMPOSSIBLE: 4}
_BEYOND = 3
"""Rank of a cell that was computed though the stop rule did not need it: it has its values."""
_MUST_AGREE = ("quality", "error")
"""Engine variables that belong to the result, beside status and all of the study's own."""


@dataclass(frozen=True)
class Source:
    """One of the stores that are joined.

    Parameters
    ----------
    store
        It.
    positions
        Where its labels are in the joint grid, axis by axis.
    status
        Its status (its grid).
    computed
        Which of its cells another run must agree with (bool, its grid).
    mine
        Which of its cells the joint store takes (bool, its grid).
    """

    store: Store
    positions: tuple[np.ndarray, ...]
    status: np.ndarray
    computed: np.ndarray
    mine: np.ndarray

    @cached_property
    def place(self) -> tuple[np.ndarray, ...]:
        """Index of its cells in an array on the joint grid."""
        return np.ix_(*self.positions)

    def index(self, cell: Index) -> Index | None:
        """Return where a cell of the joint grid is in this store, None where it is not."""
        found = [np.flatnonzero(at == i) for at, i in zip(self.positions, cell, strict=True)]
        return tuple(int(at[0]) for at in found) if all(at.size for at in found) else None


def place(stores: Sequence[Store], grid: Grid) -> list[Source]:
    """Lay stores over a grid that has all their labels, and decide where each cell is taken from.

    A cell that is ok or impossible comes before one that failed, that before one nobody needed or computed; else the
    earlier store counts.
    """
    placed, best = [], np.full(grid.shape, -1)
    for store in stores:
        where = {name: {label: i for i, label in enumerate(grid.labels(name))} for name in grid.names}
        positions = tuple(np.array([where[name][label] for label in store.labels(name)]) for name in grid.names)
        status = store.status()
        rank = _rank(store, status)
        best[np.ix_(*positions)] = np.maximum(best[np.ix_(*positions)], rank)
        placed.append((store, positions, status, rank))
    taken = np.zeros(grid.shape, bool)
    sources = []
    for store, positions, status, rank in placed:
        at = np.ix_(*positions)
        mine = (rank == best[at]) & ~taken[at]
        taken[at] |= mine
        sources.append(Source(store, positions, status, rank >= _BEYOND, mine))
    return sources


def count_shared(shape: Index, sources: Sequence[Source]) -> int:
    """Return how many cells of the joint grid more than one store has computed."""
    computed = np.zeros(shape, int)
    for source in sources:
        computed[source.place] += source.computed
    return int((computed > 1).sum())


def join(made: Store, output: Output, sources: Sequence[Source]) -> None:
    """Write one variable of the joint store.

    Raises
    ------
    neq.errors.StoreError
        Two stores computed a cell to other values; the message names the cell.
    """
    if output.own_chunk:
        _join_cells(made, output, sources)
        return
    array = made.array(output.name).with_config({"write_empty_chunks": True})
    # what has many values for each cell is joined a row of blocks at a time
    step = made.chunk[0] if output.dims else made.shape[0]
    for start in range(0, made.shape[0], step):
        rows = slice(start, min(start + step, made.shape[0]))
        array[rows] = _joined(made, output, sources, rows)


def _rank(store: Store, status: np.ndarray) -> np.ndarray:
    rank = np.array([_RANKS[code] for code in range(len(layout.STATUS_NAMES))])[status]
    beyond = status == layout.NOT_NEEDED
    if beyond.any():
        rank[beyond & (store.read("run") != "") & (store.read("error_type") == "")] = _BEYOND
    return rank


def _joined(made: Store, output: Output, sources: Sequence[Source], rows: slice) -> np.ndarray:
    """Return the values of some rows of the joint grid, taken from where each cell is best, all others compared."""
    extra = tuple(made.dimensions[dim] for dim in output.dims)
    values = _filled((rows.stop - rows.start, *made.shape[1:], *extra), output)
    parts = [(source, *_part(source, output, rows, extra)) for source in sources]
    for source, at, theirs, inside in parts:
        values[at] = _chosen(source.mine[inside], theirs, values[at])
    if output.name in made.study_outputs or output.name in (*_MUST_AGREE, layout.STATUS):
        final = np.zeros(values.shape[: len(made.shape)], bool)
        for source, at, _, inside in parts:
            final[at] |= _final(source, output)[inside] & source.mine[inside]
        for source, at, theirs, inside in parts:
            both = final[at] & _final(source, output)[inside] & ~source.mine[inside]
            _refuse_disagreement(made, output, sources, source, (both, theirs, values[at]), (at, rows.start))
    return values


def _final(source: Source, output: Output) -> np.ndarray:
    """Return the cells in which a variable must agree; a status only where no stop rule has changed it since."""
    if output.name == layout.STATUS:
        return (source.status == layout.OK) | (source.status == layout.IMPOSSIBLE)
    return source.computed


def _part(
    source: Source, output: Output, rows: slice, extra: Index
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Return where a source's cells are among some rows, their values, and which of its own rows these are."""
    first = source.positions[0]
    inside = np.flatnonzero((first >= rows.start) & (first < rows.stop))
    at = np.ix_(first[inside] - rows.start, *source.positions[1:])
    if output.name == layout.STATUS:
        # as it was before the values are read
        values = source.status[inside]
    elif inside.size == len(first):
        values = source.store.read(output.name)
    else:
        others = tuple(slice(0, n) for n in source.store.shape[1:])
        each = [source.store.read(output.name, (slice(i, i + 1), *others)) for i in inside.tolist()]
        shape = (0, *source.store.shape[1:], *extra)
        values = np.concatenate(each) if each else _filled(shape, output)
    return at, _padded(values, extra, output), inside


def _padded(values: np.ndarray, extra: Index, output: Output) -> np.ndarray:
    """Return values whose extra dimensions are as long as those of the joint store."""
    n_axis = values.ndim - len(extra)
    if values.shape[n_axis:] == extra:
        return values
    whole = _filled(values.shape[:n_axis] + extra, output)
    whole[(..., *(slice(n) for n in values.shape[n_axis:]))] = values
    return whole


def _filled(shape: Index, output: Output) -> np.ndarray:
    return np.full(shape, layout.fill_value(output), layout.numpy_dtype(output))


def _chosen(mask: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.where(mask.reshape(mask.shape + (1,) * (one.ndim - mask.ndim)), one, two)


def _refuse_disagreement(
    made: Store,
    output: Output,
    sources: Sequence[Source],
    source: Source,
    compared: tuple[np.ndarray, np.ndarray, np.ndarray],
    where: tuple[tuple[np.ndarray, ...], int],
) -> None:
    """Raise at the first cell in which a source has other bits than the joint store."""
    both, theirs, ours = compared
    if not both.any() or same_bits(theirs[both], ours[both]):
        return
    at, first_row = where
    for local in np.argwhere(both).tolist():
        one, two = ours[tuple(local)], theirs[tuple(local)]
        if not same_bits(np.asarray(one), np.asarray(two)):
            cell = tuple(int(axis.ravel()[i]) for axis, i in zip(at, local, strict=True))
            _disagree(made, output, sources, source, (cell[0] + first_row, *cell[1:]), one, two)


def _disagree(
    made: Store,
    output: Output,
    sources: Sequence[Source],
    source: Source,
    cell: Index,
    one: np.ndarray,
    two: np.ndarray,
) -> None:
    owner = next(each for each in sources if (index := each.index(cell)) is not None and each.mine[index])
    labels = ", ".join(f"{name} {shown_label(name, label)}" for name, label in made.grid.cell(cell).items())
    folders = owner.store.path.parent, source.store.path.parent
    raise StoreError(
        f"Cell {labels}: {output.name} is {_short(one)} in {folders[0]} and {_short(two)} in {folders[1]}, though the "
        "same settings give the same bits: find out with `neq verify` which run is wrong and leave it out."
    )


def _short(value: np.ndarray) -> str:
    return repr(np.asarray(value).tolist())[:100]


def _join_cells(made: Store, output: Output, sources: Sequence[Source]) -> None:
    """Write a variable that has a chunk for each cell."""
    array = made.array(output.name).with_config({"write_empty_chunks": True})
    extra = tuple(made.dimensions[dim] for dim in output.dims)
    several = np.zeros(made.shape, int)
    for source in sources:
        several[source.place] += source.computed
    for source, index, cell in _cells(sources):
        if not all(path.exists() for path in chunk_files(source.store, output, index)):
            continue
        mine = _cell_values(source, output, index, extra)
        array[cell] = mine
        for other in sources if several[cell] > 1 and source.computed[index] else ():
            there = other.index(cell)
            if other is not source and there is not None and other.computed[there]:
                theirs = _cell_values(other, output, there, extra)
                if not same_bits(mine, theirs):
                    _disagree(made, output, sources, other, cell, mine, theirs)


def _cells(sources: Sequence[Source]) -> Iterator[tuple[Source, Index, Index]]:
    """Yield source, place there and place in the joint grid of every cell that has been begun."""
    for source in sources:
        for local in np.argwhere(source.mine & (source.status != layout.PENDING)).tolist():
            yield source, tuple(local), tuple(int(at[i]) for at, i in zip(source.positions, local, strict=True))


def _cell_values(source: Source, output: Output, index: Index, extra: Index) -> np.ndarray:
    region = tuple(slice(i, i + 1) for i in index)
    return _padded(source.store.read(output.name, region), extra, output)[(0,) * len(index)]
