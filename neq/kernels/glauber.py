"""Glauber dynamics of a network of 0/1 units: samplers, and the dissipation along a sampled path."""

from __future__ import annotations

import math

from ._jit import kernel


@kernel
def parallel(incoming, bias, state, generator, thin, out):
    """Update all units at once, ``thin`` times per row of ``out`` (step, unit); ``state`` (unit,) ends at the last row.

    ``incoming`` (source, target) is the transposed coupling matrix: silent sources cost nothing, and the row of an
    active one is contiguous.
    """
    n_unit = state.size
    field = bias.copy()
    for step in range(out.shape[0]):
        for _ in range(thin):
            field[:] = bias
            for source in range(n_unit):
                if state[source]:
                    for target in range(n_unit):
                        field[target] += incoming[source, target]
            for unit in range(n_unit):
                state[unit] = generator.random() * (1.0 + math.exp(-field[unit])) < 1.0
        out[step] = state


@kernel
def sequential(couplings, bias, state, generator, thin, out):
    """Update one random unit at a time, ``thin`` attempts per row of ``out`` (step, unit)."""
    n_unit = state.size
    for step in range(out.shape[0]):
        for _ in range(thin):
            unit = min(int(generator.random() * n_unit), n_unit - 1)
            field = bias[unit]
            for source in range(n_unit):
                if state[source]:
                    field += couplings[unit, source]
            state[unit] = generator.random() * (1.0 + math.exp(-field)) < 1.0
        out[step] = state


@kernel
def dissipation(incoming, antisymmetric, bias, states):
    """Return the sum over ``states`` (step, unit) of sum_i P(s'_i = 1 | s) sum_j A_ij s_j.

    ``incoming`` and ``antisymmetric`` are W and A transposed (source, target), A being (W - W^T) / 2.
    """
    n_step, n_unit = states.shape
    field, drive = bias.copy(), bias.copy()
    total = 0.0
    for step in range(n_step):
        field[:] = bias
        drive[:] = 0.0
        for source in range(n_unit):
            if states[step, source]:
                for target in range(n_unit):
                    field[target] += incoming[source, target]
                    drive[target] += antisymmetric[source, target]
        for unit in range(n_unit):
            total += drive[unit] / (1.0 + math.exp(-field[unit]))
    return total
