"""A block put at the URL while its task writes: values first, then the status that was read before them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numcodecs.zstd import Zstd

from workflows import layout
from workflows.blocks.block import chunk_files
from workflows.blocks.flush import Encoder
from workflows.grid import block_index
from workflows.remote.copies import Content, Copies, identity
from workflows.store import Store

TRIES = 5


class Blocks:
    """Puts blocks of a store.

    Parameters
    ----------
    copies
        What is at the URL.
    """

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._there: dict[str, bytes] = {}

    def changed(self, opened: Store) -> list[str]:
        """Return the blocks whose status has changed since it was put; a task changes nothing else without it."""
        folder = opened.path / layout.STATUS
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith("c.")]
        return sorted(name[2:] for name in names if not self._copies.is_current(folder / name))

    def put(self, opened: Store, block: str) -> bool:
        """Put what has changed of a block; False where it changed while it was read, so that nothing was put.

        A reader at the URL sees at any moment only cells with whole values as done: a status says no more than the
        values that went up before it, and where cells have become pending again, that goes up before their values.
        """
        read = self._read(opened, block)
        if read is None:
            return False
        status, values = read
        if (shrunk := self._without_pending(opened, block, status)) is not None:
            self._put_status(Content(status.key, shrunk, None))
        for content in values:
            self._copies.put(content)
        self._put_status(status)
        return True

    def _read(self, opened: Store, block: str) -> tuple[Content, list[Content]] | None:
        """Return the status and, read after it and while it stayed the same, the values that have changed."""
        path = layout.chunk_path(opened.path, layout.STATUS, block_index(block))
        for _ in range(TRIES):
            status = self._copies.read(path)
            if status is None:
                return None
            changed = [path for path in _value_files(opened, block) if not self._copies.is_current(path)]
            values = [content for path in changed if (content := self._copies.read(path)) is not None]
            if path.exists() and identity(path.stat()) == status.identity:
                return status, values
        return None

    def _without_pending(self, opened: Store, block: str, status: Content) -> bytes | None:
        """Return the status at the URL without the cells that are pending now; None where there are none of these."""
        there = self._copies.there(status.key)
        if there is None:
            return None
        before = self._there.get(status.key)
        if before is None:
            before = self._copies.place.get(status.key)
        after = _decoded(status.data)
        codes = after * 0 if before is None else _decoded(before)
        again = (codes != layout.PENDING) & (after == layout.PENDING)
        if not again.any():
            return None
        shape = tuple(part.stop - part.start for part in opened.blocks.region(block))
        whole = np.where(again, layout.PENDING, codes).astype("u1").reshape(opened.chunk)
        part = whole[tuple(slice(n) for n in shape)]
        (content,) = Encoder(opened).chunks(layout.STATUS, opened.blocks.region(block), part).values()
        return content

    def _put_status(self, status: Content) -> None:
        self._copies.put(status)
        self._there[status.key] = status.data


def _value_files(opened: Store, block: str) -> Iterator[Path]:
    """Yield the files of a block's values that there may be, those of the status not among them."""
    for output in opened.outputs.values():
        if output.own_chunk:
            region = opened.blocks.region(block)
            for local in np.ndindex(*(part.stop - part.start for part in region)):
                cell = tuple(part.start + i for part, i in zip(region, local, strict=True))
                yield from (path for path in chunk_files(opened, output, cell) if path.exists())
        elif output.name != layout.STATUS:
            yield from chunk_files(opened, output, block_index(block))


def _decoded(chunk: bytes) -> np.ndarray:
    return np.frombuffer(Zstd().decode(chunk), "u1")
