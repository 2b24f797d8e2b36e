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

from ._jit import kernel


@kernel
def scores(unit, n_later, n_earlier, group_end, theta, forward, own):
    """Return theta.g of every transition in packed order (transition,), theta (unit, unit)."""
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    width = np.uint32(theta.shape[0])
    score = np.empty(group_end[-1])
    t, event = 0, 0
    for group in range(group_end.size):
        step = n_later[group] + n_earlier[group]
        start, start_end, stop, stop_end = _places(n_later[group], step, forward)
        while t < group_end[group]:
            first, last = event + start, event + start_end
            # two sums, so that an addition need not wait for the one before
            one, two, change = 0.0, 0.0, 0.0
            for later in range(event + stop, event + stop_end):
                row = np.uint32(unit[later]) * width
                change += row_sum[unit[later]]
                earlier = first
                while earlier + 1 < last:
                    one += flat[row + unit[earlier]]
                    two += flat[row + unit[earlier + 1]]
                    earlier += 2
                if earlier < last:
                    one += flat[row + unit[earlier]]
            for earlier in range(first, last):
                change -= row_sum[unit[earlier]]
                if own:
                    row = np.uint32(unit[earlier]) * width
                    for other in range(first, last):
                        one -= flat[row + unit[other]]
            score[t] = 4.0 * (one + two) - 2.0 * change
            t, event = t + 1, event + step
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
        step = n_later[group] + n_earlier[group]
        start, start_end, stop, stop_end = _places(n_later[group], step, forward)
        while t < group_end[group]:
            first, last = event + start, event + start_end
            share = weight[t]
            for later in range(event + stop, event + stop_end):
                row = np.uint32(unit[later]) * width
                change[unit[later]] += share
                for earlier in range(first, last):
                    pair[row + unit[earlier]] += share
            for earlier in range(first, last):
                change[unit[earlier]] -= share
                if own:
                    row = np.uint32(unit[earlier]) * width
                    for other in range(first, last):
                        pair[row + unit[other]] -= share
            t, event = t + 1, event + step
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


@kernel
def _places(n_later, n_both, forward):
    """Return where a transition's ``start`` units begin and end in its list, and where its ``stop`` units do."""
    if forward:
        return n_later, n_both, 0, n_later
    return 0, n_later, n_later, n_both
