"""Small networks and recordings whose irreversibility is known."""

from __future__ import annotations

import numpy as np

from neq import Transitions
from neq.models.kinetic_ising import KineticIsing


def ring(n_unit=5, strength=2.0, bias=-2.0):
    """Return a network in which each unit excites the next: irreversible, and enumerable."""
    coupling = np.zeros((n_unit, n_unit))
    coupling[np.arange(1, n_unit + 1) % n_unit, np.arange(n_unit)] = strength
    return KineticIsing(couplings=coupling, bias=np.full(n_unit, bias))


def symmetric(n_unit=5, strength=0.5):
    """Return a network in which all units excite each other alike: reversible."""
    return KineticIsing(couplings=np.full((n_unit, n_unit), strength), bias=np.full(n_unit, -2.0))


def noise(n_bin, n_unit, rate, seed):
    """Return transitions of independent units."""
    return Transitions.from_spikes(np.random.default_rng(seed).random((n_bin, n_unit)) < rate)
