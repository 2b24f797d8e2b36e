"""The store of a sweep: made and grown by the driver alone, its chunks written by the tasks that own them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from neq.chunks import read_array
from neq.errors import ChunkError, StoreError
from workflows import config as run_config
from workflows import layout
from workflows.attributes import describe, named_labels
from workflows.attributes import plain as plain
from workflows.attributes import settings_hash as settings_hash
from workflows.grid import Blocks, Grid, Index, Region, shown_label, stored_label
from workflows.studies.base import Axis, Cell, Label, Output, Prepared, Study

STORE_NAME = "sweep.zarr"


class Store:
    """A store that is there; see :meth:`open`.

    Parameters
    ----------
    path
        The ``sweep.zarr``.
    group
        Its open zarr group.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self.group = group
        self.attrs: dict[str, Any] = group.attrs["neq"]
        self.grid = Grid(tuple(Axis(**{**axis, "labels": tuple(axis["labels"])}) for axis in self.attrs["axes"]))
        self.names = self.grid.names
        self.shape = self.grid.shape
        self.chunk: Index = tuple(self.attrs["block"])
        self.blocks = Blocks(self.shape, self.chunk)
        self.dimensions: dict[str, int] = self.attrs["dimensions"]
        outputs = (Output(**{**output, "dims": tuple(output["dims"])}) for output in self.attrs["outputs"])
        self.study_outputs = {output.name: output for output in outputs}
        self.outputs = self.study_outputs | {output.name: output for output in layout.ENGINE_OUTPUTS}
        self.prepared = [Prepared(**prepared) for prepared in self.attrs["prepared"]]
        self._by_labels = {_key(prepared.labels): prepared for prepared in self.prepared}
        self._arrays: dict[str, zarr.Array] = {}

    @classmethod
    def open(cls, path: str | Path, mode: str = "r") -> Store:
        """Open the store at ``path``.

        Raises
        ------
        neq.errors.StoreError
            There is no store, or one of another format.
        """
        path = Path(path)
        if not (path / "zarr.json").exists():
            if path.exists():
                raise StoreError(f"The store {path} has lost its metadata (zarr.json): move it away and run again.")
            raise StoreError(f"There is no store at {path}: give a run folder in which `neq run` has begun a sweep.")
        try:
            group = zarr.open_group(path, mode=mode, use_consolidated=False)  # type: ignore[arg-type]
            found = group.attrs.get("neq", {}).get("format")
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"The store {path} cannot be opened ({error}); `neq doctor` says more.") from error
        if found != layout.FORMAT:
            raise StoreError(f"{path} has store format {found}, this version of neq reads {layout.FORMAT}: start anew.")
        if mode != "r" and layout.FROZEN in group.attrs:
            raise StoreError(f"{path} is a frozen copy, made to be read: work on the run that it was made of.")
        return cls(path, group)

    @property
    def study_class(self) -> type[Study]:
        """The class of the study that the store belongs to."""
        from workflows.studies import study_class

        return study_class(self.attrs["study"])

    @cached_property
    def study(self) -> Study:
        """The study, rebuilt from the config kept in the store."""
        return self.study_class(run_config.rebuild(self.attrs["config"]))

    @property
    def wanted(self) -> np.ndarray:
        """Which cells the config kept in the store names (bool, grid)."""
        return self.grid.mask(self._asked)

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Labels of the store that the config kept in it does not name, by axis."""
        found = {
            axis.name: [shown_label(axis.name, label) for label in axis.labels if label not in self._asked[axis.name]]
            for axis in self.grid.axes
        }
        return {name: labels for name, labels in found.items() if labels}

    @cached_property
    def _asked(self) -> dict[str, list[Label]]:
        """Labels that the config names; older stores do not keep them."""
        kept: dict[str, list[Label]] = self.attrs.get("named") or named_labels(self.study)
        return kept

    def array(self, name: str) -> zarr.Array:
        """Return the zarr array of one variable, opened once."""
        if name not in self._arrays:
            self._arrays[name] = zarr.open_array(self.path / name, mode="r+" if self.writable else "r")
        return self._arrays[name]

    def prepared_for(self, cell: Cell) -> Prepared | None:
        """Return the prepared input that serves a cell; None where the study has none."""
        if not self.prepared:
            return None
        return self._by_labels.get(_key({name: cell[name] for name in self.prepared[0].labels}))

    @property
    def writable(self) -> bool:
        """Whether the store was opened for writing."""
        return not self.group.read_only

    def labels(self, axis: str) -> tuple[Label, ...]:
        """Return the labels of an axis in the order of the store; size ``all`` is 0."""
        return self.grid.labels(axis)

    def status(self) -> np.ndarray:
        """Return the status of every cell (u1, grid): the one place that says what is done."""
        return self.read(layout.STATUS)

    def read(self, name: str, region: Region | None = None) -> np.ndarray:
        """Return one variable, or its part in ``region`` of the grid.

        Raises
        ------
        neq.errors.ChunkError
            A chunk is damaged; the message names the variable and the block.
        """
        whole = tuple(slice(0, n) for n in self.shape)
        if region in (None, whole) and not self.outputs[name].dims:
            # a damaged chunk is named below, by zarr
            with contextlib.suppress(Exception):
                if (values := read_array(self.path / name)) is not None and values.shape == self.shape:
                    return values.astype(layout.numpy_dtype(self.outputs[name]), copy=False)
        selection = whole if region is None else region
        try:
            return np.asarray(self.array(name)[selection])
        # a damaged chunk shows itself as whatever its codec raises
        except Exception as error:
            raise self._named(name, selection, error) from error

    def _named(self, name: str, region: Region, error: Exception) -> StoreError:
        """Find the block that cannot be read and return the error that names it."""
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            return StoreError(f"{self.path / name} cannot be read: {error.strerror}. Mend its permissions.")
        asked = np.zeros(self.shape, bool)
        asked[region] = True
        for block in self.blocks.holding(asked):
            try:
                self.array(name)[self.blocks.region(block)]
            except Exception as found:
                return damaged(self.path, name, block, str(found))
        return StoreError(f"Variable {name} of {self.path} cannot be read: {error}. `neq doctor` says more.")


def _key(labels: Mapping[str, Label]) -> tuple[Label, ...]:
    return tuple(stored_label(name, labels[name]) for name in sorted(labels))


def damaged(path: Path, name: str, block: str, reason: str) -> ChunkError:
    """Return the error for a chunk that cannot be used; it carries ``variable`` and ``block``."""
    reason = " ".join(reason.split())[:200]
    return ChunkError(
        f"The chunk of variable {name}, block {block}, in {path} is damaged ({reason}): "
        "`neq doctor` shows how to compute its cells again.",
        variable=name,
        block=block,
    )


def create(
    path: str | Path, study: Study, prepared: Sequence[Prepared], grid: Grid, block: Mapping[str, int] | None = None
) -> Store:
    """Make the store of a study; it appears whole or not at all.

    Parameters
    ----------
    path
        Where; there must be nothing yet.
    prepared
        What ingest left, one for each source.
    block
        Cells per block by axis where the config overrides the rule.
    """
    path = Path(path)
    dimensions = study.dimensions(prepared)
    chunk = grid.block_shape(block)
    attrs = describe(study, prepared, grid, chunk, dimensions)
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    with problems(path):
        group = zarr.open_group(staging, mode="w", zarr_format=3)
        for axis in grid.axes:
            layout.create_coordinate(group, axis)
        layout.write_subjects(group, layout.subjects(grid, prepared))
        for output in (*study.outputs(), *layout.ENGINE_OUTPUTS):
            layout.create_array(group, output, grid, chunk, dimensions)
        group.attrs["neq"] = attrs
        staging.rename(path)
    return Store.open(path, "r+")


def consolidate(path: str | Path) -> None:
    """Write consolidated metadata, so that ``xarray.open_zarr`` opens the finished store at once."""
    with warnings.catch_warnings(), problems(Path(path)):
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(str(path))


def drop_consolidated(path: str | Path) -> None:
    """Remove consolidated metadata before a store is written again: readers would take old shapes from it."""
    metadata = Path(path) / "zarr.json"
    with problems(Path(path)):
        content = json.loads(metadata.read_text())
        if content.pop("consolidated_metadata", None) is not None:
            staging = metadata.with_name(f".zarr.json.{os.getpid()}")
            staging.write_text(json.dumps(content, indent=2))
            staging.replace(metadata)


@contextlib.contextmanager
def problems(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into one sentence with the remedy."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(write_problem(path, error)) from error


def write_problem(path: Path | str, error: OSError) -> str:
    """Say why nothing can be written to ``path`` and what to do.

    Examples
    --------
    >>> write_problem("results/s1", OSError(errno.ENOSPC, "No space left on device"))
    'results/s1 cannot be written: No space left on device. Free some space and give the same command again.'
    """
    remedies = {
        errno.ENOSPC: "Free some space and give the same command again.",
        errno.EDQUOT: "Free some of your quota and give the same command again.",
        errno.EROFS: "Choose a folder that can be written with `--set results=FOLDER`.",
        errno.EACCES: "Mend its permissions, or choose another folder with `--set results=FOLDER`.",
        errno.EEXIST: "Another driver has just made it: give the same command again.",
        errno.ENOTEMPTY: "Another driver has just made it: give the same command again.",
    }
    remedy = remedies.get(error.errno or 0, "Mend this and give the same command again.")
    return f"{path} cannot be written: {error.strerror or error}. {remedy}"
