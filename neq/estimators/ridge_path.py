r"""The path of ridge-regularised fits, from strong to weak, and the point on it that validation data like best.

Unregularised, the objective has no useful maximum once parameters outnumber what the data hold: the training value
grows while the held-out value falls without bound. So the ridge is part of the estimator. It is
:math:`\lambda |y|^2 / 2` in the coordinates of :mod:`neq.estimators.coordinates`, in which the objective is nearly a
paraboloid: one quasi-Newton step at each ridge is enough, begun where the one before it ended and with what the
optimiser has learned of the curvature. A strong ridge makes theta short as well as smooth, so every iterate is a
candidate at the length that validation data like best.

The walk is made once for each shrinkage of the coordinates, and the best candidate of all is taken. Then the same steps
are made again on train and validation together: what chose the ridge need not be lost for the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import EstimationError
from ..observables import Observable
from ..spikes.transitions import Transitions
from .coordinates import Coordinates, measure_metric, variance_coordinates
from .quasi_newton import QuasiNewton
from .validation import Validation, is_at_limit, is_evidence, score_mean


@dataclass(frozen=True)
class PathOptions:
    """How the path is walked.

    Parameters
    ----------
    shrinkage
        Shrinkages of the coordinates that are tried, above 0 and up to 1. Without effect on observables of other orders
        than pairs: give one.
    first, last
        Strongest and weakest ridge.
    ratio
        Between one ridge and the next.
    max_iteration
        Iterations of the optimiser at each ridge; a fit need not converge, the next ridge goes on from it.
    tolerance
        A step that raises the training objective by no more than this share is the last at its ridge.
    patience
        Ridges without a better validation value after which a walk ends.
    line_search
        Choose the length of every candidate on validation data; without it the length is 1.
    refit
        Make the steps of the chosen candidate again on train and validation together. This is not done where validation
        shows no evidence, and not kept where it does not raise the objective on both.

    Raises
    ------
    EstimationError
        A path that could not be walked: not from strong to weak, or without steps.
    """

    shrinkage: tuple[float, ...] = (0.1, 0.6)
    first: float = 10.0
    last: float = 1e-4
    ratio: float = 3.0
    max_iteration: int = 1
    tolerance: float = 1e-3
    patience: int = 2
    line_search: bool = True
    refit: bool = True

    def __post_init__(self) -> None:
        if not (self.first >= self.last > 0 and self.ratio > 1 and self.tolerance >= 0):
            raise EstimationError(f"a ridge path needs first >= last > 0, ratio > 1 and tolerance >= 0; found {self}")
        if min(self.max_iteration, self.patience) < 1:
            raise EstimationError(f"a ridge path needs max_iteration and patience >= 1; found {self}")
        if not self.shrinkage or not all(0 < shrinkage <= 1 for shrinkage in self.shrinkage):
            raise EstimationError(f"a ridge path needs shrinkages above 0 and up to 1; found {self}")


@dataclass(frozen=True)
class Recipe:
    """How a theta was come by, so that it can be made again from other transitions.

    Parameters
    ----------
    shrinkage
        Of the coordinates.
    ridges
        The ridge of every step (iteration,).
    length
        What the last iterate was multiplied by.
    """

    shrinkage: float
    ridges: tuple[float, ...]
    length: float

    def make(self, observable: Observable, transitions: Transitions) -> np.ndarray:
        """Return theta (observable,) of these transitions."""
        mean = observable.mean(transitions)
        coordinates = _all_coordinates(observable, transitions, mean, (self.shrinkage,))[0]
        return self.replay(_Training(observable, transitions, coordinates, mean))[0]

    def replay(self, training: _Training) -> tuple[np.ndarray, int]:
        """Make the steps on a training objective; return theta (observable,) and the evaluations spent."""
        optimiser = training.optimiser()
        for ridge in self.ridges:
            optimiser.step(ridge)
        return self.length * training.coordinates.theta(optimiser.point), optimiser.n_evaluation


@dataclass(frozen=True, eq=False)
class PathFit:
    """Where the path was best.

    Parameters
    ----------
    theta
        Parameters (observable,) with the best validation value, zero not being a candidate here, fitted once more where
        that was asked for.
    validation
        The best validation value, nats per transition; may be negative.
    evidence
        True where validation data prefer theta to zero by more than a length chosen on noise would bring.
    at_limit
        True where the validation value is as high as the number of validation transitions allows.
    recipe
        How theta was come by; None where nothing could be fitted.
    n_iteration, n_evaluation
        Iterations of the optimiser and evaluations of the training objective, in all.
    turned
        True where validation had stopped improving when each walk ended, False where a path ran out first.
    refitted
        True where theta was fitted on train and validation together.
    """

    theta: np.ndarray
    validation: float
    evidence: bool
    at_limit: bool
    recipe: Recipe | None
    n_iteration: int
    n_evaluation: int
    turned: bool
    refitted: bool

    @property
    def ridge(self) -> float:
        """The chosen ridge; NaN where nothing could be fitted."""
        return self.recipe.ridges[-1] if self.recipe else np.nan


@dataclass(frozen=True, eq=False)
class _Training:
    """Minus the training objective, in the coordinates of the ridge."""

    observable: Observable
    train: Transitions
    coordinates: Coordinates
    mean: np.ndarray

    def __call__(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient (coordinate,) at y (coordinate,)."""
        theta = self.coordinates.theta(y)
        log_normaliser, reverse_mean = self.observable.reverse_tilted(self.train, theta)
        return log_normaliser - float(theta @ self.mean), self.coordinates.gradient(reverse_mean - self.mean)

    def optimiser(self) -> QuasiNewton:
        """Return the optimiser at zero."""
        return QuasiNewton(self, np.zeros_like(self.coordinates.scale))


