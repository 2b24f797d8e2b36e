r"""Sums over transitions of odd polynomials in the spikes, up to three spikes at a time, from lists of active units.

With spikes :math:`s` in the earlier bin and :math:`s'` in the later one, a score is

.. math:: \sum_i l_i (s'_i - s_i) + \sum_{ij} q_{ij} s'_i s_j + \sum_{j<k} p_{jk} (s'_j s'_k - s_j s_k)
          + \sum_{j<k} \sum_i c_{jki} (s'_i s_j s_k - s_i s'_j s'_k),

so a transition with n and n' active units costs about :math:`n n' + n n' (n + n') / 2` additions. Tables over pairs
(j, k) are (unit, unit) and symmetric: the lists of a bin may be in any order.
"""

from __future__ import annotations

import numpy as np

from ._jit import kernel


@kernel
def scores(row_start, unit, earlier, later, linear, quadratic, own, cubic):
    """Return the score of every transition (transition,).

    ``linear`` is l (unit,), ``quadratic`` q (later unit, earlier unit), ``own`` p (unit, unit) and ``cubic`` c
    (unit, unit, unit) with the pair first; an empty ``cubic`` stands for none, and then ``own`` is not read.
    """
    width = np.uint32(linear.size)
    flat, triples = quadratic.reshape(-1), cubic.size > 0
    score = np.empty(earlier.size)
    for t in range(earlier.size):
        first, last = row_start[earlier[t]], row_start[earlier[t] + 1]
        start, stop = row_start[later[t]], row_start[later[t] + 1]
        total = 0.0
        for later_event in range(start, stop):
            total += linear[unit[later_event]]
            row = unit[later_event] * width
            for event in range(first, last):
                total += flat[row + unit[event]]
        for event in range(first, last):
            total -= linear[unit[event]]
        if triples:
            total += _pair_score(unit, first, last, start, stop, own, cubic)
            total -= _pair_score(unit, start, stop, first, last, own, cubic)
        score[t] = total
    return score


@kernel
def _pair_score(unit, first, last, start, stop, own, cubic):
    """Return the sum over pairs active in one bin of c with the units of the other bin, minus p."""
    width = np.uint32(own.shape[0])
    flat_own, flat = own.reshape(-1), cubic.reshape(-1)
    total = 0.0
    for one in range(first, last):
        for two in range(one + 1, last):
            pair = unit[one] * width + unit[two]
            total -= flat_own[pair]
            row = pair * width
            for event in range(start, stop):
                total += flat[row + unit[event]]
    return total


@kernel
def weighted_sums(row_start, unit, earlier, later, weight, n_unit, triples):
    """Return the sums that l, q, p and c multiply, weighted by ``weight`` (transition,).

    Their shapes are those of :func:`scores`. A pair (j, k) is added at one of its two places only. Without ``triples``
    the last two are empty.
    """
    width = np.uint32(n_unit)
    n_cubic = n_unit if triples else 0
    linear, quadratic = np.zeros(n_unit), np.zeros((n_unit, n_unit))
    own, cubic = np.zeros((n_cubic, n_cubic)), np.zeros((n_cubic, n_cubic, n_cubic))
    flat = quadratic.reshape(-1)
    for t in range(earlier.size):
        first, last = row_start[earlier[t]], row_start[earlier[t] + 1]
        start, stop = row_start[later[t]], row_start[later[t] + 1]
        share = weight[t]
        for later_event in range(start, stop):
            linear[unit[later_event]] += share
            row = unit[later_event] * width
            for event in range(first, last):
                flat[row + unit[event]] += share
        for event in range(first, last):
            linear[unit[event]] -= share
        if triples:
            _add_pairs(unit, first, last, start, stop, share, own, cubic)
            _add_pairs(unit, start, stop, first, last, -share, own, cubic)
    return linear, quadratic, own, cubic


@kernel
def _add_pairs(unit, first, last, start, stop, share, own, cubic):
    """Add the pairs active in one bin with the units of the other bin to ``cubic``, and take them from ``own``."""
    width = np.uint32(own.shape[0])
    flat_own, flat = own.reshape(-1), cubic.reshape(-1)
    for one in range(first, last):
        for two in range(one + 1, last):
            pair = unit[one] * width + unit[two]
            flat_own[pair] -= share
            row = pair * width
            for event in range(start, stop):
                flat[row + unit[event]] += share


@kernel
def change_moments(row_start, unit, earlier, later, n_unit, triples):
    """Return how often single units (unit,), pairs (unit, unit) and triples (unit, unit, unit) changed together.

    All are counts of transitions. Each set stands at every place of its units in any order, a unit with itself too;
    without ``triples`` the last is empty.
    """
    n_cubic = n_unit if triples else 0
    single, both, three = np.zeros(n_unit), np.zeros((n_unit, n_unit)), np.zeros((n_cubic, n_cubic, n_cubic))
    changed = np.zeros(n_unit, np.bool_)
    for t in range(earlier.size):
        for bin_ in (earlier[t], later[t]):
            for event in range(row_start[bin_], row_start[bin_ + 1]):
                changed[unit[event]] = not changed[unit[event]]
        where = np.flatnonzero(changed)
        changed[:] = False
        for one in where:
            single[one] += 1.0
            for two in where:
                both[one, two] += 1.0
                if triples:
                    for other in where:
                        three[one, two, other] += 1.0
    return single, both, three
