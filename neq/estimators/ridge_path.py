r"""The path of ridge-regularised fits, from strong to weak, and the point on it that validation data like best.

Unregularised, the objective has no useful maximum once parameters outnumber what the data hold: the training value
grows while the held-out value falls without bound. So the ridge is part of the estimator. It is
:math:`\lambda \sum_a w_a \theta_a^2 / 2` with w from the variances of g (:mod:`neq.estimators.coordinates`). Each ridge
starts where the one before it ended, with what the optimiser has learned of the curvature, and every iterate is a
candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import EstimationError
from ..observables import Observable
from ..spikes.transitions import Transitions
from .coordinates import Coordinates, coordinates
from .quasi_newton import QuasiNewton


@dataclass(frozen=True)
class PathOptions:
    """How the path is walked.

    Parameters
    ----------
    first, last
        Strongest and weakest ridge, in units of the variance of g.
    ratio
        Between one ridge and the next.
    max_iteration
        Iterations of the optimiser at each ridge; a fit need not converge, the next ridge goes on from it.
    tolerance
        A step that raises the training objective by no more than this share is the last at its ridge.
    patience
        Ridges without a better validation value after which the walk ends.
    refit
        Iterations at the chosen ridge on train and validation together, from the chosen theta: what chose the ridge
        need not be lost for the fit. 0 for none; none is made where validation shows no evidence.

    Raises
    ------
    EstimationError
        A path that could not be walked: not from strong to weak, or without steps.
    """

    first: float = 1.0
    last: float = 1e-4
    ratio: float = 3.0
    max_iteration: int = 5
    tolerance: float = 1e-3
    patience: int = 2
    refit: int = 10

    def __post_init__(self) -> None:
        if not (self.first >= self.last > 0 and self.ratio > 1 and self.tolerance >= 0):
            raise EstimationError(f"a ridge path needs first >= last > 0, ratio > 1 and tolerance >= 0; found {self}")
        if min(self.max_iteration, self.patience) < 1 or self.refit < 0:
            raise EstimationError(f"a ridge path needs max_iteration and patience >= 1, refit >= 0; found {self}")


@dataclass(frozen=True)
class PathFit:
    """Where the path was best.

    Parameters
    ----------
    theta
        Parameters (observable,) with the best validation value, zero not being a candidate here, fitted once more where
        that was asked for.
    validation
        The best validation value, nats per transition; may be negative.
    ridge
        Ridge at which it was met.
    n_iteration, n_evaluation
        Iterations of the optimiser and evaluations of the training objective, over the whole path.
    turned
        True where validation had stopped improving when the walk ended, False where the path ran out first.
    refitted
        True where theta was fitted on train and validation together.
    """

    theta: np.ndarray
    validation: float
    ridge: float
    n_iteration: int
    n_evaluation: int
    turned: bool
    refitted: bool


class _Training:
    """Minus the training objective, in the coordinates of the ridge."""

    def __init__(self, observable: Observable, train: Transitions, there: Coordinates, mean: np.ndarray) -> None:
        self.observable, self.train, self.coordinates, self.mean = observable, train, there, mean

    @classmethod
    def of(cls, observable: Observable, train: Transitions) -> _Training:
        """Return it in coordinates that suit these transitions."""
        return cls(observable, train, coordinates(observable, train), observable.mean(train))

    def __call__(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient (coordinate,) at y (coordinate,)."""
        theta = self.coordinates.theta(y)
        log_normaliser, reverse_mean = self.observable.reverse_tilted(self.train, theta)
        return log_normaliser - float(theta @ self.mean), self.coordinates.gradient(reverse_mean - self.mean)


class _Candidates:
    """The best on validation data of the points that it was shown."""

    def __init__(self, observable: Observable, validation: Transitions) -> None:
        self.observable, self.validation = observable, validation
        self.mean = observable.mean(validation)
        self.theta, self.value, self.ridge = np.zeros_like(self.mean), -np.inf, np.nan

    def show(self, theta: np.ndarray, ridge: float) -> None:
        """Score one candidate and keep it if it is the best."""
        value = score_mean(self.observable, self.validation, theta, self.mean)
        if value > self.value:
            self.theta, self.value, self.ridge = theta, value, ridge


def fit_path(
    observable: Observable, train: Transitions, validation: Transitions, options: PathOptions | None = None
) -> PathFit:
    """Walk the ridge path on ``train`` and choose on ``validation``.

    Raises
    ------
    EstimationError
        No observable varies over the training transitions.
    """
    options = options or PathOptions()
    training, candidates = _Training.of(observable, train), _Candidates(observable, validation)
    walk = QuasiNewton(training, np.zeros_like(training.coordinates.scale))
    ridge, unimproved, n_iteration = options.first, 0, 0
    while ridge >= options.last and unimproved < options.patience:
        before = candidates.value
        for point in walk.steps(ridge, options.max_iteration, options.tolerance):
            candidates.show(training.coordinates.theta(point), ridge)
            n_iteration += 1
        unimproved = 0 if candidates.value > before else unimproved + 1
        ridge /= options.ratio
    theta, n_evaluation = candidates.theta, walk.n_evaluation
    refitted = options.refit > 0 and candidates.value > 0
    if refitted:
        both = _both(training, candidates)
        again = _converge(both, candidates.ridge, options.refit, theta)
        theta, n_evaluation = both.coordinates.theta(again.point), n_evaluation + again.n_evaluation
    turned = unimproved >= options.patience
    return PathFit(theta, candidates.value, candidates.ridge, n_iteration, n_evaluation, turned, refitted)


def fit_ridge(
    observable: Observable, train: Transitions, ridge: float, max_iteration: int = 50, start: np.ndarray | None = None
) -> np.ndarray:
    """Return theta (observable,) of one ridge on all of ``train``: no validation part chooses it.

    With ``ridge`` 0 it is the unregularised maximum, as far as ``max_iteration`` steps go from ``start`` (zero).
    """
    training = _Training.of(observable, train)
    return training.coordinates.theta(_converge(training, ridge, max_iteration, start).point)


def _both(training: _Training, candidates: _Candidates) -> _Training:
    """Return the objective of train and validation together, in the coordinates of the path."""
    parts = training.train, candidates.validation
    mean = np.average([training.mean, candidates.mean], axis=0, weights=[part.n_transition for part in parts])
    return _Training(training.observable, parts[0].join(parts[1]), training.coordinates, mean)


def _converge(training: _Training, ridge: float, max_iteration: int, start: np.ndarray | None) -> QuasiNewton:
    """Walk from theta ``start`` (observable,), or zero, at one ridge."""
    there = training.coordinates
    walk = QuasiNewton(training, np.zeros_like(there.scale) if start is None else there.y(start))
    for _ in walk.steps(ridge, max_iteration):
        pass
    return walk


def score_mean(observable: Observable, transitions: Transitions, theta: np.ndarray, mean: np.ndarray) -> float:
    """Return J of theta in nats per transition, given the mean of g (observable,) on the same transitions."""
    reverse = observable.reverse_score(transitions, theta)
    top = reverse.max()
    return float(theta @ mean - top - np.log(np.mean(np.exp(reverse - top))))
