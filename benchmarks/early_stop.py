"""Early stopping alone: gradient steps of Barzilai and Borwein, the published rule, without a ridge.

The rule that MaxEnt is compared with. The first step is 1 / N long, later ones |dtheta.dg / dg.dg|; the iterate with
the best validation value is kept, and after ``PATIENCE`` iterates without a better one the fit ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neq.estimators.validation import score_mean
from neq.spikes.transitions import Transitions

PATIENCE = 10


class Stopped(NamedTuple):
    """The best iterate (observable,), and how many gradients were evaluated."""

    theta: np.ndarray
    n_evaluation: int


def early_stop(observable: Any, train: Transitions, validation: Transitions) -> Stopped:
    """Fit on ``train`` and stop by ``validation``; the observable may be any with the calls of the sparse one."""
    mean, mean_validation = observable.mean(train), observable.mean(validation)
    theta = best = np.zeros_like(mean)
    before = gradient_before = None
    best_value, unimproved, n_evaluation = -np.inf, 0, 0
    while unimproved < PATIENCE:
        gradient = mean - observable.reverse_tilted(train, theta)[1]
        n_evaluation += 1
        length = 1 / train.n_unit
        if before is not None:
            change = gradient - gradient_before
            length = abs((theta - before) @ change / (change @ change))
        before, gradient_before = theta, gradient
        theta = theta + length * gradient
        value = score_mean(observable, validation, theta, mean_validation)
        unimproved = 0 if value > best_value else unimproved + 1
        if value > best_value:
            best, best_value = theta, value
    return Stopped(best, n_evaluation)
