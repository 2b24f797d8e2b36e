"""Models to simulate, each with its exact entropy production where it is known. They import no estimator."""

from .couplings import draw_patterns, pattern_couplings, sparse_spin_couplings, spiking_network
from .gaussian_chain import GaussianChain
from .kinetic_ising import EntropyProductionSample, KineticIsing
from .modular_network import ModularNetwork, draw_network
from .ornstein_uhlenbeck import OrnsteinUhlenbeck

__all__ = [
    "EntropyProductionSample",
    "GaussianChain",
    "KineticIsing",
    "ModularNetwork",
    "OrnsteinUhlenbeck",
    "draw_network",
    "draw_patterns",
    "pattern_couplings",
    "sparse_spin_couplings",
    "spiking_network",
]
