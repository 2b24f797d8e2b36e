"""A recording session: its units, their spike times, and the epochs in which each condition held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from neq.errors import RecordingError

from .trains import SpikeTrains, train_problem

TIME_ROUNDING = 1e-9
"""Two times (s) nearer than this are the same: epochs that touch do not overlap by a rounding error."""

EPOCH_COLUMNS = ("condition", "start", "stop", "trial")


@dataclass(frozen=True, eq=False)
class Recording:
    """One session, checked when it is made.

    Parameters
    ----------
    session
        Its name: the label of everything computed from it, and part of every seed.
    units
        One row per unit, indexed by the unit's int64 id (index name ``unit``); column ``area`` and the quality
        columns of the source. :func:`unit_table` makes it.
    spike_times
        One ascending float64 array (s) per row of ``units``. Arrays in a list are checked at once,
        :class:`SpikeTrains` unit by unit when they are read.
    epochs
        Columns condition, start, stop (s) and trial (-1: no trial). Sorted by time on construction.
        Epochs of different conditions may overlap; two of one condition may not. :func:`epoch_table` makes it.
    source
        Where it comes from, as plain JSON: kind, path, options; ``content``, a hash of the data, where the reader
        knows one (elsewhere it is made from the bytes of the files when the spikes are stored).
    bin_size
        Width (s) of the bins of a source that is binned already. Spikes then sit at bin centres, and only
        whole multiples of it can be made.
    duration
        End of the recording (s), where it is known. Where it is not, the last spike of all stands for it.
    subject
        Id of the animal, "" where it is not known. No value depends on it: it says which sessions are of one animal,
        and with that what their errors are taken over.

    Examples
    --------
    >>> recording = Recording("a", unit_table([7, 9]), [np.array([0.1, 0.2]), np.array([])], epoch_table(stop=1.0))
    >>> recording.units.index.tolist(), recording.epochs["condition"].tolist()
    ([7, 9], ['all'])
    """

    session: str
    units: pd.DataFrame
    spike_times: Sequence[np.ndarray]
    epochs: pd.DataFrame
    source: dict[str, Any] = field(default_factory=dict)
    bin_size: float | None = None
    duration: float | None = None
    subject: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", self.epochs.sort_values(["start", "stop"], kind="stable", ignore_index=True))
        _check_units(self)
        _check_epochs(self)
        if not isinstance(self.spike_times, SpikeTrains):
            object.__setattr__(self, "spike_times", list(self.trains()))

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions, in the order of their first epoch."""
        return [str(name) for name in self.epochs["condition"].unique()]

    def trains(self) -> Iterator[np.ndarray]:
        """Yield the checked spike times (s) of each unit, in the order of ``units``.

        Raises
        ------
        RecordingError
            A unit has spike times that are NaN, infinite, negative, not ascending or not readable.
        """
        yield from checked_trains(self.session, self.units.index, self.spike_times)


def checked_trains(session: str, units: Iterable[Any], spike_times: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the spike times (s) of each of the ``units`` of a session, checked.

    Raises
    ------
    RecordingError
        A unit has spike times that are NaN, infinite, negative, not ascending or not readable.

    Examples
    --------
    >>> [train.tolist() for train in checked_trains("a", [7], [np.array([1, 2])])]
    [[1.0, 2.0]]
    """
    for row, unit in enumerate(units):
        try:
            train = np.asarray(spike_times[row], dtype=float)
        except OSError as error:
            raise RecordingError(
                f"The spike times of unit {unit} of session {session!r} cannot be read ({error}); "
                "copy the source file again."
            ) from error
        if problem := train_problem(train):
            raise RecordingError(f"Unit {unit} of session {session!r} {problem}; mend the source file.")
        yield train


def unit_table(
    ids: Iterable[Any], area: Iterable[Any] | None = None, columns: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the table of units.

    Parameters
    ----------
    ids
        One id per unit. Where they are not all integers, units are numbered from 0 and the original ids kept in
        the column ``unit_name``.
    area
        Brain area of each unit; "" (unknown) where left out.
    columns
        Further columns: quality measures, labels.

    Examples
    --------
    >>> unit_table(["a", "b"], area=["V1", None], columns={"snr": [2.0, 3.0]}).to_dict("list")
    {'area': ['V1', ''], 'snr': [2.0, 3.0], 'unit_name': ['a', 'b']}
    """
    values = list(ids)
    whole = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in values)
    index = pd.Index(values if whole else range(len(values)), dtype="int64", name="unit")
    areas = [""] * len(values) if area is None else [_text(value) for value in area]
    table = pd.DataFrame({"area": areas}, index=index)
    for name, column in (columns or {}).items():
        table[str(name)] = np.asarray(column)
    if not whole:
        names = [_text(value) for value in values]
        _refuse_duplicates(names, "Unit names")
        table["unit_name"] = names
    return table


