"""Ising models of spike trains whose parameters change in time."""

from .kinetic import KineticStateSpaceIsing as KineticStateSpaceIsing
from .kinetic import KineticStateSpaceIsingResult as KineticStateSpaceIsingResult
from .patterns import Patterns as Patterns
from .state_space import StateSpaceIsing as StateSpaceIsing
from .state_space import StateSpaceIsingResult as StateSpaceIsingResult
from .synthesis import generate_spikes as generate_spikes
from .synthesis import generate_thetas as generate_thetas
from .synthesis import gibbs_spikes as gibbs_spikes
