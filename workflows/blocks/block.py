"""The values of one block in a task's memory, between the store and the cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from workflows import layout
from workflows.blocks.flush import Encoder, Fence
from workflows.grid import Index, Region, block_index
from workflows.store import Store, damaged
from workflows.studies.base import Output


class BlockValues:
    """All variables of one block; cells are named by their number in the block.

    Parameters
    ----------
    store
        The open store.
    block
        Id of the block.
    encoder
        Kept by the caller from block to block.
    blank
        True to start from nothing and not read what the store has, which may be damaged.
    """

    def __init__(self, store: Store, block: str, encoder: Encoder, blank: bool = False) -> None:
        self.store = store
        self.block = block
        self.region = store.blocks.region(block)
        self._encoder = encoder
        self._scalars = [output for output in store.outputs.values() if not output.own_chunk]
        self._big = [output for output in store.outputs.values() if output.own_chunk]
        self._fills = {output.name: layout.fill_value(output) for output in self._scalars}
        self._unsaved: dict[int, dict[str, Any]] = {}
        begun = not blank and bool((store.read(layout.STATUS, self.region) != layout.PENDING).any())
        self.values = {output.name: self._load(output) if begun else self._empty(output) for output in self._scalars}

    def pending(self) -> list[int]:
        """Return the numbers of the cells without a status."""
        places = np.nonzero(self.values[layout.STATUS] == layout.PENDING)
        return [int(number) for number in np.ravel_multi_index(places, self.store.chunk)]

    def index(self, number: int) -> Index:
        """Return the place in the grid of the cell with this number."""
        return tuple(s.start + i for s, i in zip(self.region, self.store.blocks.local(number), strict=True))

    def put(self, number: int, record: Mapping[str, Any]) -> None:
        """Set all variables of one cell; those that ``record`` leaves out get their fill value."""
        local = self.store.blocks.local(number)
        for name, fill in self._fills.items():
            values, value = self.values[name], record.get(name)
            if value is None:
                values[local] = fill
            elif values.ndim == len(local):
                values[local] = value
            else:
                values[local] = fill
                values[(*local, *(slice(0, n) for n in np.shape(value)))] = value
        self._unsaved[number] = {output.name: record.get(output.name) for output in self._big}
        if record.get(layout.STATUS) == layout.OK:
            # every finished cell has its big values on disk, if only fill values: a missing file means damage
            nothing = {output.name: np.empty((0,) * len(output.dims)) for output in self._big}
            self._unsaved[number] |= {n: empty for n, empty in nothing.items() if self._unsaved[number][n] is None}

    def empty(self, numbers: Sequence[int], status: np.ndarray) -> None:
        """Empty cells that have no value, and set the status of all cells of the block (u1, block)."""
        for number in numbers:
            self.put(number, {})
        self.values[layout.STATUS][...] = status

    def flush(self, fence: Fence) -> None:
        """Write what has changed: big values, then the others, status last."""
        if not self._unsaved:
            return
        for number, values in self._unsaved.items():
            for output in self._big:
                self._flush_big(output, number, values[output.name], fence)
        for output in self._scalars:
            self._write(fence, output.name, self.region, self.values[output.name])
        self._unsaved.clear()

    def reset(self, numbers: Sequence[int], fence: Fence) -> None:
        """Make cells pending and empty again; their status goes first, so that no half-emptied cell counts as done."""
        for number in numbers:
            self.put(number, {})
        self._write(fence, layout.STATUS, self.region, self.values[layout.STATUS])
        self.flush(fence)

    def _flush_big(self, output: Output, number: int, value: Any, fence: Fence) -> None:
        index = self.index(number)
        path = layout.chunk_path(self.store.path, output.name, index + (0,) * len(output.dims))
        # a cell without a value needs no file, unless one is there from a cell that was killed or reset
        if value is not None or path.exists():
            whole = np.full(self._lengths(output), layout.fill_value(output), layout.numpy_dtype(output))
            if value is not None:
                whole[tuple(slice(0, n) for n in np.shape(value))] = value
            region = tuple(slice(i, i + 1) for i in index)
            self._write(fence, output.name, region, whole.reshape((1,) * len(index) + whole.shape))

    def _write(self, fence: Fence, name: str, region: Region, values: np.ndarray) -> None:
        for path, content in self._encoder.chunks(name, region, values).items():
            fence.write(path, content)

    @cached_property
    def _shape(self) -> Index:
        return tuple(s.stop - s.start for s in self.region)

    def _lengths(self, output: Output) -> Index:
        return tuple(self.store.dimensions[dim] for dim in output.dims)

    def _empty(self, output: Output) -> np.ndarray:
        return np.full(self._shape + self._lengths(output), layout.fill_value(output), layout.numpy_dtype(output))

    def _load(self, output: Output) -> np.ndarray:
        if not all(path.exists() for path in chunk_files(self.store, output, block_index(self.block))):
            # zarr reads a missing chunk as fill values, which would turn finished cells into empty ones
            raise damaged(self.store.path, output.name, self.block, "its file is missing")
        return self.store.read(output.name, self.region).copy()


def chunk_files(store: Store, output: Output, numbers: Index) -> list[Path]:
    """Return the files of one chunk of the grid: several where an extra dimension has grown since."""
    array, n = store.array(output.name), len(numbers)
    counts = [math.ceil(length / chunk) for length, chunk in zip(array.shape[n:], array.chunks[n:], strict=True)]
    places = itertools.product(*map(range, counts))
    return [layout.chunk_path(store.path, output.name, (*numbers, *place)) for place in places]
