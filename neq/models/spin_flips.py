r"""Spins under sequential Glauber dynamics, sampled where a single spin's updates are what is looked at.

An attempted update of spin i flips it with probability :math:`1 / (1 + e^{2 \beta x_i \sum_j J_{ij} x_j})`. Of all
:math:`N` spins, each as likely to be tried, the entropy production per attempted update of a stationary state is

.. math:: \Sigma = \frac1N \sum_i \Big\langle P(\text{flip}_i) \, (-2 \beta x_i \sum_j J_{ij} x_j) \Big\rangle
   = -\frac{\beta}{N} \sum_{ij} \big\langle P(\text{flip}_i) \, (J_{ij} - J_{ji}) x_i x_j \big\rangle,

because what the symmetric part adds is the change of an energy and averages to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from neq import seeds
from neq.errors import ModelError
from neq.kernels import spin_flips as kernels
from neq.spikes.spin_flips import SpinFlips

from .network import Couplings

WARM_UP = 0.1
"""Share of a run that comes before its first sample."""


@dataclass(frozen=True, eq=False)
class SpinSample:
    """What was sampled of one network.

    Parameters
    ----------
    flips
        States and flips.
    restart_entropy_production
        Entropy production (restart,) in nats per attempted update, without bias, from each run alone.
    """

    flips: SpinFlips
    restart_entropy_production: np.ndarray

    @property
    def entropy_production(self) -> float:
        """Mean over runs."""
        return float(self.restart_entropy_production.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of :attr:`entropy_production` over runs; NaN of a single one."""
        n_restart = len(self.restart_entropy_production)
        if n_restart < 2:
            return float("nan")
        return float(self.restart_entropy_production.std(ddof=1) / np.sqrt(n_restart))


def sample_spin_flips(
    couplings: Couplings, beta: float, n_sample: int, n_restart: int, seed: int = 0, **labels: seeds.Label
) -> SpinSample:
    """Sample a network of spins in independent runs, ``n_unit`` attempted updates apart.

    At each sample every spin gets a trial update, which is recorded and not made: all spins share the states, a bit
    each, and have as many samples.

    Parameters
    ----------
    couplings
        J (target, source), zero on the diagonal; an array or a CSR array, to the same samples.
    beta
        Inverse temperature.
    n_sample, n_restart
        Samples of all runs together, and runs. A tenth of each run's length goes before its first sample.
    seed, labels
        Each run has its own stream, from these and its number alone.

    Raises
    ------
    ModelError
        The couplings are no square matrix of finite numbers with a zero diagonal, beta is not finite, or the samples
        do not make runs of equal length.

    Examples
    --------
    >>> couplings = np.roll(np.eye(10), 1, axis=0)
    >>> sample = sample_spin_flips(couplings, 1.0, n_sample=20_000, n_restart=20)
    >>> sample.flips.n_sample, bool(0.1 < sample.entropy_production < 0.5)
    (20000, True)
    """
    couplings = couplings.toarray() if isinstance(couplings, sparse.csr_array) else np.asarray(couplings, dtype=float)
    _check(couplings, beta, n_sample, n_restart)
    n_unit, length = len(couplings), n_sample // n_restart
    edges = _edges(couplings, beta)
    states, flips = (np.zeros((n_sample, (n_unit + 7) // 8), dtype=np.uint8) for _ in range(2))
    values = np.empty(n_restart)
    for restart in range(n_restart):
        generator = seeds.generator(seed, **labels, beta=float(beta), restart=restart)
        state = generator.choice([-1.0, 1.0], n_unit)
        here = slice(restart * length, (restart + 1) * length)
        warm_up = int(np.ceil(WARM_UP * length)) * n_unit
        values[restart] = kernels.sample(*edges, state, generator, warm_up, n_unit, states[here], flips[here])
    return SpinSample(SpinFlips(states, flips, n_unit, n_restart), values / n_unit)


def _check(couplings: np.ndarray, beta: float, n_sample: int, n_restart: int) -> None:
    if couplings.ndim != 2 or couplings.shape[0] != couplings.shape[1] or not len(couplings):
        raise ModelError(f"expected couplings (target, source), a square matrix; found shape {couplings.shape}")
    if not np.isfinite(couplings).all() or not np.isfinite(beta):
        raise ModelError("couplings and beta must be finite numbers; found NaN or infinity")
    if np.diag(couplings).any():
        raise ModelError("couplings need a zero diagonal; set J_ii = 0")
    if n_restart < 1 or n_sample < n_restart or n_sample % n_restart:
        raise ModelError(f"expected n_sample to be a multiple of n_restart; found {n_sample} and {n_restart}")


def _edges(couplings: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return first edge and, by edge, target, 2 beta J and beta (J - J transposed), in order of the source."""
    either = sparse.csr_array(((couplings != 0) | (couplings.T != 0)).T)
    source, target = either.nonzero()
    first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(couplings)))])
    forward, backward = couplings[target, source], couplings[source, target]
    return first, target.astype(np.int64), 2.0 * beta * forward, beta * (forward - backward)
