"""Exact values of small networks of 0/1 units, from all their states; bit i of a state's number is unit i."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import linalg, special

from neq.errors import ModelError

MAX_ENUMERATED = 12
"""Largest module whose states are enumerated: the matrix of 4096 x 4096 transitions takes 134 MB."""


def all_states(n_unit: int) -> np.ndarray:
    """Return all states (state, unit) as 0.0 and 1.0.

    Raises
    ------
    ModelError
        There are more than 12 units.

    Examples
    --------
    >>> all_states(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    if n_unit > MAX_ENUMERATED:
        raise ModelError(
            f"a module of {n_unit} units has too many states to enumerate (at most {MAX_ENUMERATED} units); "
            "use sample_entropy_production"
        )
    return ((np.arange(2**n_unit)[:, np.newaxis] >> np.arange(n_unit)) & 1).astype(float)


def log_transition(couplings: np.ndarray, bias: np.ndarray, *, one_at_a_time: bool) -> np.ndarray:
    """Return ln P(later | earlier) as (earlier, later) over all states.

    Parameters
    ----------
    couplings
        (target, source).
    bias
        (unit,).
    one_at_a_time
        Whether a step is the attempted update of one random unit, instead of an update of all.

    Examples
    --------
    >>> np.exp(log_transition(np.zeros((1, 1)), np.zeros(1), one_at_a_time=False))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    n_unit = bias.size
    states = all_states(n_unit)
    field = states @ couplings.T + bias
    if not one_at_a_time:
        joint: np.ndarray = field @ states.T - np.logaddexp(0.0, field).sum(axis=1, keepdims=True)
        return joint
    flip = special.expit(np.where(states == 0, field, -field)) / n_unit
    number = np.arange(len(states))
    probability = np.diag(1.0 - flip.sum(axis=1))
    for unit in range(n_unit):
        probability[number, number ^ (1 << unit)] = flip[:, unit]
    with np.errstate(divide="ignore"):
        return np.log(probability)


def stationary(transition: np.ndarray) -> np.ndarray:
    """Return the stationary probability (state,) of transition probabilities (earlier, later).

    Raises
    ------
    ModelError
        Some states are left so seldom that, to the precision of a number, there is more than one stationary law.

    Examples
    --------
    >>> stationary(np.array([[0.5, 0.5], [0.25, 0.75]])).round(3)
    array([0.333, 0.667])
    """
    system = transition.T.copy()
    system[np.diag_indices_from(system)] -= 1.0
    system[-1] = 1.0
    norm = np.zeros(len(system))
    norm[-1] = 1.0
    probability = _solve(system, norm).clip(min=0.0)
    return probability / probability.sum()


def _solve(system: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Solve a linear system, or raise ModelError where rounding leaves nothing of its solution."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", linalg.LinAlgWarning)
        try:
            solution: np.ndarray = linalg.solve(system, target, assume_a="gen")
        except (linalg.LinAlgError, linalg.LinAlgWarning) as error:
            raise ModelError(
                "expected a network that leaves each of its states, found some that are left with a chance near 1e-16 "
                "or below: its stationary law cannot be told; use weaker couplings, or sample_entropy_production"
            ) from error
    return solution


def mean_dissipation(probability: np.ndarray, couplings: np.ndarray, bias: np.ndarray) -> float:
    """Return the mean of sum_i P(s'_i = 1 | s) sum_j A_ij s_j over states of ``probability`` (state,).

    A is the antisymmetric part of the couplings (target, source).

    Examples
    --------
    >>> couplings = np.array([[0.0, 0.0], [2.0, 0.0]])
    >>> round(mean_dissipation(np.full(4, 0.25), couplings, bias=np.zeros(2)), 4)
    0.1904
    """
    states = all_states(bias.size)
    active = special.expit(states @ couplings.T + bias)
    return float(probability @ (active * (states @ (couplings - couplings.T).T / 2)).sum(axis=1))
