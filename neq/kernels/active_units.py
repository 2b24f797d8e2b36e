"""Lists of the units active in each bin, in compressed rows: what every sparse kernel reads."""

from __future__ import annotations

import numpy as np

from ._jit import kernel


@kernel
def count_active(spikes):
    """Return the number of active units of each bin (bin,) of a uint8 array (bin, unit)."""
    n_bin, n_unit = spikes.shape
    count = np.zeros(n_bin, np.int64)
    for t in range(n_bin):
        active = 0
        for i in range(n_unit):
            active += spikes[t, i]
        count[t] = active
    return count


@kernel
def list_active(spikes, row_start, unit):
    """Write the active units of each bin of a uint8 array (bin, unit) into ``unit`` (event,), ascending in each bin."""
    n_bin, n_unit = spikes.shape
    for t in range(n_bin):
        event = row_start[t]
        for i in range(n_unit):
            if spikes[t, i]:
                unit[event] = i
                event += 1


@kernel
def keep_units(row_start, unit, position):
    """Return (row_start, unit) of the events whose unit has a ``position`` (unit,) >= 0, renumbered to it."""
    n_bin = row_start.size - 1
    new_start = np.zeros(n_bin + 1, np.int64)
    for t in range(n_bin):
        kept = 0
        for event in range(row_start[t], row_start[t + 1]):
            if position[unit[event]] >= 0:
                kept += 1
        new_start[t + 1] = new_start[t] + kept
    new_unit = np.empty(new_start[n_bin], unit.dtype)
    for t in range(n_bin):
        target = new_start[t]
        for event in range(row_start[t], row_start[t + 1]):
            new = position[unit[event]]
            if new >= 0:
                new_unit[target] = new
                target += 1
    return new_start, new_unit


@kernel
def copy_lists(row_start, unit, earlier, later, packed):
    """Write the active units of the later, then of the earlier bin of each transition into ``packed`` (event,)."""
    target = 0
    for t in range(earlier.size):
        for event in range(row_start[later[t]], row_start[later[t] + 1]):
            packed[target] = unit[event]
            target += 1
        for event in range(row_start[earlier[t]], row_start[earlier[t] + 1]):
            packed[target] = unit[event]
            target += 1
