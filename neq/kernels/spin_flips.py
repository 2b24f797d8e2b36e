"""Sequential Glauber dynamics of sparsely coupled spins, with a trial update of every spin at each kept state."""

from __future__ import annotations

import math

import numpy as np

from ._jit import kernel


@kernel
def sample(first, target, coupling, asymmetry, state, generator, warm_up, thin, states, flips):
    """Fill packed ``states`` and ``flips`` (sample, byte); return the mean over samples of sum_i P(flip_i) drive_i.

    A trial update says whether an attempt would flip the spin, and is not made. ``first`` (unit + 1,), ``target``,
    ``coupling`` and ``asymmetry`` (edge,) list for each source the spins that it acts on; ``coupling`` is 2 beta J_ij,
    ``asymmetry`` beta (J_ij - J_ji), both target first. ``state`` (unit,) of +-1 ends at the last state. ``warm_up``
    and ``thin`` count attempts. The drive is -x_i sum_j asymmetry_ij x_j.
    """
    n_unit = state.size
    field, drive = _fields(first, target, coupling, asymmetry, state)
    total = 0.0
    for step in range(states.shape[0]):
        for _ in range(thin + (warm_up if step == 0 else 0)):
            # one random number does for both: what is left of it after the choice of the spin is uniform too
            drawn = generator.random() * n_unit
            unit = min(int(drawn), n_unit - 1)
            if (drawn - unit) * (1.0 + math.exp(state[unit] * field[unit])) < 1.0:
                state[unit] = -state[unit]
                change = 2.0 * state[unit]
                for edge in range(first[unit], first[unit + 1]):
                    field[target[edge]] += change * coupling[edge]
                    drive[target[edge]] += change * asymmetry[edge]
        for unit in range(n_unit):
            odds = 1.0 + math.exp(state[unit] * field[unit])
            total -= state[unit] * drive[unit] / odds
            if state[unit] > 0:
                states[step, unit >> 3] |= 1 << (unit & 7)
            if generator.random() * odds < 1.0:
                flips[step, unit >> 3] |= 1 << (unit & 7)
    return total / states.shape[0]


@kernel
def _fields(first, target, coupling, asymmetry, state):
    """Return sum_j coupling_ij x_j and sum_j asymmetry_ij x_j (unit,)."""
    field, drive = np.zeros(state.size), np.zeros(state.size)
    for source in range(state.size):
        for edge in range(first[source], first[source + 1]):
            field[target[edge]] += state[source] * coupling[edge]
            drive[target[edge]] += state[source] * asymmetry[edge]
    return field, drive
