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

ROWS_TOGETHER = 4
"""Rows that one column is looked up for; groups with fewer are walked row by row, which is faster for them."""


@kernel
def scores(unit, n_later, n_earlier, group_end, theta, forward, own):
    """Return theta.g of every transition in packed order (transition,), theta (unit, unit)."""
    flat = theta.reshape(-1)
    row_sum = theta.sum(axis=1)
    width = np.uint32(theta.shape[0])
    score = np.empty(group_end[-1])
    t, event = 0, 0
    for group in range(group_end.size):
        start, start_end, stop, stop_end, step = _places(n_later[group], n_earlier[group], forward)
        part = score[t : group_end[group]]
        if stop_end - stop < ROWS_TOGETHER:
            _score_few(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, part)
        else:
            _score_many(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, part)
        if own:
            _subtract_own(unit, event, start, start_end, step, flat, width, part)
        t, event = group_end[group], event + step * part.size
    return score


@kernel
def _score_few(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, score):
    """Fill the scores of one group, row by row."""
    for t in range(score.size):
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
        score[t] = 4.0 * (one + two) - 2.0 * change
        event += step


@kernel
def _score_many(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, score):
    """Fill the scores of one group, four rows at a time: a column is looked up once for all of them."""
    n_whole = (stop_end - stop) // ROWS_TOGETHER * ROWS_TOGETHER
    for t in range(score.size):
        first, last = event + start, event + start_end
        one, two, three, four, change = 0.0, 0.0, 0.0, 0.0, 0.0
        for later in range(event + stop, event + stop + n_whole, ROWS_TOGETHER):
            a, b = np.uint32(unit[later]) * width, np.uint32(unit[later + 1]) * width
            c, d = np.uint32(unit[later + 2]) * width, np.uint32(unit[later + 3]) * width
            for earlier in range(first, last):
                column = np.uint32(unit[earlier])
                one += flat[a + column]
                two += flat[b + column]
                three += flat[c + column]
                four += flat[d + column]
        for later in range(event + stop + n_whole, event + stop_end):
            a = np.uint32(unit[later]) * width
            earlier = first
            while earlier + 1 < last:
                one += flat[a + unit[earlier]]
                two += flat[a + unit[earlier + 1]]
                earlier += 2
            if earlier < last:
                one += flat[a + unit[earlier]]
        for later in range(event + stop, event + stop_end):
            change += row_sum[unit[later]]
        for earlier in range(first, last):
            change -= row_sum[unit[earlier]]
        score[t] = 4.0 * ((one + two) + (three + four)) - 2.0 * change
        event += step


@kernel
def _subtract_own(unit, event, start, start_end, step, flat, width, score):
    """Subtract the pairs inside the ``start`` bins from the scores of one group."""
    for t in range(score.size):
        own = 0.0
        for one in range(event + start, event + start_end):
            row = np.uint32(unit[one]) * width
            for other in range(event + start, event + start_end):
                own += flat[row + unit[other]]
        score[t] -= 4.0 * own
        event += step


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
        start, start_end, stop, stop_end, step = _places(n_later[group], n_earlier[group], forward)
        part = weight[t : group_end[group]]
        if stop_end - stop < ROWS_TOGETHER:
            _add_few(unit, event, start, start_end, stop, stop_end, step, part, pair, change, width)
        else:
            _add_many(unit, event, start, start_end, stop, stop_end, step, part, pair, change, width)
        if own:
            _add_few(unit, event, start, start_end, start, start_end, step, -part, pair, change, width)
        t, event = group_end[group], event + step * part.size
    return pair.reshape(n_unit, n_unit), change


@kernel
def _add_few(unit, event, start, start_end, stop, stop_end, step, weight, pair, change, width):
    """Add the weights of one group to its pairs and changes, row by row."""
    for share in weight:
        first, last = event + start, event + start_end
        for later in range(event + stop, event + stop_end):
            row = np.uint32(unit[later]) * width
            change[unit[later]] += share
            for earlier in range(first, last):
                pair[row + unit[earlier]] += share
        for earlier in range(first, last):
            change[unit[earlier]] -= share
        event += step


@kernel
def _add_many(unit, event, start, start_end, stop, stop_end, step, weight, pair, change, width):
    """Add the weights of one group to its pairs and changes, four rows at a time."""
    n_whole = (stop_end - stop) // ROWS_TOGETHER * ROWS_TOGETHER
    for share in weight:
        first, last = event + start, event + start_end
        for later in range(event + stop, event + stop + n_whole, ROWS_TOGETHER):
            a, b = np.uint32(unit[later]) * width, np.uint32(unit[later + 1]) * width
            c, d = np.uint32(unit[later + 2]) * width, np.uint32(unit[later + 3]) * width
            for earlier in range(first, last):
                column = np.uint32(unit[earlier])
                pair[a + column] += share
                pair[b + column] += share
                pair[c + column] += share
                pair[d + column] += share
        for later in range(event + stop + n_whole, event + stop_end):
            row = np.uint32(unit[later]) * width
            for earlier in range(first, last):
                pair[row + unit[earlier]] += share
        for later in range(event + stop, event + stop_end):
            change[unit[later]] += share
        for earlier in range(first, last):
            change[unit[earlier]] -= share
        event += step


@kernel
def change_moments(unit, n_later, n_earlier, group_end, n_unit):
    """Return how often each unit changed (unit,) and how often each pair did together (unit, unit), per transition."""
    count = np.zeros(n_unit * n_unit)
    in_later = np.zeros(n_unit, np.bool_)
    listed = np.empty(n_unit, np.uint32)
    width = np.uint32(n_unit)
    t, event = 0, 0
    for group in range(group_end.size):
        while t < group_end[group]:
            middle, end = event + n_later[group], event + n_later[group] + n_earlier[group]
            n_changed = _list_changed(unit, event, middle, end, in_later, listed)
            for one in range(n_changed):
                row = listed[one] * width
                for other in range(one + 1):
                    count[row + listed[other]] += 1.0
            t, event = t + 1, end
    both = count.reshape(n_unit, n_unit) / group_end[-1]
    single = np.diag(both).copy()
    both += both.T.copy()
    for one in range(n_unit):
        both[one, one] = single[one]
    return single, both


@kernel
def _list_changed(unit, first, middle, last, in_later, listed):
    """List the units that are active in one bin only, of first:middle and middle:last; return how many they are.

    ``in_later`` (unit,) is False throughout and comes back so.
    """
    for place in range(first, middle):
        in_later[unit[place]] = True
    n_changed = 0
    for place in range(middle, last):
        if in_later[unit[place]]:
            in_later[unit[place]] = False
        else:
            listed[n_changed] = unit[place]
            n_changed += 1
    for place in range(first, middle):
        if in_later[unit[place]]:
            in_later[unit[place]] = False
            listed[n_changed] = unit[place]
            n_changed += 1
    return n_changed


@kernel
def _places(n_later, n_earlier, forward):
    """Return where a transition's ``start`` and ``stop`` units begin and end in its list, and its length."""
    n_both = n_later + n_earlier
    if forward:
        return n_later, n_both, 0, n_later, n_both
    return 0, n_later, n_later, n_both, n_both
