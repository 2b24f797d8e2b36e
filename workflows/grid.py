"""The grid of a sweep: axes, cells and the blocks that tasks own. Plain index arithmetic, no object per cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neq.errors import GridError
from workflows.labels import ALL as ALL
from workflows.labels import REPETITION, SIZE, checked, stored_label
from workflows.labels import shown_label as shown_label
from workflows.studies.base import Axis, Label

FEWEST_BLOCKS = 64
MOST_BLOCKS = 3_000
"""A status array of more chunks takes seconds to read."""
CELLS_PER_BLOCK = 256
"""Blocks larger than this are split further while there may be more blocks: they balance better over workers."""

Index = tuple[int, ...]
Region = tuple[slice, ...]


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, slowest first.

    Parameters
    ----------
    axes
        One per dimension; on the axis ``size`` the label ``"all"`` is kept as 0.

    Examples
    --------
    >>> grid = Grid((Axis("session", ("s1", "s2")), Axis("size", (10, "all")), Axis("repetition", tuple(range(5)))))
    >>> grid.shape, grid.n_cell, grid.cell((1, 1, 3))
    ((2, 2, 5), 20, {'session': 's2', 'size': 0, 'repetition': 3})
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(checked(axis) for axis in self.axes))
        repeated = {name for name in self.names if self.names.count(name) > 1}
        if repeated or not self.axes:
            raise GridError(f"A grid needs axes of different names; found {list(self.names)}. Rename or drop one.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> Index:
        """Number of labels of each axis."""
        return tuple(len(axis.labels) for axis in self.axes)

    @property
    def n_cell(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    def labels(self, name: str) -> tuple[Label, ...]:
        """Return the labels of one axis."""
        return self.axes[self.names.index(name)].labels

    def cell(self, index: Index) -> dict[str, Label]:
        """Return the labels of the cell at ``index``."""
        return {axis.name: axis.labels[i] for axis, i in zip(self.axes, index, strict=True)}

    def mask(self, wanted: Mapping[str, Sequence[Label]]) -> np.ndarray:
        """Return which cells have, on each axis named in ``wanted``, one of the labels given there (bool, grid).

        Examples
        --------
        >>> Grid((Axis("lag", (1, 2)), Axis("repetition", (0, 1, 2)))).mask({"lag": (2,)}).astype(int)
        array([[0, 0, 0],
               [1, 1, 1]])
        """
        mask = np.ones(self.shape, bool)
        for position, axis in enumerate(self.axes):
            if axis.name in wanted:
                labels = {stored_label(axis.name, label) for label in wanted[axis.name]}
                inside = np.array([label in labels for label in axis.labels])
                mask &= inside.reshape([-1 if i == position else 1 for i in range(len(self.axes))])
        return mask

    def block_shape(self, override: Mapping[str, int] | None = None) -> Index:
        """Return the cells per block along each axis.

        All sizes stay together. Repetitions are split until there are at least 64 blocks and blocks are not
        large; where the other axes alone make more than 3,000 blocks, blocks span the last of them too.

        Parameters
        ----------
        override
            Cells per block by axis, from the config; other axes keep the rule.

        Examples
        --------
        >>> sizes, repetitions = Axis("size", (10, 20)), Axis("repetition", tuple(range(64)))
        >>> Grid((Axis("session", ("a", "b")), sizes, repetitions)).block_shape()
        (1, 2, 2)
        """
        override = dict(override or {})
        unknown = sorted(set(override) - set(self.names))
        if unknown or any(length < 1 for length in override.values()):
            raise GridError(
                f"sweep.block needs lengths of 1 or more for axes among {list(self.names)}; found {override}."
            )
        chunk = [
            override.get(name, length if name == SIZE else 1)
            for name, length in zip(self.names, self.shape, strict=True)
        ]
        chunk = [min(c, length) for c, length in zip(chunk, self.shape, strict=True)]
        if REPETITION in self.names and REPETITION not in override:
            self._split_repetitions(chunk)
        free = [i for i, name in enumerate(self.names) if name not in (SIZE, REPETITION) and name not in override]
        for position in reversed(free):
            excess = math.ceil(_n_block(self.shape, tuple(chunk)) / MOST_BLOCKS)
            chunk[position] = min(self.shape[position], chunk[position] * excess)
        return tuple(chunk)

    def _split_repetitions(self, chunk: list[int]) -> None:
        position = self.names.index(REPETITION)
        n_repetition = self.shape[position]
        others = _n_block(self.shape, tuple(chunk)) // n_repetition
        cells = math.prod(chunk)
        pieces = math.ceil(FEWEST_BLOCKS / others)
        large = math.ceil(n_repetition * cells / CELLS_PER_BLOCK)
        pieces = max(pieces, min(large, MOST_BLOCKS // others))
        chunk[position] = max(1, n_repetition // pieces)
        if others * math.ceil(n_repetition / chunk[position]) > MOST_BLOCKS:
            chunk[position] = math.ceil(n_repetition / max(1, MOST_BLOCKS // others))


@dataclass(frozen=True)
class Blocks:
    """The blocks of a grid: block ``"1.0.2"`` is the chunk with these numbers, so ids stay the same when axes grow.

    Parameters
    ----------
    shape
        Shape of the grid.
    chunk
        Cells per block along each axis; blocks at the far edge are shorter.

    Examples
    --------
    >>> blocks = Blocks((2, 5), (1, 2))
    >>> list(blocks.ids())
    ['0.0', '0.1', '0.2', '1.0', '1.1', '1.2']
    >>> blocks.region("1.2")
    (slice(1, 2, None), slice(4, 5, None))
    """

    shape: Index
    chunk: Index

    @cached_property
    def counts(self) -> Index:
        """Number of blocks along each axis."""
        return tuple(math.ceil(n / c) for n, c in zip(self.shape, self.chunk, strict=True))

    @property
    def n_block(self) -> int:
        """Number of blocks."""
        return math.prod(self.counts)

    def ids(self) -> Iterator[str]:
        """Yield all block ids in grid order."""
        return (block_id(index) for index in np.ndindex(*self.counts))

    def region(self, block: str) -> Region:
        """Return the slices of the grid that the block covers."""
        starts = [i * c for i, c in zip(block_index(block), self.chunk, strict=True)]
        return tuple(slice(a, min(a + c, n)) for a, c, n in zip(starts, self.chunk, self.shape, strict=True))

    def cells(self, block: str) -> np.ndarray:
        """Return the grid index of every cell of the block (cell, axis)."""
        region = self.region(block)
        local = np.indices([s.stop - s.start for s in region]).reshape(len(region), -1).T
        return local + np.array([s.start for s in region])

    def numbers(self, block: str, mask: np.ndarray) -> np.ndarray:
        """Return the numbers of the block's cells that are True in ``mask`` (grid).

        A cell's number counts within a whole block, edge or not, so that growth does not change it.
        """
        local = np.nonzero(mask[self.region(block)])
        return np.ravel_multi_index(local, self.chunk)

    def local(self, number: int) -> Index:
        """Return the place within its block of the cell with this number."""
        return tuple(int(i) for i in np.unravel_index(number, self.chunk))

    def holding(self, mask: np.ndarray) -> list[str]:
        """Return the ids of the blocks with a cell that is True in ``mask`` (grid), in grid order.

        Examples
        --------
        >>> Blocks((2, 5), (1, 2)).holding(np.eye(2, 5, dtype=bool))
        ['0.0', '1.0']
        """
        for axis, c in enumerate(self.chunk):
            mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], c), axis=axis)
        return [block_id(index) for index in np.argwhere(mask)]


def block_id(index: Index | np.ndarray) -> str:
    """Return the id of the block with these chunk numbers.

    Examples
    --------
    >>> block_id((0, 2, 1))
    '0.2.1'
    """
    return ".".join(str(int(i)) for i in index)


def block_index(block: str) -> Index:
    """Return the chunk numbers in a block id.

    Examples
    --------
    >>> block_index("0.2.1")
    (0, 2, 1)
    """
    return tuple(int(part) for part in block.split("."))


def _n_block(shape: Index, chunk: Index) -> int:
    return math.prod(math.ceil(n / c) for n, c in zip(shape, chunk, strict=True))
