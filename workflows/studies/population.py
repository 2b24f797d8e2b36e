"""The eligible units of one session under one condition, opened once for all cells that share them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neq.errors import EmptySelectionError, ImpossibleError, SelectionError
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
        Ids, areas, and share of bins with a spike, averaged over the conditions that count (unit,).
    bin_size
        Width of a bin (s).
    time, segment
        Left edge (s) and segment of each bin of the condition (bin,).
    event_time, event_name
        Left edge of the bin (s) in which a trial or an epoch of a condition begins, and "trial" or that condition's
        name (event,).
    """

    transitions: Transitions
    unit: np.ndarray
    area: np.ndarray
    activity: np.ndarray
    bin_size: float
    time: np.ndarray
    segment: np.ndarray
    event_time: np.ndarray
    event_name: np.ndarray


def selection_facts(path: Path, selection: Selection) -> dict[str, Any]:
    """Return how many units of a session may be drawn in each condition, and why none in any.

    Parameters
    ----------
    path
        The store of its spikes.
    selection
        What is asked of a unit.

    Returns
    -------
    dict
        ``n_eligible`` (condition -> number), missing where what is asked does not fit the units; ``selection_error``
        where that is so, or no unit is left.
    """
    spikes = ingest.open_spikes(path, lazy=True)
    activity, found, problem = spikes["activity"].values, {}, ""
    for row, condition in enumerate(spikes["condition"].values.tolist()):
        try:
            found[condition] = len(eligible_units(spikes, selection.measured(activity, row), selection))
        except EmptySelectionError as error:
            found[condition], problem = 0, str(error)
        except SelectionError as error:
            return {"selection_error": str(error)}
    return {"n_eligible": found} | ({} if any(found.values()) else {"selection_error": problem})


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
        No unit is left, or what is asked of units does not fit them.
    """
    spikes = ingest.open_spikes(path, lazy=True)
    names = spikes["condition"].values.tolist()
    if condition not in names:
        raise ImpossibleError(f"the session has no condition {condition!r}; it has {', '.join(names)}")
    row, rules = names.index(condition), Selection(**json.loads(selection))
    activity = rules.measured(spikes["activity"].values, row)
    eligible = eligible_units(spikes, activity, rules)
    bins = np.flatnonzero(spikes["condition_mask"].values[row])
    array = _load(spikes["spikes"], bins, eligible)
    segment = spikes["segment"].values[bins]
    # Bins of another condition between two of this one are a gap even where the segment number is the same.
    border = (np.diff(segment) != 0) | (np.diff(bins) > 1)
    run = np.concatenate([[0], np.cumsum(border)])
    events = _events(spikes, bins, names)
    return Population(
        Transitions.from_spikes(array, run, lag),
        spikes["unit"].values[eligible],
        spikes["area"].values[eligible].astype(object),
        activity.mean(axis=0)[eligible],
        float(spikes.attrs["bin_size"]),
        spikes["time"].values[bins],
        segment,
        *events,
    )


def _events(spikes: xr.Dataset, bins: np.ndarray, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return times and names of the trials and epochs that begin in these bins, in the order of time."""
    time, trial = spikes["time"].values, spikes["trial"].values
    mask = spikes["condition_mask"].values
    apart = np.diff(time) > 1.5 * float(spikes.attrs["bin_size"])
    another = np.concatenate([[True], apart | (np.diff(trial) != 0)])
    begins = {"trial": another & (trial >= 0)}
    # the border of another condition's epoch inside one of its own does not begin it anew
    begins |= {name: held & (another | ~np.roll(held, 1)) for name, held in zip(names, mask, strict=True)}
    starts = {name: bins[starting[bins]] for name, starting in begins.items()}
    # one trial an epoch: the trials have said it
    kept = {name: at for name, at in starts.items() if name == "trial" or not np.array_equal(at, starts["trial"])}
    when = np.concatenate([time[at] for at in kept.values()])
    what = np.concatenate([np.full(len(at), name, dtype=object) for name, at in kept.items()])
    order = np.argsort(when, kind="stable")
    return when[order], what[order]


def _load(spikes: xr.DataArray, bins: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the spikes (bin, unit) of some bins and units, reading a stretch of bins at a time."""
    array = np.empty((len(bins), len(units)), dtype=bool)
    for first in range(int(bins[0]), int(bins[-1]) + 1, BINS_AT_ONCE):
        inside = slice(*np.searchsorted(bins, [first, first + BINS_AT_ONCE]))
        if bins[inside].size:
            array[inside] = spikes[first : first + BINS_AT_ONCE].values[np.ix_(bins[inside] - first, units)]
    return array
