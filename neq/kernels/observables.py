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
"""Rows that one look at a column serves."""


@kernel
def scores(unit, n_later, n_earlier, group_end, flat, row_sum, forward, own):
    """Return theta.g of every transition in packed order (transition,), from theta row by row and its sums (unit,)."""
    width = np.uint32(row_sum.size)
    score = np.empty(group_end[-1])
    t, event = 0, 0
    for group in range(group_end.size):
        start, start_end, stop, stop_end, step = _places(n_later[group], n_earlier[group], forward)
        part = score[t : group_end[group]]
        _score(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, part)
        if own:
            _subtract_own(unit, event, start, start_end, step, flat, width, part)
        t, event = group_end[group], event + step * part.size
    return score


@kernel
def _score(unit, event, start, start_end, stop, stop_end, step, flat, row_sum, width, score):
    """Fill the scores of one group, four rows at a time: a column is looked up once for all of them."""
    n_whole = (stop_end - stop) // ROWS_TOGETHER * ROWS_TOGETHER
    for t in range(score.size):
        first, last = event + start, event + start_end
        # four sums, so that an addition need not wait for the one before
        one, two, three, four, change = 0.0, 0.0, 0.0, 0.0, 0.0
        for later in range(event + stop, event + stop + n_whole, ROWS_TOGETHER):
            a, b, c, d = unit[later], unit[later + 1], unit[later + 2], unit[later + 3]
            change += (row_sum[a] + row_sum[b]) + (row_sum[c] + row_sum[d])
            row_a, row_b = np.uint32(a) * width, np.uint32(b) * width
            row_c, row_d = np.uint32(c) * width, np.uint32(d) * width
            for earlier in range(first, last):
                column = np.uint32(unit[earlier])
                one += flat[row_a + column]
                two += flat[row_b + column]
                three += flat[row_c + column]
                four += flat[row_d + column]
        for later in range(event + stop + n_whole, event + stop_end):
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
    """Return the weighted sums of pairs, row by row, and of changes (unit,); weights in packed order (transition,).

    The pairs are :math:`s'_i s_j`, for ``own`` minus :math:`s_i s_j`; the changes are :math:`s'_i - s_i`.
    """
    pair = np.zeros(n_unit * n_unit)
    change = np.zeros(n_unit)
    width = np.uint32(n_unit)
    t, event = 0, 0
    for group in range(group_end.size):
        start, start_end, stop, stop_end, step = _places(n_later[group], n_earlier[group], forward)
        part = weight[t : group_end[group]]
        _add(unit, event, start, start_end, stop, stop_end, step, part, 1.0, pair, change, width)
        if own:
            _add(unit, event, start, start_end, start, start_end, step, part, -1.0, pair, change, width)
        t, event = group_end[group], event + step * part.size
    return pair, change


@kernel
def _add(unit, event, start, start_end, stop, stop_end, step, weight, sign, pair, change, width):
    """Add the weights of one group, times ``sign``, to its pairs and changes, four rows at a time."""
    n_whole = (stop_end - stop) // ROWS_TOGETHER * ROWS_TOGETHER
    for t in range(weight.size):
        share = sign * weight[t]
        first, last = event + start, event + start_end
        for later in range(event + stop, event + stop + n_whole, ROWS_TOGETHER):
            a, b, c, d = unit[later], unit[later + 1], unit[later + 2], unit[later + 3]
            change[a] += share
            change[b] += share
            change[c] += share
            change[d] += share
            row_a, row_b = np.uint32(a) * width, np.uint32(b) * width
            row_c, row_d = np.uint32(c) * width, np.uint32(d) * width
            for earlier in range(first, last):
                column = np.uint32(unit[earlier])
                pair[row_a + column] += share
                pair[row_b + column] += share
                pair[row_c + column] += share
                pair[row_d + column] += share
        for later in range(event + stop + n_whole, event + stop_end):
            row = np.uint32(unit[later]) * width
            change[unit[later]] += share
            for earlier in range(first, last):
                pair[row + unit[earlier]] += share
        for earlier in range(first, last):
            change[unit[earlier]] -= share
        event += step


@kernel
def change_counts(unit, n_later, n_earlier, group_end, n_unit):
    """Count the transitions in which both units of a pair changed, row by row; those of one unit are on the diagonal.

    Of each pair one of its two places, (i, j) or (j, i), has a count.
    """
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
    return count


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
