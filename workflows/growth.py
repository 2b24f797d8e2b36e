"""The arrays of a store brought to the shape of a grid: metadata that were lost, new labels, longer dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import zarr

from neq.errors import StoreError
from workflows import layout
from workflows.grid import Grid, Index
from workflows.store import Store
from workflows.studies.base import Axis, Output, Prepared


def fit(old: Store, grid: Grid, dimensions: Mapping[str, int], prepared: Sequence[Prepared]) -> None:
    """Bring every array to the shape of the grid; again after a crash, it does only what is missing.

    Parameters
    ----------
    old
        The store as its attributes describe it, open for writing.
    grid
        The axes it is to have: those of the store, longer or not.
    dimensions
        Lengths of the extra dimensions of its variables.
    prepared
        What is known of the sources; it names the animals.
    """
    for output in old.outputs.values():
        array = _array(old, output)
        shape = grid.shape + tuple(dimensions[dim] for dim in output.dims)
        if array.shape != shape:
            array.resize(shape)
    for output in old.outputs.values():
        _fill(old, output, dimensions)
    for axis in grid.axes:
        _write_labels(old, axis)
    layout.write_subjects(old.group, layout.subjects(grid, prepared))


def _array(old: Store, output: Output) -> zarr.Array:
    """Return an array, its metadata written anew where they cannot be read: the attributes of the store tell all."""
    try:
        return old.array(output.name)
    except PermissionError:
        raise
    except Exception:
        folder, n = old.path / output.name, len(old.shape)
        numbers = [path.name.split(".")[1:] for path in folder.glob("c.*") if not path.name.endswith(".partial")]
        if any(set(one[n:]) - {"0"} for one in numbers):
            # a dimension has grown since the array was made: nobody knows how long its chunks are
            raise StoreError(
                f"{folder} has lost its metadata (zarr.json) and has grown since it was made: "
                f"move {old.path} away and run again."
            ) from None
        (folder / "zarr.json").unlink(missing_ok=True)
        layout.create_array(old.group, output, old.grid, old.chunk, old.dimensions)
        return old.array(output.name)


def _fill(old: Store, output: Output, dimensions: Mapping[str, int]) -> None:
    """Write the new chunks of begun cells along dimensions that grow, so that a chunk that is missing means damage."""
    array = old.array(output.name).with_config({"write_empty_chunks": True})
    n = len(old.shape)
    for position, dim in enumerate(output.dims):
        length = array.chunks[n + position]
        first = math.ceil(old.dimensions[dim] / length) * length
        if first >= dimensions[dim]:
            continue
        beyond = tuple(slice(first, None) if i == position else slice(None) for i in range(len(output.dims)))
        for region in _begun(old, output.own_chunk):
            array[(*region, *beyond)] = layout.fill_value(output)


def _begun(old: Store, single: bool) -> list[tuple[slice, ...]]:
    """Return the regions of the blocks that have been begun, or of their finished cells one by one."""
    found: list[tuple[slice, ...]] = []
    for block in old.blocks.ids():
        region = old.blocks.region(block)
        try:
            status = old.read(layout.STATUS, region)
        except StoreError:
            status = np.full([part.stop - part.start for part in region], layout.OK)
        if single:
            # one that is not needed may have been computed, and be needed again
            kept = np.isin(status, (layout.OK, layout.NOT_NEEDED))
            found += [_cell(region, tuple(local)) for local in np.argwhere(kept).tolist()]
        elif (status != layout.PENDING).any():
            found.append(region)
    return found


def _cell(region: tuple[slice, ...], local: Index) -> tuple[slice, ...]:
    return tuple(slice(part.start + i, part.start + i + 1) for part, i in zip(region, local, strict=True))


def _write_labels(old: Store, axis: Axis) -> None:
    labels = layout.coordinate_values(axis)
    try:
        array = old.array(axis.name)
    except PermissionError:
        raise
    except Exception:
        (old.path / axis.name / "zarr.json").unlink(missing_ok=True)
        layout.create_coordinate(old.group, axis)
        return
    if array.shape != labels.shape:
        array.resize(labels.shape)
    try:
        same = bool(np.array_equal(np.asarray(array[:]), labels))
    except Exception:  # a damaged chunk shows itself as whatever its codec raises
        same = False
    if not same:
        array[:] = labels
