"""Read an npz file: a boolean matrix (bin, unit), or spike times with the unit of each."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pydantic

from neq.errors import RecordingError
from neq.kernels.binning import group_by_unit, offsets_of
from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table

from .options import ReaderOptions, checked


class Keys(pydantic.BaseModel, extra="forbid", frozen=True):
    """What is looked for, and the key that it has in the file."""

    matrix: str = "S"
    bin_size: str = "bin_size"
    trial_id: str = "trial_id"
    unit_ids: str = "unit_ids"
    area: str = "area"
    spike_times: str = "spike_times"
    spike_units: str = "spike_units"


class Options(ReaderOptions, frozen=True):
    """Options of the reader ``arrays``."""

    keys: Keys = Keys()
    """Other names of the keys in the file, e.g. ``{matrix: counts}``."""
    bin_size: float | None = pydantic.Field(None, gt=0)
    """Bin size of the matrix (s), instead of the one in the file."""
    quality: tuple[str, ...] = ()
    """Further arrays (unit) of the file to keep as columns of the unit table."""
    spike_units: Literal["ids", "rows"] = "ids"
    """Whether ``spike_units`` holds ids, as in ``unit_ids``, or rows of ``unit_ids`` counted from 0."""


def read(path: Path, session: str, **options: Any) -> Recording:
    """Read an npz file.

    The matrix is taken where there is one: ``S`` (bin, unit), boolean or counts, with ``bin_size`` (s) and optionally
    ``trial_id`` (bin), each run of one id being a trial. Otherwise ``spike_times`` (s) and ``spike_units`` (spike).
    Optional in both: ``unit_ids`` (unit) and ``area`` (unit).

    Parameters
    ----------
    path, session
        The file, and the name to give it.
    **options
        See :class:`Options`.

    Raises
    ------
    RecordingError
        The file cannot be read or does not hold what is needed.
    """
    wanted = checked(Options, options, "arrays")
    file = _File(path, wanted, *_load(path, wanted))
    source = {"kind": "arrays", "path": str(path), "options": wanted.plain()}
    if "matrix" in file.arrays:
        return _from_matrix(file, session, source)
    if "spike_times" in file.arrays and "spike_units" in file.arrays:
        return _from_times(file, session, source)
    keys = wanted.keys
    raise RecordingError(
        f"Expected in {str(path)!r} a matrix {keys.matrix!r}, or {keys.spike_times!r} with {keys.spike_units!r}, "
        f"found the keys {', '.join(file.names) or '(none)'}; name them with the option keys."
    )


@dataclass(frozen=True, eq=False)
class _File:
    """The arrays of the file that are wanted, by our own names, and the names of all."""

    path: Path
    options: Options
    arrays: dict[str, np.ndarray]
    names: list[str]

    def per(self, name: str, length: int, what: str) -> np.ndarray | None:
        """Return an array with one entry per ``what``, None where the file has none."""
        if name not in self.arrays:
            return None
        values = self.arrays[name]
        if values.shape != (length,):
            raise RecordingError(
                f"{name} in {str(self.path)!r} must have one entry per {what} ({length}), its shape is {values.shape}."
            )
        return values

    def vector(self, name: str, what: Literal["numbers (s)", "whole numbers", "unit ids"]) -> np.ndarray:
        """Return an array that must have one dimension and hold ``what``."""
        values = self.arrays[name]
        fits = values.ndim == 1 and values.dtype.kind in ("iufUS" if what == "unit ids" else "iuf")
        found = f"{values.dtype} of shape {values.shape}"
        if fits and what != "numbers (s)" and values.dtype.kind == "f":
            # Bad times are named with their unit when the recording is made.
            bad = ~np.isfinite(values) | (what == "whole numbers" and values != np.round(values))
            fits, found = not bad.any(), f"{values[bad][0]} among them" if bad.any() else found
        if not fits:
            key = getattr(self.options.keys, name)
            raise RecordingError(
                f"Expected {key!r} in {str(self.path)!r} to be {what} in one dimension, found {found}; "
                "save it anew, or name another key with the option keys."
            )
        return values

    def unit_table(self, ids: np.ndarray) -> pd.DataFrame:
        """Return the table of the units ``ids``."""
        area = self.per("area", len(ids), "unit")
        columns = {name: self.per(f"quality {name}", len(ids), "unit") for name in self.options.quality}
        return unit_table(ids.tolist(), None if area is None else area.tolist(), columns)


def _load(path: Path, options: Options) -> tuple[dict[str, np.ndarray], list[str]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            wanted = {ours: theirs for ours, theirs in options.keys if theirs in file.files}
            if "matrix" in wanted:
                wanted = {ours: theirs for ours, theirs in wanted.items() if not ours.startswith("spike_")}
            for name in options.quality:
                if name not in file.files:
                    raise RecordingError(f"File {str(path)!r} has no array {name!r}; correct the option quality.")
                wanted[f"quality {name}"] = name
            return {ours: file[theirs] for ours, theirs in wanted.items()}, list(file.files)
    except FileNotFoundError as error:
        raise RecordingError(f"Recording {str(path)!r} does not exist; check the path.") from error
    except RecordingError:
        raise
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise RecordingError(
            f"{str(path)!r} is not a readable npz file of plain arrays ({error}); save it with numpy.savez."
        ) from error


def _from_matrix(file: _File, session: str, source: dict[str, Any]) -> Recording:
    matrix, width = _checked_matrix(file), _checked_width(file)
    n_bin, n_unit = matrix.shape
    if "unit_ids" in file.arrays:
        file.vector("unit_ids", "unit ids")
    ids, trial_id = file.per("unit_ids", n_unit, "unit"), file.per("trial_id", n_bin, "bin")
    trains = []
    for column in matrix.T:
        fired = np.flatnonzero(column)
        counts = 1 if matrix.dtype == bool else column[fired]
        trains.append((np.repeat(fired, counts) + 0.5) * width)
    return Recording(
        session=session,
        units=file.unit_table(np.arange(n_unit) if ids is None else ids),
        spike_times=trains,
        epochs=_epochs(file.options, trial_id, n_bin, width),
        source=source,
        bin_size=width,
        duration=n_bin * width,
    )


def _from_times(file: _File, session: str, source: dict[str, Any]) -> Recording:
    times = file.vector("spike_times", "numbers (s)").astype(float)
    rows = file.options.spike_units == "rows"
    file.vector("spike_units", "whole numbers" if rows else "unit ids")
    owners = file.per("spike_units", times.size, "spike")
    assert owners is not None  # read looks for both
    ids = file.vector("unit_ids", "unit ids") if "unit_ids" in file.arrays else np.unique(owners)
    labels = owners.astype(np.int64) if rows else _rows(ids, owners)
    wrong = (labels < 0) | (labels >= len(ids))
    if wrong.any():
        raise RecordingError(
            f"Unit {owners[wrong][0]} of spike_units in {str(file.path)!r} is not among the {len(ids)} unit_ids; "
            "add it there, or set the option spike_units: rows where it counts rows from 0."
        )
    offsets = offsets_of(labels, len(ids))
    flat = np.empty_like(times)
    group_by_unit(times, labels, offsets[:-1].copy(), flat)
    trains = SpikeTrains(flat, offsets)
    units = file.unit_table(ids)
    epochs = file.options.epoch_table(session, units, trains)
    return Recording(session, units, list(trains), epochs, source, duration=file.options.duration)


def _rows(ids: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the row among ``ids`` of each owner, -1 where it is not there."""
    index = pd.Index(ids)
    # Ids that occur twice are refused when the recording is made; any row will do until then.
    return index.drop_duplicates().get_indexer(pd.Index(owners))


