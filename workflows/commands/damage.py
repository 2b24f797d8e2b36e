"""Chunks of a store that cannot be used, found by reading every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from neq.errors import StoreError
from workflows import layout
from workflows.blocks.block import chunk_files
from workflows.grid import SIZE, Index, Region, block_index, shown_label
from workflows.store import Store, damaged
from workflows.studies.base import Output


@dataclass(frozen=True)
class Damage:
    """A block with chunks that cannot be read."""

    block: str
    variables: tuple[str, ...]
    reason: str


def find(opened: Store, progress: Callable[[int, int], Any] = lambda done, total: None) -> Iterator[Damage]:
    """Yield every block of which a chunk is damaged or missing."""
    for number, block in enumerate(opened.blocks.ids(), start=1):
        reasons = scalars(opened, block)
        for found in big(opened, block).values():
            reasons |= found
        if reasons:
            yield Damage(block, tuple(reasons), next(iter(reasons.values())))
        progress(number, opened.blocks.n_block)


def scalars(opened: Store, block: str) -> dict[str, str]:
    """Return the variables of a block that cannot be read, with the reason; one nobody has begun has no files yet."""
    region = opened.blocks.region(block)
    reasons = _read(opened, layout.STATUS, region)
    begun = bool(reasons) or bool((opened.read(layout.STATUS, region) != layout.PENDING).any())
    for name, output in opened.outputs.items():
        if not output.own_chunk and name != layout.STATUS:
            reasons |= _examined(opened, output, block_index(block), region, needed=begun)
    return reasons


def big(opened: Store, block: str) -> dict[Index, dict[str, str]]:
    """Return the variables with a chunk for each cell that cannot be read, with the reason, by cell of the block."""
    outputs = [output for output in opened.outputs.values() if output.own_chunk]
    region = opened.blocks.region(block)
    if not outputs:
        return {}
    try:
        ok = opened.read(layout.STATUS, region) == layout.OK
    except StoreError:
        ok = np.zeros([part.stop - part.start for part in region], bool)
    found = {}
    for local in np.ndindex(ok.shape):
        index = tuple(part.start + i for part, i in zip(region, local, strict=True))
        place = tuple(slice(i, i + 1) for i in index)
        reasons: dict[str, str] = {}
        for output in outputs:
            reasons |= _examined(opened, output, index, place, needed=bool(ok[local]))
        if reasons:
            found[index] = reasons
    return found


def refuse_missing(opened: Store, status: np.ndarray) -> None:
    """Raise where a finished cell has no chunk, which zarr would read as a cell without a value.

    Only names are looked at, so that it takes little time beside reading the store.

    Parameters
    ----------
    status
        Status of every cell (grid).

    Raises
    ------
    neq.errors.ChunkError
        A chunk is missing; the message names the variable and the block.
    """
    begun = opened.blocks.holding(status != layout.PENDING)
    ok = [".".join(map(str, index)) for index in np.argwhere(status == layout.OK).tolist()]
    for name, output in opened.outputs.items():
        there = {path.name for path in (opened.path / name).iterdir()}
        for numbers in ok if output.own_chunk else begun:
            if any(path.name not in there for path in chunk_files(opened, output, block_index(numbers))):
                raise damaged(opened.path, name, numbers, "its file is missing")


def expression(opened: Store, block: str) -> str:
    """Return the `--where` expression that chooses the cells of a block, all of them and no others."""
    region = opened.blocks.region(block)
    parts = [
        (name, opened.labels(name)[part], len(opened.labels(name)))
        for name, part in zip(opened.names, region, strict=True)
    ]
    return expression_of(parts)


def expression_of(parts: Any) -> str:
    """Return the expression for labels along each axis: (name, chosen labels, number of labels there are).

    Examples
    --------
    >>> expression_of([("session", ("s1",), 2), ("size", (10, 0), 2), ("repetition", (4, 5), 10)])
    "session == 's1' and repetition in [4, 5]"
    """
    terms = []
    for name, labels, n in parts:
        shown = [shown_label(name, label) if name == SIZE and label == 0 else label for label in labels]
        if len(shown) < n:
            terms.append(f"{name} == {shown[0]!r}" if len(shown) == 1 else f"{name} in {shown!r}")
    return " and ".join(terms) or "status in ['pending', 'ok', 'failed', 'impossible', 'not_needed']"


def _examined(opened: Store, output: Output, numbers: Index, region: Region, needed: bool) -> dict[str, str]:
    """Return the variable with the reason why its chunk with these numbers cannot be used, nothing where it can."""
    there = [path.exists() for path in chunk_files(opened, output, numbers)]
    if needed and not all(there):
        # zarr reads a missing chunk as fill values
        return {output.name: "its file is missing"}
    return _read(opened, output.name, region) if any(there) else {}


def _read(opened: Store, name: str, region: tuple[slice, ...]) -> dict[str, str]:
    """Return the variable with the reason why it cannot be read here, nothing where it can."""
    try:
        opened.read(name, region)
    except StoreError as error:
        inner = error.__cause__ or error
        return {name: " ".join(str(inner).split())[:200]}
    return {}


def structure(opened: Store) -> Iterator[str]:
    """Yield what is wrong with the arrays themselves: lost metadata, labels other than those the store has.

    All of it can be told from the attributes of the store, and a driver writes it anew.
    """
    for name in opened.outputs:
        try:
            opened.array(name)
        except Exception as error:
            yield f"variable {name} has lost its metadata ({_short(error)})"
    for axis in opened.grid.axes:
        try:
            labels = zarr.open_array(opened.path / axis.name, mode="r")[:]
            if not np.array_equal(np.asarray(labels), layout.coordinate_values(axis)):
                yield f"coordinate {axis.name} holds other labels than the store is known to have"
        except Exception as error:
            yield f"coordinate {axis.name} cannot be read ({_short(error)})"
    yield from _subjects(opened)


def _subjects(opened: Store) -> Iterator[str]:
    names = layout.subjects(opened.grid, opened.prepared)
    if names is None or not names.any():
        return
    try:
        if not np.array_equal(np.asarray(zarr.open_array(opened.path / layout.SUBJECT, mode="r")[:]), names):
            yield f"coordinate {layout.SUBJECT} names other animals than the store is known to have"
    except Exception as error:
        yield f"coordinate {layout.SUBJECT} cannot be read ({_short(error)})"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
