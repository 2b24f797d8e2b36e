"""Read an NWB file with h5py: units, areas, quality columns, intervals, subject; no waveforms, LFP or amplitudes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pydantic

from neq.errors import RecordingError
from neq.spikes.recording import Recording, SpikeTrains, unit_table

from . import nwb_intervals, nwb_tables
from .options import ReaderOptions, checked

CHUNK_CACHE = 1 << 26
"""Bytes: holds a large compressed chunk of spike times while the units in it are read one by one."""

DAMAGE = (OSError, KeyError, RuntimeError)
"""What h5py raises where a file does not hold what it says it does."""


class Options(ReaderOptions, frozen=True):
    """Options of the reader ``nwb``."""

    conditions: dict[str, nwb_intervals.Rule] | None = None
    """Name of each condition -> where its epochs are: an intervals table or a stretch of time."""
    area: str | None = None
    """Column of the units table that holds the area; by default the ``location`` of the units' electrodes."""
    quality: list[str] | None = None
    """Columns of the units table to keep; by default all that hold one number or word per unit."""

    @pydantic.model_validator(mode="after")
    def _one_source_of_epochs(self) -> Options:
        if self.conditions is not None and self.epochs is not None:
            raise ValueError("give either conditions or epochs, not both")
        return self


def read(path: Path, session: str, **options: Any) -> Recording:
    """Read an NWB file (HDF5).

    Spike times stay in the file until they are binned, one unit at a time.

    Parameters
    ----------
    path, session
        The file, and the name to give it.
    **options
        See :class:`Options`; for example ``conditions={"active": {"table": "trials", "where": {"block": 1}},
        "rest": {"table": "epochs", "where": {"tags": "rest"}, "merge": True}, "whole": {"start": 0, "stop": 100}}``.

    Raises
    ------
    RecordingError
        The file cannot be read or does not hold what is needed.
    """
    wanted = checked(Options, options, "nwb")
    with reading(path) as file:
        return _recording(file, wanted, path, session)


@contextlib.contextmanager
def reading(path: Path, remedy: str = "copy it again") -> Iterator[h5py.File]:
    """Open an NWB file; it stays open, as spike times are read later, but where an error comes up.

    Parameters
    ----------
    path
        The file.
    remedy
        What to do where it is cut off or damaged.

    Raises
    ------
    RecordingError
        It is missing, cut off, damaged or not HDF5.
    """
    file = _open(path, remedy)
    try:
        yield file
    except RecordingError:
        file.close()
        raise
    except DAMAGE as error:
        file.close()
        raise RecordingError(f"{str(path)!r} is damaged ({error}); {remedy}.") from error
    except BaseException:
        file.close()
        raise


def _open(path: Path, remedy: str) -> h5py.File:
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE)
    except FileNotFoundError as error:
        raise RecordingError(f"Recording {str(path)!r} does not exist; check the path.") from error
    except OSError as error:
        raise RecordingError(f"{str(path)!r} is not a readable HDF5 file ({error}); {remedy}.") from error


def units_of(file: h5py.File) -> h5py.Group:
    """Return the units table of a file.

    Raises
    ------
    RecordingError
        There is none, or none with spike times.
    """
    units = file.get("units")
    if not isinstance(units, h5py.Group) or "spike_times" not in units or "spike_times_index" not in units:
        found = ", ".join(units if isinstance(units, h5py.Group) else file) or "nothing"
        raise RecordingError(
            f"Expected in {file.filename!r} an NWB units table with spike_times and spike_times_index, found {found}; "
            "sort the spikes first, or choose the file that holds them."
        )
    return units


def spike_trains(units: h5py.Group) -> SpikeTrains:
    """Return the spike times of a units table; they stay in the file until asked for.

    Raises
    ------
    RecordingError
        The index of the spike times is not one of the table's units, each after the other.
    """
    index = units["spike_times_index"][:].astype(np.int64)
    n_unit = len(units["id"]) if "id" in units else len(index)
    if len(index) != n_unit:
        raise RecordingError(
            f"Expected in {units.file.filename!r} a spike_times_index of the {n_unit} unit ids, found one of "
            f"{len(index)} units; export the file again, or fetch it again."
        )
    offsets = np.concatenate([[0], index])
    return SpikeTrains(units["spike_times"], offsets, owner=units.file)


def _recording(file: h5py.File, options: Options, path: Path, session: str) -> Recording:
    units = units_of(file)
    trains = spike_trains(units)
    table = _units(file, units, len(trains), options, path)
    if options.conditions is not None:
        epochs = nwb_intervals.epochs(file, options.conditions, path)
    else:
        epochs = options.epoch_table(session, table, trains)
    return Recording(
        session=session,
        units=table,
        spike_times=trains,
        epochs=epochs,
        source={"kind": "nwb", "path": str(path), "options": options.plain()},
        duration=options.duration,
        subject=nwb_tables.word(file, "general/subject/subject_id"),
    )


def _units(file: h5py.File, units: h5py.Group, n_unit: int, options: Options, path: Path) -> pd.DataFrame:
    columns = nwb_tables.scalar_columns(units, n_unit)
    for name in [*(options.quality or []), *([options.area] if options.area else [])]:
        if name not in columns:
            raise RecordingError(
                f"The units table of {str(path)!r} has no column {name!r} with one value per unit; "
                f"it has {', '.join(columns) or '(none)'}."
            )
    kept = list(columns) if options.quality is None else options.quality
    quality = {name: nwb_tables.values(units[name]) for name in kept if name not in ("area", options.area)}
    area = nwb_tables.values(units[options.area]) if options.area else _electrode_areas(file, units, n_unit)
    ids = units["id"][:] if "id" in units else np.arange(n_unit)
    return unit_table(ids.tolist(), None if area is None else area.tolist(), quality)


def _electrode_areas(file: h5py.File, units: h5py.Group, n_unit: int) -> np.ndarray | None:
    """Return the location of each unit's electrode, None where the file does not say.

    The electrode of ``peak_channel_id`` (an id) where there is that column, else of ``electrodes`` (rows): where a unit
    has several, the location of most of them.
    """
    electrodes = file.get("general/extracellular_ephys/electrodes")
    if electrodes is None or "location" not in electrodes:
        return None
    location = nwb_tables.values(electrodes["location"])
    if "peak_channel_id" in units:
        row = pd.Index(electrodes["id"][:]).get_indexer(pd.Index(units["peak_channel_id"][:]))
        return np.where(row >= 0, location[row], "")
    if "electrodes" not in units:
        return None
    groups = nwb_tables.ragged(units, "electrodes", n_unit)
    return np.array([_most_frequent(location[rows]) for rows in groups], dtype=object)


def _most_frequent(names: np.ndarray) -> str:
    if len(names) == 0:
        return ""
    # Not astype: numpy cannot cast its variable-width strings to str.
    words = np.array([str(name) for name in names])
    found, first, counts = np.unique(words, return_index=True, return_counts=True)
    return str(found[np.lexsort((first, -counts))[0]])
