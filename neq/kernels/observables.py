r"""Sums over transitions of pairwise observables, from lists of active units.

A transition goes from bin ``start`` to bin ``stop``. With spikes :math:`s` and spins :math:`x = 2 s - 1` at ``start``,
:math:`s'` and :math:`x'` at ``stop``, and :math:`r_i = \sum_j \theta_{ij}`,

* antisymmetric, :math:`g_{ij} = x'_i x_j - x_i x'_j`:
  :math:`\theta \cdot g = 4 \sum_{ij} \theta_{ij} s'_i s_j - 2 \sum_i r_i (s'_i - s_i)`,
* flow, :math:`g_{ij} = (x'_i - x_i) x_j`: the same minus :math:`4 \sum_{ij} \theta_{ij} s_i s_j`, which the flag
  ``own`` asks for and which is zero for an antisymmetric theta.

So a transition costs about :math:`n_{start} n_{stop}` additions, n being the number of active units. The value of the
reverse process is the same function with ``start`` and ``stop`` exchanged.
"""

from __future__ import annotations

import numpy as np

from ._jit import inlined, kernel


@kernel
def scores(row_start, unit, start, stop, theta, own):
    """Return theta.g of every transition (transition,), theta (unit, unit)."""
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    score = np.empty(start.size)
    for t in range(start.size):
        score[t] = _score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit, own)
    return score


@kernel
def tilted_moments(row_start, unit, start, stop, theta, own):
    """Return log <exp(theta.g)>, and under those weights the means of pairs (unit, unit) and of changes (unit,).

    The pairs are :math:`s'_i s_j`, for ``own`` minus :math:`s_i s_j`; the changes are :math:`s'_i - s_i`. Score and
    sums are made in one pass: the exponent is shifted by the largest score so far, so that no theta overflows.
    """
    n_unit = theta.shape[0]
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    total, shift = 0.0, -np.inf
    for t in range(start.size):
        score = _score(row_start, unit, start[t], stop[t], flat, row_sum, n_unit, own)
        if score > shift:
            scale = np.exp(shift - score)
            pair *= scale
            change *= scale
            total *= scale
            shift = score
        weight = np.exp(score - shift)
        total += weight
        _add_pairs(row_start, unit, stop[t], start[t], weight, pair, n_unit)
        if own:
            _add_pairs(row_start, unit, start[t], start[t], -weight, pair, n_unit)
        _add_units(row_start, unit, stop[t], weight, change)
        _add_units(row_start, unit, start[t], -weight, change)
    return shift + np.log(total / start.size), pair.reshape(n_unit, n_unit) / total, change / total


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
def _score(row_start, unit, start, stop, flat, row_sum, n_unit, own):
    """Return theta.g of one transition."""
    pairs = _sum_pairs(row_start, unit, stop, start, flat, n_unit)
    if own:
        pairs -= _sum_pairs(row_start, unit, start, start, flat, n_unit)
    change = _sum_units(row_start, unit, stop, row_sum) - _sum_units(row_start, unit, start, row_sum)
    return 4.0 * pairs - 2.0 * change


@inlined
def _sum_pairs(row_start, unit, rows, columns, flat, n_unit):
    """Return the sum of a matrix over the units active in bin ``rows`` and those active in bin ``columns``.

    Four rows at once: as many independent sums keep the processor from waiting for each addition.
    """
    first, last = row_start[columns], row_start[columns + 1]
    event, end = row_start[rows], row_start[rows + 1]
    width = np.uint64(n_unit)  # unsigned: a signed index would be tested for wrapping round
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    while event + 3 < end:
        row_1, row_2 = np.uint64(unit[event]) * width, np.uint64(unit[event + 1]) * width
        row_3, row_4 = np.uint64(unit[event + 2]) * width, np.uint64(unit[event + 3]) * width
        for other in range(first, last):
            column = np.uint64(unit[other])
            one += flat[row_1 + column]
            two += flat[row_2 + column]
            three += flat[row_3 + column]
            four += flat[row_4 + column]
        event += 4
    while event < end:
        row_1 = np.uint64(unit[event]) * width
        for other in range(first, last):
            one += flat[row_1 + np.uint64(unit[other])]
        event += 1
    return (one + two) + (three + four)


@inlined
def _sum_units(row_start, unit, bin_number, values):
    """Return the sum of ``values`` (unit,) over the units active in a bin."""
    total = 0.0
    for event in range(row_start[bin_number], row_start[bin_number + 1]):
        total += values[unit[event]]
    return total


@inlined
def _add_pairs(row_start, unit, rows, columns, weight, pair, n_unit):
    """Add ``weight`` to the pairs of a unit active in bin ``rows`` and one active in bin ``columns``."""
    first, last = row_start[columns], row_start[columns + 1]
    for event in range(row_start[rows], row_start[rows + 1]):
        row = np.uint64(unit[event]) * np.uint64(n_unit)
        for other in range(first, last):
            pair[row + np.uint64(unit[other])] += weight


@inlined
def _add_units(row_start, unit, bin_number, weight, values):
    """Add ``weight`` to ``values`` (unit,) of the units active in a bin."""
    for event in range(row_start[bin_number], row_start[bin_number + 1]):
        values[unit[event]] += weight