@dataclass(frozen=True, eq=False)
class _Path:
    """A path that was walked: its best candidate, its costs, and whether validation had stopped improving."""

    training: _Training
    theta: np.ndarray
    value: float
    recipe: Recipe | None
    n_iteration: int
    n_evaluation: int
    turned: bool


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
    judge, mean = Validation(observable, validation), observable.mean(train)
    all_coordinates = _all_coordinates(observable, train, mean, options.shrinkage)
    paths = [
        _walk(_Training(observable, train, coordinates, mean), judge, shrinkage, options)
        for coordinates, shrinkage in zip(all_coordinates, options.shrinkage, strict=True)
    ]
    best = max(paths, key=lambda path: path.value)
    evidence = is_evidence(best.value, validation.n_transition, options.line_search)
    refit = _Refit(best.theta, 0, False)
    if options.refit and evidence and best.recipe:
        refit = _fit_again(best, best.recipe, judge)
    return PathFit(
        theta=refit.theta,
        validation=best.value,
        evidence=evidence,
        at_limit=is_at_limit(best.value, validation.n_transition),
        recipe=best.recipe,
        n_iteration=sum(path.n_iteration for path in paths),
        n_evaluation=sum(path.n_evaluation for path in paths) + refit.n_evaluation,
        turned=all(path.turned for path in paths),
        refitted=refit.kept,
    )


def _all_coordinates(
    observable: Observable, transitions: Transitions, mean: np.ndarray, shrinkages: Sequence[float]
) -> list[Coordinates]:
    """Return the coordinates of each shrinkage; what they share is measured once.

    Observables of other orders than pairs have no structured covariance: theirs are those of the variances.
    """
    if not isinstance(observable, Observable):
        return [variance_coordinates(observable, transitions)] * len(shrinkages)
    metric = measure_metric(observable, transitions, mean)
    return [metric.coordinates(shrinkage) for shrinkage in shrinkages]


def _walk(training: _Training, judge: Validation, shrinkage: float, options: PathOptions) -> _Path:
    optimiser, ridges, unimproved, ridge = training.optimiser(), [], 0, options.first
    best_theta, best, recipe = np.zeros_like(training.mean), -np.inf, None
    while ridge >= options.last and unimproved < options.patience:
        unimproved += 1
        # a ridge lambda makes a step shorter by about 1 + lambda
        longest = 2 * (1 + ridge) if options.line_search else None
        for point in optimiser.steps(ridge, options.max_iteration, options.tolerance):
            ridges.append(ridge)
            theta = training.coordinates.theta(point)
            value, length = judge.value(theta, longest)
            if value > best:
                best_theta, best, recipe = length * theta, value, Recipe(shrinkage, tuple(ridges), length)
                unimproved = 0
        ridge /= options.ratio
    turned = unimproved >= options.patience
    return _Path(training, best_theta, best, recipe, len(ridges), optimiser.n_evaluation, turned)


class _Refit(NamedTuple):
    """Theta after the steps were made again, the evaluations spent, and whether it is another one than before."""

    theta: np.ndarray
    n_evaluation: int
    kept: bool


def _fit_again(best: _Path, recipe: Recipe, judge: Validation) -> _Refit:
    """Make the steps of the best candidate again on train and validation together; keep it if J there is higher."""
    training = best.training
    parts = training.train, judge.transitions
    mean = np.average([training.mean, judge.mean], axis=0, weights=[part.n_transition for part in parts])
    both = _Training(training.observable, parts[0].join(parts[1]), training.coordinates, mean)
    theta, n_evaluation = recipe.replay(both)
    now, before = (score_mean(both.observable, both.train, one, mean) for one in (theta, best.theta))
    return _Refit(theta, n_evaluation, True) if now > before else _Refit(best.theta, n_evaluation, False)
