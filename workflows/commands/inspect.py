"""What is in a recording: units before and after the reader's rules, epochs, spikes, and what they suffice for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neq.errors import EmptySelectionError, RecordingError
from neq.readers import allen, allen_cache, allen_units, nwb, read_recording
from neq.spikes.binning import BinnedSpikes, bin_sparse
from neq.spikes.recording import Recording
from neq.spikes.selection import Selection, eligible_units, satisfied

SIZES = (50, 100, 150, 200, 250, 300)
"""Sizes of the published study."""
VISUAL, ALL = "V*", "*"
MINIMUM_ACTIVITY = 0.02
"""Share of bins with a spike that the published study asks of a unit."""
CONDITIONS = ("active", "passive", "gabor")
"""Conditions of the published study."""
QUANTILES = (0.5, 0.05, 0.95)


@dataclass(frozen=True)
class Inspection:
    """What is in one session.

    Parameters
    ----------
    recording
        As the reader gives it.
    steps
        What each rule of the reader leaves: (rule, units), the first one all that are in the source.
    areas
        Units of each area (index ``area``): ``before`` the rules, ``kept`` by them, ``active`` among these.
    conditions
        Of each condition (index ``condition``): ``epochs``, ``start``, ``stop``, ``duration`` (s), whole ``bins``,
        units that are ``active`` in it by itself, and those of them in ``visual`` areas.
    missing
        Conditions of the published study that a session of the Allen release does not have.
    bin_size
        Width of the bins (s).
    n_spike, n_lost
        Spikes inside the bins, and those that found their bin taken.
    activity
        Share of bins with a spike, averaged over conditions (unit,).
    eligible
        Pattern of areas -> active units in them.
    """

    recording: Recording
    steps: tuple[tuple[str, int], ...]
    areas: pd.DataFrame
    conditions: pd.DataFrame
    missing: tuple[str, ...]
    bin_size: float
    n_spike: int
    n_lost: int
    activity: np.ndarray
    eligible: dict[str, int]

    def sizes(self, pattern: str) -> list[int]:
        """Return which of the published sizes the active units in these areas suffice for."""
        return [size for size in SIZES if size <= self.eligible[pattern]]


@dataclass(frozen=True)
class Listing:
    """The sessions of a cache folder of the Allen SDK.

    Parameters
    ----------
    folder, version
        Where, and of which release.
    others
        Other releases whose manifests lie there.
    sessions
        Indexed by id: ``mouse``, ``units``, ``size`` of the file (bytes, -1 where it is not here).
    n_abnormal
        Sessions left out for abnormal histology or activity.
    """

    folder: Path
    version: str
    others: tuple[str, ...]
    sessions: pd.DataFrame
    n_abnormal: int


def inspect(
    path: Path, kind: str | None = None, session: str | None = None, bin_size: float = 0.01, **options: Any
) -> Inspection:
    """Read one session and say what is in it; holds the spikes of one unit and 4 bytes for each bin with a spike.

    Parameters
    ----------
    path, kind, session, **options
        As for :func:`neq.read_recording`.
    bin_size
        Width of the bins (s).

    Raises
    ------
    RecordingError
        The source or the bin size is not usable.

    Examples
    --------
    >>> found = inspect("a", kind="synthetic", n_unit=60, duration=20.0)
    >>> found.areas.loc["V1"].to_dict(), found.conditions["bins"].to_dict()
    ({'before': 15, 'kept': 15, 'active': 15}, {'driven': 2000, 'weak': 2000, 'reversible': 2000})
    >>> found.eligible, found.sizes("*")
    ({'V*': 15, '*': 59}, [50])
    """
    recording = read_recording(path, kind=kind, session=session, **options)
    before, steps = _before_rules(recording, options)
    binned = bin_sparse(recording, bin_size)
    table = binned.table()
    activity = table["activity"].values
    active = recording.units.iloc[_eligible(table, activity, ALL)]
    return Inspection(
        recording=recording,
        steps=tuple(steps),
        areas=_areas(before, recording.units, active),
        conditions=_conditions(binned, table),
        missing=_missing(recording, options),
        bin_size=binned.grid.bin_size,
        n_spike=int(binned.spike_count.sum()),
        n_lost=int(binned.spike_count.sum()) - len(binned.rows),
        activity=activity.mean(axis=0),
        eligible={pattern: len(_eligible(table, activity, pattern)) for pattern in (VISUAL, ALL)},
    )


def list_sessions(folder: Path) -> Listing:
    """Return the sessions of a cache folder and which of them have their file.

    Raises
    ------
    RecordingError
        The folder is no cache, or its tables cannot be read.
    """
    cache = allen_cache.open_cache(folder)
    table = cache.sessions()
    sizes = [_size(cache, session_id) for session_id in table.index]
    columns = {"mouse": table.get("mouse_id", ""), "units": table.get("unit_count", -1), "size": sizes}
    sessions = pd.DataFrame(columns, index=table.index)
    return Listing(
        folder, cache.manifest.version, cache.others, sessions, len(cache.sessions(abnormal=True)) - len(table)
    )


def _size(cache: allen_cache.AllenCache, session_id: int) -> int:
    try:
        return cache.session_file(session_id).stat().st_size
    except (RecordingError, OSError):
        return -1


def _before_rules(recording: Recording, options: Mapping[str, Any]) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """Return the units that the reader's quality filter begins with, and how many each rule leaves."""
    if recording.source["kind"] != "allen":
        return recording.units, [("units", len(recording.units))]
    # from the file whoever read it: the Allen SDK takes minutes and has the same units
    with nwb.reading(Path(recording.source["path"])) as file, file:
        placed = allen_units.placed_units(file)
        measured = allen_units.measured_units(placed)
        steps = [("units in the file", len(file["units/id"])), ("with a channel in the file", len(placed))]
        units = allen_units.joined_units(measured, allen_units.channel_table(file), f"session {recording.session!r}")
    steps += [(f"with {', '.join(allen_units.MEASURED)}", len(measured)), ("on a channel with valid data", len(units))]
    units = units.assign(area=units["structure_acronym"].fillna(""))
    kept = np.ones(len(units), dtype=bool)
    for column, condition in allen.Options(**options).quality.items():
        kept &= satisfied(units[column].to_numpy(), column, condition)
        steps.append((f"{column} {condition}", int(kept.sum())))
    return units, steps


