"""How near the kernels of the objective come to what this processor can do.

One evaluation of J and its gradient adds, for every transition, n(t) n(t + 1) entries of a table of pairs and
n(t) + n(t + 1) of a table of units for the scores, and adds into as many for the weighted sums. The limit is measured:
the same additions, with the same lookup of a unit's number, from and into a table that stays in the first-level cache,
with lists so long that nothing else counts.
"""

from __future__ import annotations

import time

import numba
import numpy as np

from neq.kernels import observables as kernels
from neq.models.couplings import spiking_network
from neq.models.kinetic_ising import KineticIsing
from neq.spikes.transitions import Transitions

WIDTH, LENGTH, N_LIST = 32, 1024, 200
"""Units of the small table, entries of a list, and lists walked, for the limit."""
N_TRY = 9


@numba.njit(error_model="numpy")
def sum_limit(unit, table, n_list):
    """Return the sum of four rows of a flat table over a list, many times."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for _ in range(n_list):
        for place in range(unit.size):
            column = np.uint32(unit[place])
            one += table[column]
            two += table[np.uint32(WIDTH) + column]
            three += table[np.uint32(2 * WIDTH) + column]
            four += table[np.uint32(3 * WIDTH) + column]
    return one + two + three + four


@numba.njit(error_model="numpy")
def add_limit(unit, table, n_list):
    """Add to four rows of a flat table over a list, many times."""
    for turn in range(n_list):
        share = float(turn)
        for place in range(unit.size):
            column = np.uint32(unit[place])
            table[column] += share
            table[np.uint32(WIDTH) + column] += share
            table[np.uint32(2 * WIDTH) + column] += share
            table[np.uint32(3 * WIDTH) + column] += share


def best(function, *arguments) -> float:
    """Return the shortest of several times, CPU s."""
    function(*arguments)
    times = []
    for _ in range(N_TRY):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def kernel_rates(n_unit: int, n_bin: int) -> str:
    """Return a line: additions and bytes of one evaluation, its time, and the limit."""
    couplings, bias = spiking_network(n_unit, np.random.default_rng(0))
    spikes = KineticIsing(couplings=couplings, bias=bias).simulate(n_bin, seed=0)
    packed = Transitions.from_spikes(spikes).packed
    n_transition = int(packed.group_end[-1])
    n_pair = int((np.diff(packed.group_end, prepend=0) * packed.n_later * packed.n_earlier).sum())
    n_addition = n_pair + len(packed.unit)
    theta, weight = np.random.default_rng(0).normal(size=n_unit**2), np.ones(n_transition)
    scores = best(kernels.scores, *packed.lists, theta, theta[:n_unit], False, False) / n_addition * 1e9
    sums = best(kernels.weighted_sums, *packed.lists, weight, n_unit, False, False) / n_addition * 1e9
    unit = np.random.default_rng(0).integers(0, WIDTH, LENGTH).astype(np.uint16)
    additions, table = 4 * LENGTH * N_LIST, np.zeros(4 * WIDTH)
    limits = [best(loop, unit, table, N_LIST) / additions * 1e9 for loop in (sum_limit, add_limit)]
    n_byte = 2 * (packed.unit.nbytes + 8 * n_transition + 8 * n_unit**2)
    return (
        f"N = {n_unit}: {2 * n_addition / n_transition:.0f} additions, {n_byte / n_transition:.0f} bytes "
        f"per transition; scores {scores:.2f} ns per addition (limit {limits[0]:.2f}), "
        f"sums {sums:.2f} (limit {limits[1]:.2f}): "
        f"{(scores + sums) / sum(limits):.1f} times the limit"
    )
