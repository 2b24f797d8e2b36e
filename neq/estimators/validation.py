"""What validation data say of a theta: its value, the length they like best, and whether that is evidence."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from ..observables import Observable
from ..spikes.transitions import Transitions

CHANCE = 5.4
"""Nats by which the validation part as a whole must prefer a theta to zero. A length chosen on the noise of an odd
observable brings 2 z^2, z its score in standard deviations, and one in twenty exceeds 1.64. The best of a path is the
best of a few such draws: about one in ten recordings of noise passes."""


class Validation:
    """The validation part, and what it says of candidates."""

    def __init__(self, observable: Observable, transitions: Transitions) -> None:
        self.observable, self.transitions = observable, transitions
        self.mean = observable.mean(transitions)

    def value(self, theta: np.ndarray, longest: float | None) -> tuple[float, float]:
        """Return J of a theta (observable,), and the length at which it has that value; see :func:`best_length`."""
        return best_length(float(theta @ self.mean), self.observable.reverse_score(self.transitions, theta), longest)


def best_length(score: float, reverse_score: np.ndarray, longest: float | None) -> tuple[float, float]:
    """Return the largest J of the multiples of a theta, and the multiple; without a ``longest`` that is 1.

    ``score`` is the mean of theta.g, ``reverse_score`` theta.g of the exchanged bins (transition,). J is at most
    ln(number of transitions): n of them tell no more. Where a multiple goes beyond that, the shortest that reaches it
    is taken: where two directions of time share no transition J grows with the length for ever.
    """
    cap = float(np.log(len(reverse_score)))
    if longest is None:
        return min(_objective(1.0, score, reverse_score), cap), 1.0

    def loss(length: float) -> float:
        return -_objective(length, score, reverse_score)

    found = optimize.minimize_scalar(loss, bounds=(0.0, longest), method="bounded", options={"xatol": longest / 400})
    value, length = -float(found.fun), float(found.x)
    if value <= cap:
        return value, length
    return cap, float(optimize.brentq(lambda shorter: loss(shorter) + cap, 0.0, length, xtol=longest / 400))


def _objective(length: float, score: float, reverse_score: np.ndarray) -> float:
    top = float(reverse_score.max())
    return float(length * (score - top) - np.log(np.mean(np.exp(length * (reverse_score - top)))))


def is_evidence(value: float, n_validation: int, line_search: bool) -> bool:
    """Return whether a validation value speaks for a theta; a line search may have chosen its length there."""
    return value > (CHANCE / n_validation if line_search else 0.0)


def is_at_limit(value: float, n_validation: int) -> bool:
    """Return whether a validation value is as high as their number allows."""
    return value >= np.log(n_validation)


def score_mean(observable: Observable, transitions: Transitions, theta: np.ndarray, mean: np.ndarray) -> float:
    """Return J of theta in nats per transition, without a cap, given the mean of g (observable,) on the transitions."""
    return _objective(1.0, float(theta @ mean), observable.reverse_score(transitions, theta))