def _checked_matrix(file: _File) -> np.ndarray:
    matrix, where = file.arrays["matrix"], repr(str(file.path))
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise RecordingError(f"The matrix in {where} must be (bin, unit) and not empty, found shape {matrix.shape}.")
    if matrix.dtype == bool:
        return matrix
    if matrix.dtype.kind in "uif" and np.isfinite(matrix).all() and (matrix >= 0).all():
        counts = matrix.astype(np.int64)
        if (counts == matrix).all():
            return counts
    raise RecordingError(f"The matrix in {where} must hold booleans or spike counts, found others ({matrix.dtype}).")


def _checked_width(file: _File) -> float:
    given = file.options.bin_size if file.options.bin_size is not None else file.arrays.get("bin_size")
    where = repr(str(file.path))
    if given is None:
        raise RecordingError(f"The matrix in {where} needs its bin size (s); set the option bin_size.")
    width = np.asarray(given)
    if width.size != 1 or width.dtype.kind not in "uif" or not (np.isfinite(width).all() and (width > 0).all()):
        raise RecordingError(f"The bin size in {where} must be a positive number of seconds, found {given}.")
    return float(width.item())


def _epochs(options: Options, trial_id: np.ndarray | None, n_bin: int, width: float) -> pd.DataFrame:
    """Return the epochs listed, one per run of a trial id, or a single one."""
    if options.epochs is not None:
        return epoch_table([epoch.model_dump() for epoch in options.epochs])
    if trial_id is None:
        return epoch_table(condition=options.condition, stop=n_bin * width)
    starts = np.flatnonzero(np.append(True, trial_id[1:] != trial_id[:-1]))
    stops = np.append(starts[1:], len(trial_id))
    number = trial_id[starts] if trial_id.dtype.kind in "iu" else np.arange(len(starts))
    columns = {"condition": options.condition, "start": starts * width, "stop": stops * width, "trial": number}
    return epoch_table(pd.DataFrame(columns).to_dict("records"))  # type: ignore[arg-type]
