r"""Sums over transitions of pairwise observables, from lists of active units.

A transition goes from bin ``start`` to bin ``stop``. With spikes :math:`s` and spins :math:`x = 2 s - 1` at ``start``,
:math:`s'` and :math:`x'` at ``stop``, and :math:`r_i = \sum_j \theta_{ij}`,

* antisymmetric, :math:`g_{ij} = x'_i x_j - x_i x'_j`:
  :math:`\theta \cdot g = 4 \sum_{ij} \theta_{ij} s'_i s_j - 2 \sum_i r_i (s'_i - s_i)`,
* flow, :math:`g_{ij} = (x'_i - x_i) x_j`: the same minus :math:`4 \sum_{ij} \theta_{ij} s_i s_j`, which the flag
  ``own`` asks for and which is zero for an antisymmetric theta.

So a transition costs about :math:`n_{start} n_{stop}` additions, n being the number of active units. The value of the
reverse process is the same function with ``start`` and ``stop`` exchanged.

Scores and weighted sums are two passes with the exponential between them: alone, each keeps the processor's pipeline
full, and numpy's exponential works on whole vectors. Together in one pass they took half as long again.
"""

from __future__ import annotations

import numpy as np

from ._jit import inlined, kernel


@kernel
def scores(row_start, unit, start, stop, theta, own):
    """Return theta.g of every transition (transition,), theta (unit, unit)."""
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    width = np.uint32(theta.shape[0])
    score = np.empty(start.size)
    for t in range(start.size):
        first, last = row_start[start[t]], row_start[start[t] + 1]
        first_later, last_later = row_start[stop[t]], row_start[stop[t] + 1]
        pairs = _sum_block(flat, width, unit, first_later, last_later, first, last)
        if own:
            pairs -= _sum_block(flat, width, unit, first, last, first, last)
        change = 0.0
        for event in range(first_later, last_later):
            change += row_sum[unit[event]]
        for event in range(first, last):
            change -= row_sum[unit[event]]
        score[t] = 4.0 * pairs - 2.0 * change
    return score


@kernel
def weighted_sums(row_start, unit, start, stop, weight, n_unit, own):
    """Return the weighted sums of pairs (unit, unit) and of changes (unit,) over the transitions.

    The pairs are :math:`s'_i s_j`, for ``own`` minus :math:`s_i s_j`; the changes are :math:`s'_i - s_i`.
    """
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    width = np.uint32(n_unit)
    for t in range(start.size):
        first, last = row_start[start[t]], row_start[start[t] + 1]
        first_later, last_later = row_start[stop[t]], row_start[stop[t] + 1]
        _add_block(pair, width, unit, first_later, last_later, first, last, weight[t])
        if own:
            _add_block(pair, width, unit, first, last, first, last, -weight[t])
        for event in range(first_later, last_later):
            change[unit[event]] += weight[t]
        for event in range(first, last):
            change[unit[event]] -= weight[t]
    return pair.reshape(n_unit, n_unit), change


@kernel
def change_moments(row_start, unit, start, stop, n_unit):
    """Return how often each unit changed (unit,) and how often each pair did together (unit, unit), per transition."""
    single = np.zeros(n_unit)
    both = np.zeros((n_unit, n_unit))
    changed = np.zeros(n_unit, np.bool_)
    listed = np.empty(2 * n_unit, np.int64)
    for t in range(start.size):
        n_listed = 0
        for bin_number in (start[t], stop[t]):
            for event in range(row_start[bin_number], row_start[bin_number + 1]):
                changed[unit[event]] = not changed[unit[event]]
                listed[n_listed] = unit[event]
                n_listed += 1
        for a in range(n_listed):
            i = listed[a]
            if changed[i]:
                single[i] += 1.0
                for b in range(n_listed):
                    if changed[listed[b]]:
                        both[i, listed[b]] += 1.0
        for a in range(n_listed):
            changed[listed[a]] = False
    return single / start.size, both / start.size


@inlined
def _sum_block(flat, width, unit, first_row, last_row, first, last):
    """Return the sum of a flat matrix over the rows and the columns of two lists of units.

    Two sums at a time, so that an addition need not wait for the one before.
    """
    one, two = 0.0, 0.0
    for event in range(first_row, last_row):
        row = unit[event] * width
        other = first
        while other + 1 < last:
            one += flat[row + unit[other]]
            two += flat[row + unit[other + 1]]
            other += 2
        if other < last:
            one += flat[row + unit[other]]
    return one + two


@inlined
def _add_block(flat, width, unit, first_row, last_row, first, last, weight):
    """Add ``weight`` to the entries of a flat matrix at the rows and the columns of two lists of units."""
    for event in range(first_row, last_row):
        row = unit[event] * width
        for other in range(first, last):
            flat[row + unit[other]] += weight