def _missing(recording: Recording, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the conditions that a session of the release has and this one has not."""
    if recording.source["kind"] != "allen" or allen.Options(**options).names_epochs:
        return ()
    return tuple(name for name in CONDITIONS if name not in recording.conditions)


def _eligible(table: xr.Dataset, activity: np.ndarray, area: str) -> np.ndarray:
    """Return the positions of the units in the areas of a pattern that are active (condition, unit) (unit,)."""
    try:
        return eligible_units(table, activity, Selection(area, MINIMUM_ACTIVITY))
    except EmptySelectionError:
        return np.zeros(0, dtype=int)


def _areas(before: pd.DataFrame, kept: pd.DataFrame, active: pd.DataFrame) -> pd.DataFrame:
    counts = {
        name: units["area"].value_counts() for name, units in (("before", before), ("kept", kept), ("active", active))
    }
    table = pd.DataFrame(counts).fillna(0).astype(int).rename_axis("area")
    return table.sort_values(["kept", "before"], ascending=False, kind="stable")


def _conditions(binned: BinnedSpikes, units: xr.Dataset) -> pd.DataFrame:
    epochs = binned.recording.epochs.assign(duration=lambda table: table["stop"] - table["start"])
    table = epochs.groupby("condition", sort=False).agg(
        epochs=("start", "size"), start=("start", "min"), stop=("stop", "max"), duration=("duration", "sum")
    )
    bins = dict(zip(binned.grid.condition, binned.grid.condition_mask.sum(axis=1).tolist(), strict=True))
    own = {name: units["activity"].values[[row]] for row, name in enumerate(binned.grid.condition)}
    active = {
        column: [len(_eligible(units, own[name], pattern)) if bins.get(name) else 0 for name in map(str, table.index)]
        for column, pattern in (("active", ALL), ("visual", VISUAL))
    }
    return table.assign(bins=[bins.get(str(name), 0) for name in table.index], **active)