def epoch_table(
    epochs: Iterable[Mapping[str, Any]] | None = None, *, condition: str = "all", start: float = 0.0, stop: float = 0.0
) -> pd.DataFrame:
    """Return the table of epochs, from a list of mappings or, without one, of the single epoch ``start`` to ``stop``.

    Examples
    --------
    >>> epoch_table([{"condition": "rest", "start": 0, "stop": 5}]).to_dict("records")
    [{'condition': 'rest', 'start': 0.0, 'stop': 5.0, 'trial': -1}]
    """
    if epochs is None:
        epochs = [{"condition": condition, "start": start, "stop": stop}]
    rows = [{"trial": -1, **epoch} for epoch in epochs]
    table = pd.DataFrame(rows, columns=list(EPOCH_COLUMNS))
    return table.astype({"condition": object, "start": float, "stop": float, "trial": "int64"})


def _text(value: Any) -> str:
    """Return text for a cell of a source's table, "" where it has none."""
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or (isinstance(value, float) and np.isnan(value)) else str(value)


def _refuse_duplicates(values: Collection[Any], what: str) -> None:
    index = pd.Index(list(values))
    twice = index[index.duplicated()].unique()
    if len(twice):
        shown = ", ".join(str(value) for value in twice[:5])
        raise RecordingError(f"{what} must be unique, but {shown} occurs more than once; give each unit its own id.")


def _check_units(recording: Recording) -> None:
    n_unit, n_train = len(recording.units), len(recording.spike_times)
    if n_unit != n_train:
        raise RecordingError(
            f"Session {recording.session!r} has {n_unit} units but spike times for {n_train}; give one array per unit."
        )
    if n_unit == 0:
        raise RecordingError(f"Session {recording.session!r} has no unit; check the source and the reader's options.")
    _refuse_duplicates(recording.units.index, f"Unit ids of session {recording.session!r}")


def _check_epochs(recording: Recording) -> None:
    """Name the first epoch that cannot be."""
    where = f"of session {recording.session!r}"
    if recording.epochs.empty:
        raise RecordingError(f"Expected at least one epoch {where}, found none; check the conditions of the reader.")
    stops: dict[str, float] = {}
    columns = (recording.epochs[name].tolist() for name in ("condition", "start", "stop"))
    for condition, start, stop in zip(*columns, strict=True):
        name = f"Epoch {condition!r} [{start:.10g}, {stop:.10g}) s {where}"
        if problem := epoch_problem(start, stop, recording.duration):
            raise RecordingError(f"{name} {problem}.")
        if start < stops.get(condition, -np.inf) - TIME_ROUNDING:
            raise RecordingError(
                f"{name} overlaps another epoch of the same condition, which ends at {stops[condition]:.10g} s; "
                "merge them or give them different conditions."
            )
        if recording.bin_size is not None and _off_grid(start, recording.bin_size):
            raise RecordingError(f"{name} must start on a border of the source's bins of {recording.bin_size:g} s.")
        stops[condition] = stop


def epoch_problem(start: float, stop: float, duration: float | None) -> str:
    """Say what is wrong with one epoch, "" where nothing is.

    Examples
    --------
    >>> epoch_problem(0.0, 20.0, duration=10.0)
    'reaches outside the recording, which ends at 10 s; correct its times'
    """
    if not (np.isfinite(start) and np.isfinite(stop)):
        return "must have finite times; correct them or leave the epoch out"
    if stop <= start:
        return "must stop after it starts; correct its times"
    if start < 0:
        return "reaches outside the recording, which starts at 0 s; correct its times"
    if duration is not None and stop > duration + TIME_ROUNDING:
        return f"reaches outside the recording, which ends at {duration:.10g} s; correct its times"
    return ""


def _off_grid(time: float, bin_size: float) -> bool:
    return abs(time / bin_size - round(time / bin_size)) > 1e-6
