"""Read an npz file: a boolean matrix (bin, unit), or spike times with the unit of each."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neq.errors import RecordingError
from neq.kernels.binning import group_by_unit, offsets_of
from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table

from .options import ListedEpoch, checked_list

KEYS = {
    "matrix": "S",
    "bin_size": "bin_size",
    "trial_id": "trial_id",
    "unit_ids": "unit_ids",
    "area": "area",
    "spike_times": "spike_times",
    "spike_units": "spike_units",
}
"""What is looked for -> the key it is looked for under."""


def read(
    path: Path,
    session: str,
    *,
    keys: Mapping[str, str] | None = None,
    condition: str = "all",
    epochs: list[dict[str, Any]] | None = None,
    bin_size: float | None = None,
    duration: float | None = None,
    quality: list[str] | None = None,
) -> Recording:
    """Read an npz file.

    The matrix is taken where there is one: ``S`` (bin, unit), boolean or counts, with ``bin_size`` (s) and optionally
    ``trial_id`` (bin), each run of one id being a trial. Otherwise ``spike_times`` (s) and ``spike_units`` (spike).
    Optional in both: ``unit_ids`` (unit) and ``area`` (unit).

    Parameters
    ----------
    path, session
        The file, and the name to give it.
    keys
        Other names of the keys in the file, e.g. ``{matrix: counts}``.
    condition
        Name of the single condition.
    epochs
        Epochs instead of the single condition: mappings with condition, start, stop (s) and trial (optional).
    bin_size
        Bin size of the matrix (s), instead of the one in the file.
    duration
        End of a recording given by spike times (s); by default its last spike.
    quality
        Names of further (unit) arrays in the file to keep as columns of the unit table.

    Raises
    ------
    RecordingError
        The file cannot be read or does not hold what is needed.
    """
    names = {**KEYS, **_checked_keys(keys)}
    listed = None if epochs is None else [epoch.model_dump() for epoch in checked_list(ListedEpoch, epochs, "epochs")]
    found = _load(path, names, quality or [])
    options: dict[str, Any] = {"keys": dict(keys or {}), "condition": condition, "epochs": epochs}
    options |= {"bin_size": bin_size, "duration": duration, "quality": quality or []}
    source = {"kind": "arrays", "path": str(path), "options": options}
    where = f"{str(path)!r}"
    if "matrix" in found:
        width = bin_size if bin_size is not None else found.get("bin_size")
        return _from_matrix(session, found, listed, condition, width, source, where, quality or [])
    if "spike_times" in found and "spike_units" in found:
        return _from_times(session, found, listed, condition, duration, source, where, quality or [])
    raise RecordingError(
        f"Expected in {where} a matrix {names['matrix']!r}, or {names['spike_times']!r} with {names['spike_units']!r}, "
        f"found the keys {', '.join(found['keys']) or '(none)'}; name them with the option keys."
    )


def _checked_keys(keys: Mapping[str, str] | None) -> Mapping[str, str]:
    unknown = [name for name in keys or {} if name not in KEYS]
    if unknown:
        raise RecordingError(f"The option keys knows {', '.join(KEYS)}, found {', '.join(unknown)}; correct the name.")
    return keys or {}


def _load(path: Path, names: Mapping[str, str], quality: list[str]) -> dict[str, Any]:
    """Return the arrays that are there, under our own names, and ``keys``: all names in the file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = {ours: theirs for ours, theirs in names.items() if theirs in file.files}
            if "matrix" in wanted:
                wanted = {ours: theirs for ours, theirs in wanted.items() if not ours.startswith("spike_")}
            arrays: dict[str, Any] = {ours: file[theirs] for ours, theirs in wanted.items()}
            arrays["keys"] = list(file.files)
            for name in quality:
                if name not in file.files:
                    raise RecordingError(f"File {str(path)!r} has no array {name!r} (option quality); rename it.")
                arrays[f"quality {name}"] = file[name]
    except FileNotFoundError as error:
        raise RecordingError(f"Recording {str(path)!r} does not exist; check the path.") from error
    except RecordingError:
        raise
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise RecordingError(
            f"Recording {str(path)!r} is not a readable npz file of plain arrays ({error}); save it with numpy.savez."
        ) from error
    return arrays


