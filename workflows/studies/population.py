"""The eligible units of one session under one condition, opened once for all cells that share them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from neq.errors import ImpossibleError
from neq.spikes.selection import Selection, eligible_units
from neq.spikes.transitions import Transitions
from workflows import ingest

BINS_AT_ONCE = 50_000
"""Bins read together, so that a session of thousands of units is never in memory whole."""


@dataclass(frozen=True, eq=False)
class Population:
    """Eligible units and their transitions.

    Parameters
    ----------
    transitions
        Of all eligible units, inside the condition.
    unit, area, activity
        Ids, areas, and share of bins with a spike averaged over conditions (unit,).
    bin_size
        Width of a bin (s).
    """

    transitions: Transitions
    unit: np.ndarray
    area: np.ndarray
    activity: np.ndarray
    bin_size: float


@functools.lru_cache(maxsize=4)
def open_population(path: Path, condition: str, lag: int, selection: str) -> Population:
    """Open one condition of a spikes store; kept while neighbouring cells ask for it.

    Parameters
    ----------
    path
        The store.
    condition, lag
        Which transitions.
    selection
        The :class:`Selection` as JSON: text, so that it can be a key.

    Raises
    ------
    ImpossibleError
        The session has no such condition.
    SelectionError
        No unit is left.
    """
    spikes = ingest.open_spikes(path, lazy=True)
    names = spikes["condition"].values.tolist()
    if condition not in names:
        raise ImpossibleError(f"the session has no condition {condition!r}; it has {', '.join(names)}")
    activity = spikes["activity"].values
    eligible = eligible_units(spikes, activity, Selection(**json.loads(selection)))
    bins = np.flatnonzero(spikes["condition_mask"].values[names.index(condition)])
    array = _load(spikes["spikes"], bins, eligible)
    segment = spikes["segment"].values[bins]
    # Bins of another condition between two of this one are a gap even where the segment number is the same.
    border = (np.diff(segment) != 0) | (np.diff(bins) > 1)
    run = np.concatenate([[0], np.cumsum(border)])
    return Population(
        Transitions.from_spikes(array, run, lag),
        spikes["unit"].values[eligible],
        spikes["area"].values[eligible].astype(object),
        activity.mean(axis=0)[eligible],
        float(spikes.attrs["bin_size"]),
    )


def _load(spikes: xr.DataArray, bins: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the spikes (bin, unit) of some bins and units, reading a stretch of bins at a time."""
    array = np.empty((len(bins), len(units)), dtype=bool)
    for first in range(int(bins[0]), int(bins[-1]) + 1, BINS_AT_ONCE):
        inside = slice(*np.searchsorted(bins, [first, first + BINS_AT_ONCE]))
        if bins[inside].size:
            array[inside] = spikes[first : first + BINS_AT_ONCE].values[np.ix_(bins[inside] - first, units)]
    return array
