"""Columns of NWB tables (HDF5 groups with one dataset per column)."""

from __future__ import annotations

import h5py
import numpy as np

NOT_QUALITY = {"id", "spike_times", "electrodes", "obs_intervals", "waveforms", "waveform_mean", "waveform_sd"}


def values(column: h5py.Dataset) -> np.ndarray:
    """Return a column in memory, text as str objects."""
    if h5py.check_string_dtype(column.dtype) is not None:
        return np.asarray(column.asstr()[:], dtype=object)
    return np.asarray(column[:])


def word(file: h5py.Group, path: str) -> str:
    """Return a single text or number of a file as text, "" where there is none."""
    found = file.get(path)
    if not isinstance(found, h5py.Dataset) or found.shape is None or found.size != 1:
        return ""
    value = (found.asstr() if h5py.check_string_dtype(found.dtype) is not None else found)[()]
    return str(np.ravel(value)[0]).strip()


def scalar_columns(table: h5py.Group, n_row: int) -> list[str]:
    """Return the names of the columns that hold one number, truth value or word per row, without reading them."""
    return [name for name in table if name not in NOT_QUALITY and _is_scalar(table, name, n_row)]


def ragged(table: h5py.Group, name: str, n_row: int) -> list[np.ndarray]:
    """Return the entries of each row of a column, which has several per row where it comes with an index."""
    flat = values(table[name])
    if f"{name}_index" not in table:
        return list(flat.reshape(n_row, -1))
    return np.split(flat, table[f"{name}_index"][:-1].astype(np.int64)) if n_row else []


def _is_scalar(table: h5py.Group, name: str, n_row: int) -> bool:
    column = table[name]
    if not isinstance(column, h5py.Dataset) or column.shape != (n_row,) or f"{name}_index" in table:
        return False
    if name.endswith("_index") and name.removesuffix("_index") in table:
        return False
    return column.dtype.kind in "biuf" or h5py.check_string_dtype(column.dtype) is not None