def _from_matrix(
    session: str,
    found: dict[str, Any],
    epochs: list[dict[str, Any]] | None,
    condition: str,
    bin_size: Any,
    source: dict[str, Any],
    where: str,
    quality: list[str],
) -> Recording:
    matrix = _checked_matrix(found["matrix"], where)
    width = _checked_width(bin_size, where)
    n_bin, n_unit = matrix.shape
    if epochs is None:
        trial_id = found.get("trial_id")
        epochs = [{"condition": condition, "start": 0.0, "stop": n_bin * width}]
        if trial_id is not None:
            epochs = _trials(_per(trial_id, n_bin, "trial_id", "bin", where), condition, width)
    trains = []
    for column in matrix.T:
        fired = np.flatnonzero(column)
        counts = column[fired] if matrix.dtype != bool else 1
        trains.append((np.repeat(fired, counts) + 0.5) * width)
    return Recording(
        session=session,
        units=_units(np.arange(n_unit), found, quality, where),
        spike_times=trains,
        epochs=epoch_table(epochs),
        source=source,
        bin_size=width,
        duration=n_bin * width,
    )


def _from_times(
    session: str,
    found: dict[str, Any],
    epochs: list[dict[str, Any]] | None,
    condition: str,
    duration: float | None,
    source: dict[str, Any],
    where: str,
    quality: list[str],
) -> Recording:
    times = np.asarray(found["spike_times"], dtype=float)
    owners = _per(found["spike_units"], times.size, "spike_units", "spike", where)
    ids = found["unit_ids"] if "unit_ids" in found else np.unique(owners)
    labels = pd.Index(ids).get_indexer(owners) if pd.Index(ids).is_unique else np.zeros(len(owners), dtype=np.int64)
    if (labels < 0).any():
        raise RecordingError(
            f"Unit {owners[labels < 0][0]} of spike_units in {where} is not among unit_ids; add it there."
        )
    offsets = offsets_of(labels, len(ids))
    flat = np.empty_like(times)
    group_by_unit(times, labels, offsets[:-1].copy(), flat)
    trains = SpikeTrains(flat, offsets)
    if epochs is None:
        epochs = [{"condition": condition, "start": 0.0, "stop": duration if duration is not None else trains.last()}]
    units = _units(ids, found, quality, where)
    return Recording(session, units, list(trains), epoch_table(epochs), source, duration=duration)


def _checked_matrix(matrix: np.ndarray, where: str) -> np.ndarray:
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise RecordingError(f"The matrix in {where} must be (bin, unit) and not empty, found shape {matrix.shape}.")
    if matrix.dtype == bool:
        return matrix
    whole = np.isfinite(matrix).all() and (matrix >= 0).all() and (matrix == np.floor(matrix)).all()
    if matrix.dtype.kind not in "uif" or not whole:
        raise RecordingError(
            f"The matrix in {where} must hold booleans or spike counts, found other {matrix.dtype} values."
        )
    return matrix.astype(np.int64)


def _checked_width(bin_size: Any, where: str) -> float:
    if bin_size is None:
        raise RecordingError(f"The matrix in {where} needs its bin size (s); set the option bin_size.")
    width = np.asarray(bin_size)
    if width.size != 1 or width.dtype.kind not in "uif" or not (np.isfinite(width).all() and (width > 0).all()):
        raise RecordingError(f"The bin size of {where} must be a positive number of seconds, found {bin_size!r}.")
    return float(width.item())


def _trials(trial_id: np.ndarray, condition: str, width: float) -> list[dict[str, Any]]:
    """Return one epoch per run of a trial id."""
    starts = np.flatnonzero(np.append(True, trial_id[1:] != trial_id[:-1]))
    stops = np.append(starts[1:], len(trial_id))
    numbers = trial_id[starts] if trial_id.dtype.kind in "iu" else np.arange(len(starts))
    return [
        {"condition": condition, "start": start * width, "stop": stop * width, "trial": number}
        for start, stop, number in zip(starts.tolist(), stops.tolist(), numbers.tolist(), strict=True)
    ]


def _per(values: np.ndarray, length: int, name: str, what: str, where: str) -> np.ndarray:
    if values.shape != (length,):
        raise RecordingError(
            f"{name} in {where} must have one entry per {what} ({length}), found shape {values.shape}."
        )
    return values


def _units(ids: np.ndarray, found: dict[str, Any], quality: list[str], where: str) -> pd.DataFrame:
    n_unit = len(ids)
    ids = _per(found["unit_ids"], n_unit, "unit_ids", "unit", where) if "unit_ids" in found else ids
    area = _per(found["area"], n_unit, "area", "unit", where) if "area" in found else None
    columns = {name: _per(found[f"quality {name}"], n_unit, name, "unit", where) for name in quality}
    return unit_table(ids.tolist(), None if area is None else area.tolist(), columns)
