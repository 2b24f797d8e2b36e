"""A copy of a run's store for sharing: few files with large chunks, or one zip file, read-only and whole."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

import neq
from neq.errors import StoreError
from workflows import layout, lease, provenance, staging
from workflows.commands import damage
from workflows.grid import Index, Region
from workflows.store import STORE_NAME, Store, consolidate, problems
from workflows.studies.base import Output

CHUNK_BYTES = 32 * 2**20
"""Chunks are no larger than this before they are compressed, unless one cell is."""
_CODEC = ZstdCodec(level=9, checksum=True)
_TEXT_BYTES = 64
"""What a text is taken to need on average."""


@dataclass(frozen=True)
class Frozen:
    """A copy that was made.

    Parameters
    ----------
    path
        Where it is.
    n_cell, n_pending
        Its cells, and those of the config that have no result in it.
    n_file, n_byte
        Its files and their size.
    """

    path: Path
    n_cell: int
    n_pending: int
    n_file: int
    n_byte: int

    @property
    def address(self) -> str:
        """What ``xarray.open_zarr`` opens."""
        return f"zip::{self.path}" if self.path.suffix == ".zip" else str(self.path)


def freeze(
    run_folder: Path,
    zipped: bool = False,
    partial: bool = False,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Frozen:
    """Copy the store of a run into few files, ``<run>-frozen.zarr`` in its folder; an older copy is replaced.

    Parameters
    ----------
    run_folder
        The run; no driver may work on it.
    zipped
        Make one file, ``<run>-frozen.zarr.zip``.
    partial
        Also where cells are still pending.
    progress
        Called with the number of variables copied, and of all.

    Raises
    ------
    neq.errors.StoreError
        Cells are pending, or a part of the store is damaged.
    neq.errors.LeaseHeldError
        A driver works on the run.
    """
    Store.open(run_folder / STORE_NAME)
    with lease.acquire(run_folder):
        opened = Store.open(run_folder / STORE_NAME)
        status = opened.status()
        n_pending = int((opened.wanted & (status == layout.PENDING)).sum())
        if n_pending and not partial:
            raise StoreError(
                f"{n_pending} of {status.size} cells of {run_folder} are pending: finish it with "
                f"`neq run {run_folder / 'config.yaml'}`, or freeze what there is with --partial."
            )
        damage.refuse_missing(opened, status)
        staging.sweep(run_folder)
        path = _path(run_folder, zipped)
        with problems(path), (_zipped if zipped else staging.staged)(path) as part:
            _copy(opened, status, part, _facts(run_folder), progress)
    files = [path] if zipped else [file for file in path.rglob("*") if file.is_file()]
    return Frozen(path, status.size, n_pending, len(files), sum(file.stat().st_size for file in files))


def large_chunk(shape: Index, n_axis: int, n_byte: int) -> Index:
    """Return the chunk of a copied array: all of it, or a part along its first axes where that is too large.

    Parameters
    ----------
    shape
        Shape of the array.
    n_axis
        How many of its dimensions are axes of the grid; only these are split.
    n_byte
        Size of an element.

    Examples
    --------
    >>> large_chunk((25, 2, 20, 1000), 4, 8), large_chunk((25, 2, 20, 1000, 300), 4, 8)
    ((25, 2, 20, 1000), (1, 1, 10, 1000, 300))
    """
    chunk = [max(1, n) for n in shape]
    for axis in range(n_axis):
        while math.prod(chunk) * n_byte > CHUNK_BYTES and chunk[axis] > 1:
            chunk[axis] = math.ceil(chunk[axis] / 2)
    return tuple(chunk)


def _path(run_folder: Path, zipped: bool) -> Path:
    return run_folder / f"{run_folder.resolve().name}-frozen.zarr{'.zip' if zipped else ''}"


def _facts(run_folder: Path) -> dict[str, Any]:
    """Return what the copy says of itself, with all that made the run: the copy travels without its folder."""
    runs = provenance.read(run_folder)
    return {"run": run_folder.resolve().name, "time": provenance.now(), "neq": neq.__version__, "runs": runs}


def _copy(
    opened: Store, status: np.ndarray, target: Path, facts: dict[str, Any], progress: Callable[[int, int], Any]
) -> None:
    group = zarr.open_group(target, mode="w", zarr_format=3)
    for axis in opened.grid.axes:
        layout.create_coordinate(group, axis)
    layout.write_subjects(group, layout.subjects(opened.grid, opened.prepared))
    for done, output in enumerate(opened.outputs.values()):
        progress(done, len(opened.outputs))
        _copy_array(opened, output, group)
    # as it was before the values were read: tasks without a driver may have finished cells meanwhile
    group[layout.STATUS][...] = status
    group.attrs.update({"neq": opened.attrs, layout.FROZEN: facts})
    consolidate(target)
    for file in target.rglob("*"):
        if file.is_file():
            file.chmod(0o444)
    progress(len(opened.outputs), len(opened.outputs))


def _copy_array(opened: Store, output: Output, group: zarr.Group) -> None:
    source, n_axis = opened.array(output.name), len(opened.shape)
    n_byte = _TEXT_BYTES if output.dtype == "str" else np.dtype(output.dtype).itemsize
    chunk = large_chunk(source.shape, n_axis, n_byte)
    made = group.create_array(
        output.name,
        shape=source.shape,
        chunks=chunk,
        dtype=str if output.dtype == "str" else output.dtype,
        fill_value=layout.fill_value(output),
        compressors=_CODEC,
        dimension_names=opened.names + output.dims,
        attributes=dict(source.attrs),
    )
    for region in _regions(source.shape[:n_axis], chunk[:n_axis]):
        made[region] = opened.read(output.name, region)


def _regions(shape: Index, chunk: Index) -> Iterator[Region]:
    """Yield the part of the grid that each chunk covers."""
    starts = [range(0, n, c) for n, c in zip(shape, chunk, strict=True)]
    for place in itertools.product(*starts):
        yield tuple(slice(a, min(a + c, n)) for a, c, n in zip(place, chunk, shape, strict=True))


@contextlib.contextmanager
def _zipped(final: Path) -> Iterator[Path]:
    """Give a folder to write to; its files become the zip file ``final`` in one step when the block ends well."""
    folder, part = staging.beside(final), staging.beside(final)
    try:
        yield folder
        with part.open("xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                    archive.write(path, path.relative_to(folder))
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o444)
        part.replace(final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        part.unlink(missing_ok=True)
