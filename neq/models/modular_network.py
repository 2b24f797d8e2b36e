"""A sparse network of independent modules, each small enough for its entropy production to be enumerated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from neq import seeds
from neq.errors import RecordingError
from neq.models.kinetic_ising import KineticIsing

ACTIVITY = (0.02, 0.08)
"""Share of bins in which a unit is active: drawn between these, uniformly in the logarithm."""
NEIGHBOURS = 3.0
"""Mean number of units that one is coupled to."""
SYMMETRIC = (0.5, 0.5)
"""Mean and standard deviation of the symmetric part of a coupling, in units of log-odds."""
ANTISYMMETRIC = 0.45
"""Median size of its antisymmetric part at strength 1: gives 0.05 to 0.1 nats per spike."""
STRAY = 0.3
"""Share of the units that may belong to a module whose home is another area."""
DIGITS = 6
"""Parameters are rounded to these: the last bits of a linear algebra library then cannot change a spike."""


@dataclass(frozen=True, eq=False)
class ModularNetwork:
    """One network of the ensemble.

    Parameters
    ----------
    module
        Module of each unit (unit,).
    symmetric, antisymmetric
        Parts of the couplings (target, source).
    activity
        Share of bins (unit,) in which each unit is active, in every condition.
    """

    module: np.ndarray
    symmetric: np.ndarray
    antisymmetric: np.ndarray
    activity: np.ndarray

    def model(self, strength: float) -> KineticIsing:
        """Return the network with the antisymmetric part scaled by ``strength``; its biases keep the activity."""
        couplings = (self.symmetric + strength * self.antisymmetric).round(DIGITS)
        bias = np.empty(len(couplings))
        for label in np.unique(self.module):
            unit = np.flatnonzero(self.module == label)
            bias[unit] = _solve_bias(couplings[np.ix_(unit, unit)], self.activity[unit])
        return KineticIsing(couplings=couplings, bias=bias.round(DIGITS))


def draw_network(session: str, *, n_unit: int = 60, module_size: int = 6, seed: int = 0) -> ModularNetwork:
    """Draw the network of one session.

    Parameters
    ----------
    session
        Another name, or another ``seed``, is another network of the same ensemble.
    n_unit
        Number of units.
    module_size
        Largest number of units in a module.
    seed
        Root seed.

    Examples
    --------
    >>> draw_network("a", n_unit=7).module.tolist() == draw_network("a", n_unit=7).module.tolist()
    True
    """
    random = seeds.generator(seed, session=session, role="network")
    module = np.arange(n_unit) * math.ceil(n_unit / module_size) // n_unit
    stray = np.flatnonzero(random.random(n_unit) < STRAY)
    module[stray] = random.permutation(module[stray])
    n_other = np.bincount(module)[module] - 1
    coupled = random.random((n_unit, n_unit)) * n_other < NEIGHBOURS
    coupled = np.triu(coupled & (module[:, np.newaxis] == module), 1)
    symmetric = coupled * random.normal(*SYMMETRIC, (n_unit, n_unit))
    size = ANTISYMMETRIC * random.lognormal(0.0, 0.3, (n_unit, n_unit))
    antisymmetric = coupled * size * random.choice([-1.0, 1.0], (n_unit, n_unit))
    low, high = ACTIVITY
    activity = np.exp(random.uniform(np.log(low), np.log(high), n_unit))
    return ModularNetwork(module, symmetric + symmetric.T, antisymmetric - antisymmetric.T, activity)


def _solve_bias(couplings: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Return the biases (unit,) under which each unit of a module is active as asked, to about 1e-7 in log-odds."""
    wanted = special.logit(activity)
    bias = wanted - couplings @ activity
    for _ in range(500):
        step = wanted - special.logit(KineticIsing(couplings=couplings, bias=bias).activity())
        if np.abs(step).max() < 1e-7:
            return bias
        bias += step
    raise RecordingError(
        f"No biases keep the activity of a module whose strongest coupling is {np.abs(couplings).max():.3g}; "
        "lower the strength of the condition."
    )
