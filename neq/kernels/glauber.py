"""Glauber dynamics of a network of 0/1 units: samplers, and the dissipation along a sampled path.

Couplings come as ``dense`` (source, target) or, where that has no rows, as the lists of each source: ``offsets``
(source + 1,), ``targets`` and ``weights`` (coupling,). Both ways add the same numbers in the same order.

A unit becomes active with probability p(h) = 1 / (1 + exp(-h)). The exponential is left out where bounds of p over a
cell of h decide already, which is 99 times in 100; the outcome is that of the full comparison.
"""

from __future__ import annotations

import math

import numpy as np

from ._jit import kernel
from .random_words import next_uniform, next_word, split_word

CELLS_PER_UNIT, REACH = 16, 32
"""Cells of h: 16 to a unit of log-odds, from -32 to 32; all beyond belongs to the outermost cells."""
N_CELL = 2 * REACH * CELLS_PER_UNIT
LAST_CELL = N_CELL - 1
CELL_BITS = 4
"""log2 of the cells to a unit."""
LANES = 8
"""Couplings added up at once."""


def _bounds() -> tuple[np.ndarray, np.ndarray]:
    """Return what p is at least and at most in each cell (cell,), with room for the rounding of exponentials."""
    edge = 1.0 / (1.0 + np.exp(-np.arange(-REACH, REACH + 0.5 / CELLS_PER_UNIT, 1.0 / CELLS_PER_UNIT)))
    lower, upper = edge[:-1] * (1.0 - 1e-12), edge[1:] * (1.0 + 1e-12)
    lower[0], upper[-1] = 0.0, 1.0
    return lower, np.minimum(upper, 1.0)


LOWER, UPPER = _bounds()
MIDDLE, HALF_WIDTH = (UPPER + LOWER) / 2, (UPPER - LOWER) / 2 + 1e-15
"""One comparison with these says that a draw lies between the bounds: two would be branches nobody can predict."""
LOWER_WORD = (LOWER * 2.0**64).astype(np.uint64)
WIDTH_WORD = np.array([min(int(bound * 2.0**64), 2**64 - 1) for bound in UPPER], dtype=np.uint64) - LOWER_WORD
"""The same as 64-bit fractions."""


@kernel
def _fields(dense, offsets, targets, weights, bias, active, n_active, field):
    """Write to ``field`` (target,) the bias and what the first ``n_active`` units of ``active`` send, in order."""
    for target in range(field.size):
        field[target] = bias[target]
    if dense.shape[0] == 0:
        for place in range(n_active):
            source = active[place]
            for entry in range(offsets[source], offsets[source + 1]):
                field[targets[entry]] += weights[entry]
        return
    whole = n_active - n_active % 4
    for place in range(0, whole, 4):  # four at a time: each field is loaded and stored a quarter as often
        first, second, third, fourth = active[place], active[place + 1], active[place + 2], active[place + 3]
        for target in range(field.size):
            pair = (field[target] + dense[first, target]) + dense[second, target]
            field[target] = (pair + dense[third, target]) + dense[fourth, target]
    for place in range(whole, n_active):
        source = active[place]
        for target in range(field.size):
            field[target] += dense[source, target]


@kernel
def _list_active(state, active):
    """Write the numbers of the active units of ``state`` (unit,) into ``active`` and return how many there are."""
    count = np.uint64(0)
    for unit in range(state.size):
        active[count] = unit
        count += np.uint64(state[unit])
    return count


