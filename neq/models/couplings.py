"""Couplings to build networks of, each drawn from a generator and nothing else."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from neq.errors import ModelError


def sparse_spin_couplings(
    n_unit: int, generator: np.random.Generator, *, mean_neighbours: float = 6.0
) -> sparse.csr_array:
    """Draw asymmetric couplings J of spins (target, source): a few per spin, N(0, 1) / sqrt(mean_neighbours).

    Parameters
    ----------
    n_unit
        Number of spins.
    generator
        Decides the couplings.
    mean_neighbours
        Mean number of spins that act on one. Their number is binomial; no spin acts on itself.

    References
    ----------
    .. [1] Aguilera, Ito & Kolchinsky, arXiv:2505.10444: the network of its spin model.

    Examples
    --------
    >>> couplings = sparse_spin_couplings(1000, np.random.default_rng(0))
    >>> round(couplings.nnz / 1000), couplings.diagonal().any().item()
    (6, False)
    """
    if n_unit < 2 or not 0.0 < mean_neighbours <= n_unit - 1:
        raise ModelError(
            "expected at least 2 units and mean_neighbours above 0 and up to n_unit - 1, "
            f"got {n_unit} and {mean_neighbours}"
        )
    couplings = _random_pairs(n_unit, mean_neighbours / (n_unit - 1), generator)
    couplings.data = generator.standard_normal(couplings.nnz) / np.sqrt(mean_neighbours)
    return couplings


def spiking_network(
    n_unit: int,
    generator: np.random.Generator,
    *,
    density: float = 0.1,
    strength: float = 0.5,
    bias_mean: float = -3.2,
    bias_spread: float = 0.5,
) -> tuple[sparse.csr_array, np.ndarray]:
    """Draw couplings W (target, source) and biases (unit,) of sparsely active 0/1 units.

    Parameters
    ----------
    n_unit
        Number of units.
    generator
        Decides them.
    density, strength
        Share of the ordered pairs that are coupled, and standard deviation of their normal couplings.
    bias_mean, bias_spread
        Mean and standard deviation of the biases, normal too.

    Examples
    --------
    >>> couplings, bias = spiking_network(300, np.random.default_rng(0))
    >>> couplings.shape, round(couplings.nnz / 300**2, 2), round(bias.mean(), 1).item()
    ((300, 300), 0.1, -3.2)
    """
    if n_unit < 1 or not 0.0 <= density <= 1.0:
        raise ModelError(f"expected at least one unit and a density between 0 and 1, got {n_unit} and {density}")
    couplings = _random_pairs(n_unit, density, generator)
    couplings.data = strength * generator.standard_normal(couplings.nnz)
    return couplings, generator.normal(bias_mean, bias_spread, n_unit)


def draw_patterns(n_pattern: int, n_unit: int, generator: np.random.Generator) -> np.ndarray:
    """Draw patterns (pattern, unit) of independent spins +1 and -1.

    Examples
    --------
    >>> sorted(set(draw_patterns(3, 50, np.random.default_rng(0)).ravel().tolist()))
    [-1.0, 1.0]
    """
    return generator.choice([-1.0, 1.0], size=(n_pattern, n_unit))


def pattern_couplings(patterns: np.ndarray, *, sequence: float = 1.0, symmetric: float = 0.0) -> np.ndarray:
    r"""Return spin couplings J (target, source) that store patterns, and lead from each to the next.

    .. math:: J_{ij} = \frac1N \sum_\mu (a \, \xi^{\mu+1}_i + b \, \xi^\mu_i) \, \xi^\mu_j, \qquad J_{ii} = 0,

    where the last pattern is followed by the first. The part of strength b holds the network in a pattern [1]_; that of
    strength a moves it on and makes it irreversible [2]_.

    Parameters
    ----------
    patterns
        Patterns (pattern, unit) of +1 and -1.
    sequence, symmetric
        Strengths a and b.

    References
    ----------
    .. [1] Hopfield, "Neural networks and physical systems with emergent collective computational abilities",
       PNAS 79, 2554 (1982).
    .. [2] Sompolinsky & Kanter, "Temporal association in asymmetric neural networks", Phys. Rev. Lett. 57, 2861 (1986).

    Examples
    --------
    >>> pattern_couplings(np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])).round(2)
    array([[ 0.  ,  1.  ,  0.33],
           [-0.33,  0.  ,  0.33],
           [ 0.33,  0.33,  0.  ]])
    """
    values = np.asarray(patterns, dtype=float)
    if values.ndim != 2 or not values.size or not np.isin(values, (-1.0, 1.0)).all():
        raise ModelError(f"expected patterns (pattern, unit) of +1 and -1, got an array of shape {values.shape}")
    target = sequence * np.roll(values, -1, axis=0) + symmetric * values
    couplings: np.ndarray = target.T @ values / values.shape[1]
    np.fill_diagonal(couplings, 0.0)
    return couplings


def _random_pairs(n_unit: int, density: float, generator: np.random.Generator) -> sparse.csr_array:
    """Return ones (target, source) at ordered pairs of two units, each there with chance ``density``."""
    number = np.flatnonzero(generator.random(n_unit * (n_unit - 1)) < density)
    target, other = np.divmod(number, max(n_unit - 1, 1))
    source = other + (other >= target)
    return sparse.csr_array((np.ones(number.size), (target, source)), shape=(n_unit, n_unit))
