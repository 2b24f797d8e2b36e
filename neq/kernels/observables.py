r"""Sums over transitions of pairwise observables, from lists of active units.

A transition goes from bin ``start`` to bin ``stop``. With spins :math:`x = 2 s - 1` at ``start`` and :math:`x'` at
``stop``

* antisymmetric: :math:`g_{ij} = x'_i x_j - x_i x'_j`,
* flow: :math:`g_{ij} = (x'_i - x_i) x_j`.

The value of the reverse process is the same function with ``start`` and ``stop`` exchanged. Written in spikes
:math:`s`, only pairs of active units and sums over the rows of theta remain, so one transition costs about
:math:`n_{start} n_{stop}` additions.

All functions take theta as a matrix (unit, unit): antisymmetric for the first observable, any for the second. The score
and the sum of weights of one pass are made together, with a running shift of the exponent so that no theta overflows.
"""

from __future__ import annotations

import numpy as np

from ._jit import kernel


@kernel
def score_antisymmetric(row_start, unit, start, stop, theta):
    """Return theta.g of every transition (transition,)."""
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    score = np.empty(start.size)
    for t in range(start.size):
        score[t] = _pair_score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit)
    return score


@kernel
def tilted_antisymmetric(row_start, unit, start, stop, theta):
    """Return log <exp(theta.g)> and the mean of g (unit, unit) under the weights exp(theta.g)."""
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    total, shift = 0.0, -np.inf
    for t in range(start.size):
        score = _pair_score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit)
        if score > shift:
            scale = np.exp(shift - score)
            pair *= scale
            change *= scale
            total *= scale
            shift = score
        weight = np.exp(score - shift)
        total += weight
        first, last = row_start[start[t]], row_start[start[t] + 1]
        for later in range(row_start[stop[t]], row_start[stop[t] + 1]):
            row = np.uint64(unit[later]) * np.uint64(n_unit)
            change[unit[later]] += weight
            for earlier in range(first, last):
                pair[row + np.uint64(unit[earlier])] += weight
        for earlier in range(first, last):
            change[unit[earlier]] -= weight
    mean = np.empty((n_unit, n_unit))
    for i in range(n_unit):
        for j in range(n_unit):
            product = pair[i * n_unit + j] - pair[j * n_unit + i]
            mean[i, j] = (4.0 * product - 2.0 * (change[i] - change[j])) / total
    return shift + np.log(total / start.size), mean


@kernel
def score_flow(row_start, unit, start, stop, theta):
    """Return theta.g of every transition (transition,)."""
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    score = np.empty(start.size)
    for t in range(start.size):
        score[t] = _flow_score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit)
    return score


@kernel
def tilted_flow(row_start, unit, start, stop, theta):
    """Return log <exp(theta.g)> and the mean of g (unit, unit) under the weights exp(theta.g)."""
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    total, shift = 0.0, -np.inf
    for t in range(start.size):
        score = _flow_score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit)
        if score > shift:
            scale = np.exp(shift - score)
            pair *= scale
            change *= scale
            total *= scale
            shift = score
        weight = np.exp(score - shift)
        total += weight
        _add_flow(row_start, unit, start[t], stop[t], 1.0, weight, pair, change, n_unit)
        _add_flow(row_start, unit, start[t], start[t], -1.0, weight, pair, change, n_unit)
    mean = np.empty((n_unit, n_unit))
    for i in range(n_unit):
        for j in range(n_unit):
            mean[i, j] = (4.0 * pair[i * n_unit + j] - 2.0 * change[i]) / total
    return shift + np.log(total / start.size), mean


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


@kernel
def _pair_score(row_start, unit, start, stop, flat, row_sum, n_unit):
    """Return theta.g of one transition for an antisymmetric theta."""
    pair, single = 0.0, 0.0
    first, last = row_start[start], row_start[start + 1]
    for later in range(row_start[stop], row_start[stop + 1]):
        row = np.uint64(unit[later]) * np.uint64(n_unit)
        single -= row_sum[unit[later]]
        for earlier in range(first, last):
            pair += flat[row + np.uint64(unit[earlier])]
    for earlier in range(first, last):
        single += row_sum[unit[earlier]]
    return 4.0 * pair + 2.0 * single


@kernel
def _flow_score(row_start, unit, start, stop, flat, row_sum, n_unit):
    """Return theta.g of one transition for any theta; a unit active in both bins adds and takes away the same."""
    later = _flow_rows(row_start, unit, start, stop, flat, row_sum, n_unit)
    return later - _flow_rows(row_start, unit, start, start, flat, row_sum, n_unit)


@kernel
def _flow_rows(row_start, unit, start, rows, flat, row_sum, n_unit):
    """Return the sum of 4 theta_ij s_j - 2 theta_ij over all j and the units i active in ``rows``, s at ``start``."""
    pair, single = 0.0, 0.0
    first, last = row_start[start], row_start[start + 1]
    for event in range(row_start[rows], row_start[rows + 1]):
        row = np.uint64(unit[event]) * np.uint64(n_unit)
        single += row_sum[unit[event]]
        for earlier in range(first, last):
            pair += flat[row + np.uint64(unit[earlier])]
    return 4.0 * pair - 2.0 * single


@kernel
def _add_flow(row_start, unit, start, rows, sign, weight, pair, change, n_unit):
    """Add one transition's weight to the pairs (active in ``rows``, active at ``start``) and to the rows' units."""
    first, last = row_start[start], row_start[start + 1]
    for event in range(row_start[rows], row_start[rows + 1]):
        row = np.uint64(unit[event]) * np.uint64(n_unit)
        change[unit[event]] += sign * weight
        for earlier in range(first, last):
            pair[row + np.uint64(unit[earlier])] += sign * weight