@kernel
def parallel(dense, offsets, targets, weights, bias, state, words, uniform, n_update, n_done, thin, out):
    """Update all units at once, ``n_update`` times; ``state`` (unit,) ends at the last update.

    The draws are the next numbers of the PCG64 whose state and increment are ``words``, made between the other work,
    where they cost the least, or, unless ``uniform`` is empty, its entries (update, unit). ``n_done`` updates went
    before; every ``thin``-th is a row of ``out`` (step, unit).
    """
    n_unit = state.size
    field, active = np.empty(n_unit), np.empty(n_unit + 1, dtype=np.uint32)
    n_active = _list_active(state, active)
    drawn_here = uniform.size == 0
    high, low, step_high, step_low = words[0], words[1], words[2], words[3]
    for update in range(n_update):
        _fields(dense, offsets, targets, weights, bias, active, n_active, field)
        n_active = np.uint64(0)
        for unit in range(n_unit):
            if drawn_here:
                draw, high, low = next_uniform(high, low, step_high, step_low)
            else:
                draw = uniform[update, unit]
            h = field[unit]
            cell = np.uint64(int(min(max((h + REACH) * CELLS_PER_UNIT, 0.0), float(LAST_CELL))))
            becomes = draw < MIDDLE[cell]
            if abs(draw - MIDDLE[cell]) <= HALF_WIDTH[cell]:
                becomes = draw * (1.0 + math.exp(-h)) < 1.0
            active[n_active] = unit
            n_active += np.uint64(becomes)
            state[unit] = becomes
        if (n_done + update + 1) % thin == 0:
            for unit in range(n_unit):
                out[(n_done + update + 1) // thin - 1, unit] = state[unit]
    words[0], words[1] = high, low


@kernel
def _decide(fraction, h, scale_bits):
    """Return whether a unit in the field ``h`` 2^-scale_bits becomes active by a draw of ``fraction`` 2^-64."""
    cell = min(max((h >> (scale_bits - CELL_BITS)) + N_CELL // 2, 0), LAST_CELL)
    if fraction - LOWER_WORD[cell] <= WIDTH_WORD[cell]:  # below the lower bound the difference wraps round
        return fraction * 2.0**-64 * (1.0 + math.exp(-math.ldexp(float(h), -scale_bits))) < 1.0
    return fraction < LOWER_WORD[cell]


@kernel
def sequential_few(first, sources, weights, bias, mask, words, scale_bits, thin, out):
    """Update one random unit at a time, ``thin`` attempts per row of ``out`` (step, unit), where few act on each.

    The field is added up at each attempt: no branch depends on a flip, which costs less than keeping the fields.
    ``sources`` and ``weights`` (coupling,) list what acts on each unit from its ``first`` (unit + 1,) on, padded with
    weights of zero to whole groups of :data:`LANES`. ``weights`` and ``bias`` are whole multiples of 2^-scale_bits, so
    that fields are exact in whatever order they are added up. ``mask`` (unit,) is -1 where a unit is active, else 0;
    it and ``words``, the random state, are advanced.
    """
    n_unit = mask.size
    a, b, c, d = words[0], words[1], words[2], words[3]
    for step in range(out.shape[0]):
        for _ in range(thin):
            word, a, b, c, d = next_word(a, b, c, d)
            unit, fraction = split_word(word, n_unit)
            h = bias[unit]
            group, stop = first[unit], first[unit + np.uint64(1)]
            while group < stop:
                for lane in range(LANES):
                    coupling = group + np.uint64(lane)
                    h += weights[coupling] & mask[sources[coupling]]
                group += np.uint64(LANES)
            mask[unit] = -np.int64(_decide(fraction, np.int64(h), scale_bits))
        for unit in range(n_unit):
            out[step, unit] = mask[unit] != 0
    words[0], words[1], words[2], words[3] = a, b, c, d


@kernel
def sequential_many(dense, offsets, targets, weights, field, state, words, scale_bits, thin, out):
    """Update one random unit at a time as :func:`sequential_few`, to the same states, where many act on each.

    ``field`` (unit,) is kept, and changed by the flips alone; as the couplings it is in units of 2^-scale_bits, so
    that it stays exact however long the run. ``field``, ``state`` and ``words`` are advanced; ``state`` is of bytes, as
    the compiler would make a branch of what it knows to be a truth value.
    """
    n_unit, listed = state.size, dense.shape[0] == 0
    a, b, c, d = words[0], words[1], words[2], words[3]
    for step in range(out.shape[0]):
        for _ in range(thin):
            word, a, b, c, d = next_word(a, b, c, d)
            unit, fraction = split_word(word, n_unit)
            active = _decide(fraction, np.int64(field[unit]), scale_bits)
            before = state[unit]
            if active != before:
                state[unit] = active
                turned = -np.int64(before)  # -1 turns the sign, without a branch that nobody could predict
                if listed:
                    for entry in range(offsets[unit], offsets[unit + np.uint64(1)]):
                        field[targets[entry]] += (weights[entry] ^ turned) - turned
                else:
                    for target in range(n_unit):
                        field[target] += (dense[unit, target] ^ turned) - turned
        for unit in range(n_unit):
            out[step, unit] = state[unit] != 0
    words[0], words[1], words[2], words[3] = a, b, c, d


@kernel
def dissipation(couplings, antisymmetric, bias, states):
    """Return the sum over ``states`` (step, unit) of sum_i P(s'_i = 1 | s) sum_j A_ij s_j.

    ``couplings`` and ``antisymmetric`` are W and A = (W - W^T) / 2, each as the four arrays of the module.
    """
    n_step, n_unit = states.shape
    field, drive, active = np.empty(n_unit), np.empty(n_unit), np.empty(n_unit + 1, dtype=np.uint32)
    zero, total = np.zeros(n_unit), 0.0
    for step in range(n_step):
        n_active = _list_active(states[step], active)
        _fields(*couplings, bias, active, n_active, field)
        _fields(*antisymmetric, zero, active, n_active, drive)
        for unit in range(n_unit):
            total += drive[unit] / (1.0 + math.exp(-field[unit]))
    return total
