r"""Entropies and energies of a fitted model beside those of independent units with the same activity [1]_.

Of both models: :math:`U = -\theta \cdot \eta` and :math:`S = \psi - \theta \cdot \eta` (nats). What the interactions
take away, :math:`S_1 - S_2`, is the Kullback-Leibler divergence of the model from the independent one.

References
----------
.. [1] Donner, Obermayer & Shimazaki, "Approximate inference for time-varying interactions and macroscopic dynamics of
   neural populations", PLoS Comput. Biol. 13, e1005309 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from neq.errors import IsingError

from .patterns import Patterns
from .state_space import StateSpaceIsingResult

Interval = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Energies:
    """What the parameters of each bin say (time,), in nats.

    Parameters
    ----------
    psi
        Log normaliser.
    U1, U2
        Energies of the independent model and of the fitted one.
    S1, S2
        Their entropies.
    S_ratio
        Share of the entropy of independent units that the interactions take away.
    dkl
        Divergence of the fitted model from the independent one.
    """

    psi: np.ndarray
    U1: np.ndarray
    U2: np.ndarray
    S1: np.ndarray
    S2: np.ndarray
    S_ratio: np.ndarray
    dkl: np.ndarray


def energies(patterns: Patterns, theta: np.ndarray) -> Energies:
    """Return entropies and energies of parameters (time, parameter).

    Examples
    --------
    >>> found = energies(Patterns(2), np.array([[-1.0, -1.0, 2.0]]))
    >>> bool(np.allclose(found.dkl, found.S1 - found.S2)), found.S_ratio.round(3).tolist()
    (True, [0.08])
    """
    eta = np.array([patterns.expectations(one) for one in theta])
    psi = np.array([patterns.log_normaliser(one) for one in theta])
    rate = eta[:, : patterns.n_unit]
    theta1, psi1 = np.log(rate / (1.0 - rate)), -np.log1p(-rate).sum(axis=1)
    energy1, energy2 = -(theta1 * rate).sum(axis=1), -(theta * eta).sum(axis=1)
    entropy1, entropy2 = psi1 + energy1, psi + energy2
    lost = entropy1 - entropy2
    return Energies(psi, energy1, energy2, entropy1, entropy2, lost / entropy1, lost)


def log_likelihoods(result: StateSpaceIsingResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the log likelihood of each bin (time,) under independent units of the fitted activity, and as fitted."""
    patterns, n_unit = result.patterns, result.patterns.n_unit
    rate, spikes = result.eta_s[:, :n_unit], result.y[:, :n_unit]
    independent = (spikes * np.log(rate) + (1.0 - spikes) * np.log1p(-rate)).sum(axis=1)
    psi = np.array([patterns.log_normaliser(one) for one in result.theta_s])
    fitted = (result.y * result.theta_s).sum(axis=1) - psi
    return result.n_trial * independent, result.n_trial * fitted


def heat_capacity(patterns: Patterns, theta: np.ndarray, beta: float = 1.0) -> np.ndarray:
    r"""Return :math:`\beta^2 \theta^\top G(\beta\theta)\, \theta` of parameters (time, parameter): (time,).

    It is the variance of the energy at the inverse temperature ``beta``.

    Examples
    --------
    >>> heat_capacity(Patterns(1, 1), np.array([[2.0]])).round(3).tolist()  # theta^2 p (1 - p)
    [0.42]
    """
    return np.array([beta**2 * one @ patterns.fisher_information(beta * one) @ one for one in theta])


def p_silence(patterns: Patterns, theta: np.ndarray) -> np.ndarray:
    """Return the probability that no unit is active (time,), of parameters (time, parameter)."""
    return np.exp([-patterns.log_normaliser(one) for one in theta])


def credible_intervals(
    result: StateSpaceIsingResult, share: float = 0.9, n_sample: int = 100, seed: int = 0
) -> dict[str, Interval]:
    """Return the lower and upper ends (time,) of what the posterior leaves of each energy.

    Parameters
    ----------
    result
        A fit.
    share
        Of the posterior inside, between 0 and 1.
    n_sample
        Parameters drawn from the posterior of each bin.
    seed
        Of the draws.

    Returns
    -------
    dict
        For the names of :class:`Energies`, ``heat_capacity`` and ``p_silence``.
    """
    if not 0.0 < share < 1.0 or n_sample < 2:
        raise IsingError(f"Expected a share between 0 and 1 and two samples or more, found {share} and {n_sample}.")
    normal = np.random.default_rng(seed).standard_normal((n_sample, *result.theta_s.shape))
    spread = np.einsum("tab,stb->sta", np.linalg.cholesky(result.sigma_s), normal)
    drawn = [_quantities(result.patterns, result.theta_s + one) for one in spread]
    tails = [(1.0 - share) / 2.0, (1.0 + share) / 2.0]
    ends = {name: np.quantile([one[name] for one in drawn], tails, axis=0) for name in drawn[0]}
    return {name: (low, high) for name, (low, high) in ends.items()}


def _quantities(patterns: Patterns, theta: np.ndarray) -> dict[str, np.ndarray]:
    found = energies(patterns, theta)
    named = {field.name: getattr(found, field.name) for field in fields(found)}
    return named | {"heat_capacity": heat_capacity(patterns, theta), "p_silence": p_silence(patterns, theta)}
