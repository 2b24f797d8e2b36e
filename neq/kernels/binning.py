"""Spike times into bins: from unit-major times to bin-major booleans, without the dense matrix."""

from __future__ import annotations

import numpy as np

from ._jit import kernel


@kernel
def spike_rows(times, start, stop, first_slot, n_slot, edges, bin_size, slot_row, rows):
    """Write the row of the bin of every spike of one unit that lies in a stored bin, each row once; count them.

    ``times`` ascend. Grid ``c`` covers [start[c], stop[c]) with ``n_slot[c]`` slots from ``first_slot[c]`` on, whose
    edges are ``edges[first_slot[c] + c :]``; ``slot_row`` (slot,) is -1 where a slot is not stored.
    Returns the number of rows and the number of spikes in them.
    """
    n_row, n_inside, i = 0, 0, 0
    for c in range(len(start)):
        base = first_slot[c] + c
        while i < len(times) and times[i] < start[c]:
            i += 1
        while i < len(times) and times[i] < stop[c]:
            t = times[i]
            # The quotient may be one off after rounding; the edges decide.
            k = min(int((t - start[c]) / bin_size), n_slot[c] - 1)
            while t < edges[base + k]:
                k -= 1
            while t >= edges[base + k + 1]:
                k += 1
            row = slot_row[first_slot[c] + k]
            if row >= 0:
                n_inside += 1
                if n_row == 0 or rows[n_row - 1] != row:
                    rows[n_row] = row
                    n_row += 1
            i += 1
    return n_row, n_inside


@kernel
def fill_block(rows, position, end, first_row, block):
    """Set the True entries of ``block`` (bin, unit), whose first bin is ``first_row``, and move ``position`` past them.

    ``rows`` holds the ascending rows of each unit, unit after unit; ``position`` and ``end`` (unit,) index it.
    """
    last_row = first_row + block.shape[0]
    for u in range(len(position)):
        i = position[u]
        while i < end[u] and rows[i] < last_row:
            block[rows[i] - first_row, u] = True
            i += 1
        position[u] = i


@kernel
def group_by_unit(values, labels, place, out):
    """Copy ``values`` into ``out``, those of label 0 first, keeping their order (counting sort); skip labels below 0.

    ``place`` (label,) holds where each label begins, and is moved to where it ends.
    """
    for i in range(len(values)):
        label = labels[i]
        if label >= 0:
            out[place[label]] = values[i]
            place[label] += 1


def offsets_of(labels: np.ndarray, n_label: int) -> np.ndarray:
    """Return where each label (ints, below 0: none) begins after grouping, and the end of the last (label + 1,).

    Examples
    --------
    >>> offsets_of(np.array([0, 2, 2, -1]), 3).tolist()
    [0, 1, 1, 3]
    """
    counts = np.bincount(labels[labels >= 0], minlength=n_label)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
