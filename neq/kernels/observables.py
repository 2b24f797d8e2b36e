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
full, and numpy's exponential works on whole vectors. The lists are those of :class:`neq.spikes.packing.Packed`: all
transitions of a group have as many active units, so that no loop's length has to be guessed.
"""

from __future__ import annotations

import numpy as np

from ._jit import inlined, kernel


@kernel
def scores(unit, n_later, n_earlier, group_end, theta, forward, own):
    """Return theta.g of every transition in packed order (transition,), theta (unit, unit)."""
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    width = np.uint32(theta.shape[0])
    score = np.empty(group_end[-1])
    t, event = 0, 0
    for group in range(group_end.size):
        later, earlier = n_later[group], n_earlier[group]
        while t < group_end[group]:
            middle, end = event + later, event + later + earlier
            start, start_end, stop, stop_end = middle, end, event, middle
            if not forward:
                start, start_end, stop, stop_end = event, middle, middle, end
            pairs = _sum_block(flat, width, unit, stop, stop_end, start, start_end)
            if own:
                pairs -= _sum_block(flat, width, unit, start, start_end, start, start_end)
            change = 0.0
            for active in range(stop, stop_end):
                change += row_sum[unit[active]]
            for active in range(start, start_end):
                change -= row_sum[unit[active]]
            score[t] = 4.0 * pairs - 2.0 * change
            t, event = t + 1, end
    return score


@kernel
def weighted_sums(unit, n_later, n_earlier, group_end, weight, n_unit, forward, own):
    """Return the weighted sums of pairs (unit, unit) and of changes (unit,); weights in packed order (transition,).

    The pairs are :math:`s'_i s_j`, for ``own`` minus :math:`s_i s_j`; the changes are :math:`s'_i - s_i`.
    """
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    width = np.uint32(n_unit)
    t, event = 0, 0
    for group in range(group_end.size):
        later, earlier = n_later[group], n_earlier[group]
        while t < group_end[group]:
            middle, end = event + later, event + later + earlier
            start, start_end, stop, stop_end = middle, end, event, middle
            if not forward:
                start, start_end, stop, stop_end = event, middle, middle, end
            _add_block(pair, width, unit, stop, stop_end, start, start_end, weight[t])
            if own:
                _add_block(pair, width, unit, start, start_end, start, start_end, -weight[t])
            for active in range(stop, stop_end):
                change[unit[active]] += weight[t]
            for active in range(start, start_end):
                change[unit[active]] -= weight[t]
            t, event = t + 1, end
    return pair.reshape(n_unit, n_unit), change


@kernel
def change_moments(unit, n_later, n_earlier, group_end, n_unit):
    """Return how often each unit changed (unit,) and how often each pair did together (unit, unit), per transition."""
    single = np.zeros(n_unit)
    both = np.zeros((n_unit, n_unit))
    changed = np.zeros(n_unit, np.bool_)
    t, event = 0, 0
    for group in range(group_end.size):
        while t < group_end[group]:
            end = event + n_later[group] + n_earlier[group]
            for active in range(event, end):
                changed[unit[active]] = not changed[unit[active]]
            for one in range(event, end):
                if changed[unit[one]]:
                    single[unit[one]] += 1.0
                    for other in range(event, end):
                        if changed[unit[other]]:
                            both[unit[one], unit[other]] += 1.0
            for active in range(event, end):
                changed[unit[active]] = False
            t, event = t + 1, end
    return single / group_end[-1], both / group_end[-1]


@inlined
def _sum_block(flat, width, unit, first_row, last_row, first, last):
    """Return the sum of a flat matrix over the rows and the columns of two lists of units.

    Two sums at a time, so that an addition need not wait for the one before.
    """
    one, two = 0.0, 0.0
    for event in range(first_row, last_row):
        row = np.uint32(unit[event]) * width
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
        row = np.uint32(unit[event]) * width
        for other in range(first, last):
            flat[row + unit[other]] += weight
