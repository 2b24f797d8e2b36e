"""The eligible units of one session under one condition, opened once for all cells that share them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
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
    spikes, activity, eligible = _open_session(path, selection)
    names = spikes["condition"].values.tolist()
    if condition not in names:
        raise ImpossibleError(f"the session has no condition {condition!r}; it has {', '.join(names)}")
    bins = np.flatnonzero(spikes["condition_mask"].values[names.index(condition)])
    array = np.concatenate([block[:, eligible] for block in _blocks(spikes)])[bins]
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


@functools.lru_cache(maxsize=2)
def _open_session(path: Path, selection: str) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Return the spikes, the activity (condition, unit) and the positions of the eligible units."""
    spikes = ingest.open_spikes(path, lazy=True)
    mask = spikes["condition_mask"].values
    first, count = 0, np.zeros((mask.shape[0], spikes.sizes["unit"]))
    for block in _blocks(spikes):
        count += mask[:, first : first + len(block)].astype(np.float32) @ block.astype(np.float32)
        first += len(block)
    activity = count / mask.sum(axis=1, keepdims=True)
    return spikes, activity, eligible_units(spikes, activity, Selection(**json.loads(selection)))


def _blocks(spikes: xr.Dataset) -> Iterator[np.ndarray]:
    """Yield the spikes (bin, unit) in stretches of bins."""
    for first in range(0, spikes.sizes["bin"], BINS_AT_ONCE):
        yield spikes["spikes"][first : first + BINS_AT_ONCE].values
