"""How a task writes: encoded in memory, renamed through its token folder, values first and status last."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import zarr
from zarr.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from workflows.blocks.owners import STARTED
from workflows.grid import Region
from workflows.store import Store

_GONE = (errno.ENOENT, errno.ESTALE)


class FencedError(Exception):
    """The block was given to another owner: this task must write nothing more."""


class ClaimedError(Exception):
    """The token was used before: the scheduler started the same task twice."""


class Fence:
    """A task's way to the disk, open for as long as its token folder is there.

    Parameters
    ----------
    folder
        The token folder, made by the driver and never by a task.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._part = str(folder / "part")
        self._started = str(folder / STARTED)

    def claim(self) -> None:
        """Take the token for this task alone."""
        try:
            os.close(self._open(self._started, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise ClaimedError(str(self.folder)) from None

    def mark(self, number: int) -> None:
        """Note that the cell with this number begins."""
        descriptor = self._open(self._started, os.O_APPEND)
        try:
            os.write(descriptor, b"%07d\n" % number)
        finally:
            os.close(descriptor)

    def write(self, path: Path, content: bytes) -> None:
        """Put ``content`` at ``path`` in one step, or not at all."""
        with open(self._open(self._part, os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(content)
        # no window between a check and the write: without the token folder there is nothing to rename
        try:
            os.rename(self._part, path)
        except OSError as error:
            raise self._cause(error) from error

    def _open(self, path: str, flags: int) -> int:
        try:
            return os.open(path, os.O_WRONLY | flags, 0o666)
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise
            raise self._cause(error) from error

    def _cause(self, error: OSError) -> Exception:
        return FencedError(str(self.folder)) if error.errno in _GONE else error


class Encoder:
    """Turns values into the bytes of chunks, by zarr itself on copies of the arrays' metadata in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._arrays: dict[str, tuple[dict[str, Buffer], zarr.Array]] = {}

    def chunks(self, name: str, region: Region, values: np.ndarray) -> dict[Path, bytes]:
        """Return path and bytes of every chunk of variable ``name`` that ``region`` of the grid covers."""
        content, array = self._array(name)
        array[region] = values
        keys = [key for key in content if key != "zarr.json"]
        return {self._store.path / name / key: content.pop(key).to_bytes() for key in keys}

    def _array(self, name: str) -> tuple[dict[str, Buffer], zarr.Array]:
        if name not in self._arrays:
            metadata = (self._store.path / name / "zarr.json").read_bytes()
            content = {"zarr.json": Buffer.from_bytes(metadata)}
            array = zarr.open_array(MemoryStore(content), mode="r+")
            # not kept in the metadata; a chunk of nothing but fill values would be left out, or deleted
            self._arrays[name] = content, array.with_config({"write_empty_chunks": True})
        return self._arrays[name]
