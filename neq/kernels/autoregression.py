"""Linear recursion driven by noise."""

from __future__ import annotations

from ._jit import kernel


@kernel
def advance(propagator, noise, state, out):
    """Turn standard normal ``out`` (step, unit) into states: each is E times the one before plus L times its own draw.

    ``propagator`` and ``noise`` are E and L transposed (source, target), so that the inner loops run along rows.
    ``state`` (unit,) is the state before and ends at the last. Written out, not as a matrix product: libraries for
    these give other last bits for other numbers of rows.
    """
    n_unit = state.size
    draw = state.copy()
    for step in range(out.shape[0]):
        row = out[step]
        for unit in range(n_unit):  # an assignment of slices would take seconds to compile
            draw[unit], row[unit] = row[unit], 0.0
        for source in range(n_unit):
            for target in range(n_unit):
                row[target] += propagator[source, target] * state[source]
            for target in range(source, n_unit):
                row[target] += noise[source, target] * draw[source]
        for unit in range(n_unit):
            state[unit] = row[unit]
