"""Parameters and spikes to try a model on: Gaussian-process parameters, exact samples, Gibbs samples.

Random numbers are drawn as the public package ``ssll`` draws them, so that a seed gives its parameters and spikes.
"""

from __future__ import annotations

import numpy as np

from neq.errors import IsingError
from neq.kernels import ising as kernels

from .patterns import Patterns, interaction_sets

JITTER = 1e-13
"""Added to the diagonal of a covariance, so that its Cholesky factor exists."""


def generate_thetas(
    n_unit: int,
    order: int,
    n_time: int,
    *,
    mu1: float = -2.0,
    sigma1: float = 50.0,
    mu2: float = 0.0,
    sigma2: float = 50.0,
    alpha: float = 12.0,
    ratio_modulated: float = 1.0,
    seed: int | None = None,
) -> np.ndarray:
    """Return parameters (time, parameter) drawn from Gaussian processes.

    Parameters
    ----------
    n_unit, order
        Of the model.
    n_time
        Bins.
    mu1, mu2
        Means of the parameters of single units, and of larger sets.
    sigma1, sigma2
        Time constants (bins) of their squared exponential kernels.
    alpha
        Inverse of the variance.
    ratio_modulated
        Share of the larger sets with a parameter; the others' are 0.
    seed
        Of numpy's default generator.

    Examples
    --------
    >>> generate_thetas(3, 2, 5, seed=1).shape
    (5, 6)
    """
    n_parameter = Patterns(n_unit, order).n_parameter
    rng, n_larger = np.random.default_rng(seed), n_parameter - n_unit
    theta = np.empty((n_time, n_parameter))
    theta[:, :n_unit] = mu1 + _factor(n_time, sigma1, alpha) @ rng.standard_normal((n_time, n_unit))
    theta[:, n_unit:] = mu2 + _factor(n_time, sigma2, alpha) @ rng.standard_normal((n_time, n_larger))
    n_silent = round((1.0 - ratio_modulated) * n_larger)
    theta[:, rng.choice(np.arange(n_unit, n_parameter), size=n_silent, replace=False)] = 0.0
    return theta


def generate_spikes(probabilities: np.ndarray, n_trial: int, seed: int | None = None) -> np.ndarray:
    """Draw words from their probabilities.

    Parameters
    ----------
    probabilities
        Of all words, in the order of :attr:`Patterns.words` (time, word).
    n_trial
        Trials.
    seed
        Of numpy's default generator.

    Returns
    -------
    ndarray
        0.0 or 1.0 (time, trial, unit).

    Examples
    --------
    >>> generate_spikes(np.array([[0.0, 0.0, 1.0, 0.0]]), n_trial=2, seed=0).tolist()
    [[[0.0, 1.0], [0.0, 1.0]]]
    """
    probabilities = np.asarray(probabilities, dtype=float)
    n_unit = int(np.log2(probabilities.shape[-1])) if probabilities.ndim == 2 else 0
    if probabilities.ndim != 2 or 1 << n_unit != probabilities.shape[1]:
        raise IsingError(
            f"Expected probabilities of 2^N words in each bin (time, word), found shape {probabilities.shape}."
        )
    rng, words = np.random.default_rng(seed), Patterns(n_unit, 1).words.astype(float)
    # a sum that ends below 1 by rounding must not point behind the last word
    edges = np.cumsum(probabilities, axis=1)[:, :-1]
    draws = [np.searchsorted(edge, rng.random(n_trial), side="left") for edge in edges]
    return np.array([words[draw] for draw in draws])


def gibbs_spikes(
    theta: np.ndarray, n_unit: int, order: int, n_trial: int, *, burn_in: int = 100, thinning: int = 1, seed: int = 0
) -> np.ndarray:
    """Draw words by sweeps over the units, for models too large for exact sums.

    Each bin is a chain of its own from silence, seeded by ``(seed, bin)``; all trials come from it.

    Parameters
    ----------
    theta
        (time, parameter)
    n_unit, order, n_trial
        Of the model, and trials of each bin.
    burn_in, thinning
        Sweeps before the first trial and from one to the next.
    seed
        See above.

    Returns
    -------
    ndarray
        0.0 or 1.0 (time, trial, unit).
    """
    theta = np.atleast_2d(np.asarray(theta, dtype=float))
    return np.array(
        [
            _chain(one, n_unit, order, n_trial, burn_in, thinning, np.random.default_rng([seed, bin]))
            for bin, one in enumerate(theta)
        ]
    )


def _chain(
    theta: np.ndarray, n_unit: int, order: int, n_trial: int, burn_in: int, thinning: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the words of one bin (trial, unit)."""
    sets = interaction_sets(n_unit, order)
    holding = [[d for d, units in enumerate(sets) if unit in units] for unit in range(n_unit)]
    first = np.cumsum([0, *map(len, holding)])
    mask = np.array([sum(1 << unit for unit in units) for units in sets], dtype=np.int64)
    n_sweep = burn_in + thinning * n_trial
    visited = np.empty(n_sweep, dtype=np.int64)
    kernels.gibbs_sweeps(theta, mask, first, np.concatenate(holding), 0, rng.random((n_sweep, n_unit)), visited)
    kept = visited[burn_in + thinning - 1 :: thinning]
    return (kept[:, None] >> np.arange(n_unit) & 1).astype(float)


def _factor(n_time: int, sigma: float, alpha: float) -> np.ndarray:
    """Return the Cholesky factor of the covariance of a Gaussian process (time, time)."""
    apart = np.subtract.outer(np.arange(n_time), np.arange(n_time))
    kernel = np.exp(-(apart**2) / (2.0 * sigma**2)) / alpha
    return np.linalg.cholesky(kernel + JITTER * np.eye(n_time))
