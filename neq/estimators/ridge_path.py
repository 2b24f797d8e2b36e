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
from .coordinates import Coordinates, metric, variance_coordinates
from .quasi_newton import QuasiNewton
from .validation import Validation, is_evidence, score_mean


@dataclass(frozen=True)
class PathOptions:
    """How the path is walked.

    Parameters
    ----------
    shrinkage
        Shrinkages of the coordinates that are tried, 0 to 1. With 1 alone a ridge is weighted by the variances of g.
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
        return self.walk(_Training(observable, transitions, coordinates, mean))[0]

    def walk(self, training: _Training) -> tuple[np.ndarray, int]:
        """Return theta (observable,) of a training objective, and the evaluations spent."""
        walk = training.walk()
        for ridge in self.ridges:
            walk.step(ridge)
        return self.length * training.coordinates.theta(walk.point), walk.n_evaluation


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

    def walk(self) -> QuasiNewton:
        """Return the optimiser at zero."""
        return QuasiNewton(self, np.zeros_like(self.coordinates.scale))


@dataclass(frozen=True, eq=False)
class _Walk:
    """A walk from strong to weak: its best candidate, its costs, and whether validation had stopped improving."""

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
    judge, mean = Validation(observable, validation, options.line_search), observable.mean(train)
    everywhere = _all_coordinates(observable, train, mean, options.shrinkage)
    walks = [
        _walk(_Training(observable, train, coordinates, mean), judge, shrinkage, options)
        for coordinates, shrinkage in zip(everywhere, options.shrinkage, strict=True)
    ]
    best = max(walks, key=lambda walk: walk.value)
    evidence = is_evidence(best.value, validation.n_transition, options.line_search)
    again = _Again(best.theta, 0, False)
    if options.refit and evidence and best.recipe:
        again = _fit_again(best, best.recipe, judge)
    return PathFit(
        theta=again.theta,
        validation=best.value,
        evidence=evidence,
        recipe=best.recipe,
        n_iteration=sum(walk.n_iteration for walk in walks),
        n_evaluation=sum(walk.n_evaluation for walk in walks) + again.n_evaluation,
        turned=all(walk.turned for walk in walks),
        refitted=again.better,
    )


def _all_coordinates(
    observable: Observable, transitions: Transitions, mean: np.ndarray, shrinkages: Sequence[float]
) -> list[Coordinates]:
    """Return the coordinates of each shrinkage; what they share is measured once."""
    if all(shrinkage == 1 for shrinkage in shrinkages):
        return [variance_coordinates(observable, transitions)] * len(shrinkages)
    measured = metric(observable, transitions, mean)
    return [measured.coordinates(shrinkage) for shrinkage in shrinkages]


def _walk(training: _Training, judge: Validation, shrinkage: float, options: PathOptions) -> _Walk:
    walk, ridges, unimproved, ridge = training.walk(), [], 0, options.first
    theta, best, recipe = np.zeros_like(training.mean), -np.inf, None
    while ridge >= options.last and unimproved < options.patience:
        unimproved += 1
        for point in walk.steps(ridge, options.max_iteration, options.tolerance):
            ridges.append(ridge)
            there = training.coordinates.theta(point)
            value, length = judge.value(there, ridge)
            if value > best:
                theta, best, recipe = length * there, value, Recipe(shrinkage, tuple(ridges), length)
                unimproved = 0
        ridge /= options.ratio
    return _Walk(training, theta, best, recipe, len(ridges), walk.n_evaluation, unimproved >= options.patience)


class _Again(NamedTuple):
    """Theta after the steps were made again, the evaluations spent, and whether it is the better one."""

    theta: np.ndarray
    n_evaluation: int
    better: bool


def _fit_again(best: _Walk, recipe: Recipe, judge: Validation) -> _Again:
    """Make the steps of the best candidate again on train and validation together."""
    training = best.training
    parts = training.train, judge.transitions
    mean = np.average([training.mean, judge.mean], axis=0, weights=[part.n_transition for part in parts])
    both = _Training(training.observable, parts[0].join(parts[1]), training.coordinates, mean)
    theta, n_evaluation = recipe.walk(both)
    now, before = (score_mean(both.observable, both.train, value, mean) for value in (theta, best.theta))
    return _Again(theta, n_evaluation, True) if now > before else _Again(best.theta, n_evaluation, False)
