"""What validation data say of a theta: its value, the length they like best, and whether that is evidence."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from ..observables import Observable
from ..spikes.transitions import Transitions

CHANCE = 5.4
"""Nats by which the validation part as a whole must prefer a theta to zero. A length chosen on the noise of an odd
observable brings 2 z^2, z its score in standard deviations; one in twenty exceeds 1.64."""


class Validation:
    """The validation part, and what it says of candidates."""

    def __init__(self, observable: Observable, transitions: Transitions, line_search: bool) -> None:
        self.observable, self.transitions, self.line_search = observable, transitions, line_search
        self.mean = observable.mean(transitions)

    def value(self, theta: np.ndarray, ridge: float) -> tuple[float, float]:
        """Return J of a theta (observable,) and the length at which it has that value."""
        # a ridge lambda makes a step shorter by about 1 + lambda
        longest = 2 * (1 + ridge) if self.line_search else None
        return best_length(float(theta @ self.mean), self.observable.reverse_score(self.transitions, theta), longest)


def best_length(score: float, reverse_score: np.ndarray, longest: float | None) -> tuple[float, float]:
    """Return the largest J of the multiples of a theta, and the multiple; without a ``longest`` that is 1.

    ``score`` is the mean of theta.g, ``reverse_score`` theta.g of the exchanged bins (transition,).
    """
    top = float(reverse_score.max())

    def loss(length: float) -> float:
        return float(length * (top - score) + np.log(np.mean(np.exp(length * (reverse_score - top)))))

    if longest is None:
        return -loss(1.0), 1.0
    found = optimize.minimize_scalar(loss, bounds=(0.0, longest), method="bounded", options={"xatol": longest / 400})
    return -float(found.fun), float(found.x)


def is_evidence(value: float, n_validation: int, line_search: bool) -> bool:
    """Return whether a validation value speaks for a theta; a line search may have chosen its length there."""
    return value > (CHANCE / n_validation if line_search else 0.0)


def score_mean(observable: Observable, transitions: Transitions, theta: np.ndarray, mean: np.ndarray) -> float:
    """Return J of theta in nats per transition, given the mean of g (observable,) on the same transitions."""
    return best_length(float(theta @ mean), observable.reverse_score(transitions, theta), None)[0]
