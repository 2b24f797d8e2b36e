"""Models to simulate, each with its exact entropy production where it is known. They import no estimator."""

from .kinetic_ising import EntropyProductionSample, KineticIsing
from .modular_network import ModularNetwork, draw_network

__all__ = ["EntropyProductionSample", "KineticIsing", "ModularNetwork", "draw_network"]
