"""Chunks of a store that cannot be used, found by reading every one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neq.errors import StoreError
from workflows import layout
from workflows.grid import SIZE, shown_label
from workflows.store import Store


@dataclass(frozen=True)
class Damage:
    """A block with chunks that cannot be read."""

    block: str
    variables: tuple[str, ...]
    reason: str


def find(opened: Store, progress: Callable[[int, int], Any] = lambda done, total: None) -> Iterator[Damage]:
    """Yield every block of which a chunk is damaged or missing."""
    big = {name: list(_big_chunks(opened, name)) for name, output in opened.outputs.items() if output.own_chunk}
    for number, block in enumerate(opened.blocks.ids(), start=1):
        reasons = dict(_scalars(opened, block))
        places = {tuple(index) for index in opened.blocks.cells(block).tolist()} if big else set()
        for name, indices in big.items():
            for index in places.intersection(indices):
                reasons |= _read(opened, name, tuple(slice(i, i + 1) for i in index))
        if reasons:
            yield Damage(block, tuple(reasons), next(iter(reasons.values())))
        progress(number, opened.blocks.n_block)


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


def _scalars(opened: Store, block: str) -> Iterator[tuple[str, str]]:
    """Yield the variables of a block that cannot be read; a block nobody has begun has no files yet."""
    region = opened.blocks.region(block)
    found = _read(opened, layout.STATUS, region)
    yield from found.items()
    begun = bool(found) or bool((opened.read(layout.STATUS, region) != layout.PENDING).any())
    for name, output in opened.outputs.items():
        if output.own_chunk or name == layout.STATUS:
            continue
        numbers = tuple(part.start // c for part, c in zip(region, opened.chunk, strict=True))
        path = layout.chunk_path(opened.path, name, numbers + (0,) * len(output.dims))
        if begun and not path.exists():
            yield name, "its file is missing"
        elif path.exists():
            yield from _read(opened, name, region).items()


def _read(opened: Store, name: str, region: tuple[slice, ...]) -> dict[str, str]:
    """Return the variable with the reason why it cannot be read here, nothing where it can."""
    try:
        opened.read(name, region)
    except StoreError as error:
        inner = error.__cause__ or error
        return {name: " ".join(str(inner).split())[:200]}
    return {}


def _big_chunks(opened: Store, name: str) -> Iterator[tuple[int, ...]]:
    """Yield the cells that have a chunk of their own on disk."""
    n = len(opened.shape)
    for path in (opened.path / name).glob("c.*"):
        if re.fullmatch(r"c(\.\d+)+", path.name):
            yield tuple(int(part) for part in path.name.split(".")[1 : n + 1])


def coordinates(opened: Store) -> Iterator[tuple[Path, str]]:
    """Yield the chunk of every coordinate that does not hold the labels the store is known to have."""
    import zarr

    for axis in opened.grid.axes:
        path = opened.path / axis.name / "c" / "0"
        try:
            labels = zarr.open_array(opened.path / axis.name, mode="r")[:]
            if not np.array_equal(np.asarray(labels), layout.coordinate_values(axis)):
                yield path, f"coordinate {axis.name} holds other labels than the store is known to have"
        except Exception as error:
            yield path, f"coordinate {axis.name} cannot be read ({' '.join(str(error).split())[:120]})"
