r"""Newton steps from theta = 0, by conjugate gradients: the covariance K of the observables is never made.

K is preconditioned with the structured covariance P of :mod:`neq.estimators.factor_covariance`: at 300 units conjugate
gradients need 24 passes over the spikes instead of 195. And K is shrunk towards P where parameters are not few beside
transitions, :math:`(1 - s) K + s P`: P comes from the same data but has about :math:`N^2` numbers instead of
:math:`N^4` [1]_. Where most of the gradient is noise a ridge weighted by the variances W of g helps as well, so that a
damped step solves :math:`((1 - s) K + s P + \lambda W) \theta = \nabla J(0)`.

References
----------
.. [1] Ledoit & Wolf, "Honey, I shrunk the sample covariance matrix", J. Portfolio Management 30, 110 (2004): shrinkage
   of a sample covariance towards a structured one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from ..errors import EstimationError
from ..observables import Observable, checked_n_parameter
from ..spikes.transitions import Transitions
from .factor_covariance import FactorCovariance, factor_covariance

DAMPING = ((1.0, 0.3), (0.7, 0.1), (0.7, 0.03), (0.7, 0.0), (0.35, 0.0), (0.1, 0.0), (0.0, 0.0))
"""Weights of P and of the variances of g that are tried one after another, from strong to weak."""


@dataclass(frozen=True, eq=False)
class StepProblem:
    r"""The linear equations of a Newton step from theta = 0 on some transitions.

    The gradient of J at 0 is :math:`\langle g \rangle - \langle g \circ R \rangle`, its Hessian minus the covariance K
    of :math:`g \circ R`.

    Parameters
    ----------
    observable, transitions
        What is measured, and on what.
    mean, reverse_mean
        Means of g and of g of the exchanged bins (observable,).
    variance
        Variance of g of the exchanged bins (observable,).
    factors
        The structured covariance P.
    ridge
        Added to the diagonal of K.
    """

    observable: Observable
    transitions: Transitions
    mean: np.ndarray
    reverse_mean: np.ndarray
    variance: np.ndarray
    factors: FactorCovariance
    ridge: float

    @property
    def gradient(self) -> np.ndarray:
        """Gradient of J at theta = 0 (observable,)."""
        return self.mean - self.reverse_mean

    @cached_property
    def weight(self) -> np.ndarray:
        """What the variable ridge is weighted with (observable,); for flow the mean, as in the path of ridges."""
        return self.variance if self.observable.odd else np.full_like(self.variance, self.variance.mean())

    def product(self, theta: np.ndarray, damping: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Return ((1 - s) K + s P + lambda W + ridge) theta (observable,), ``damping`` being (s, lambda)."""
        shrinkage, weight = damping
        product = (self.ridge + weight * self.weight) * theta
        if shrinkage < 1:
            product += (1 - shrinkage) * self.observable.covariance_product(
                self.transitions, theta, self.reverse_mean, forward=False
            )
        return product + shrinkage * self.factors.product(theta) if shrinkage else product


@dataclass(frozen=True, eq=False)
class Solution:
    """A theta (observable,) that solves a step, the iterations spent on it and whether they were enough."""

    theta: np.ndarray
    n_iteration: int
    converged: bool


def step_problem(observable: Observable, transitions: Transitions, ridge: float) -> StepProblem:
    """Measure what the equations need.

    Raises
    ------
    EstimationError
        There are fewer than 2 units, no transitions, or no observable changes its value in them.
    """
    n_parameter = checked_n_parameter(observable, transitions.n_unit)
    if not transitions.n_transition:
        raise EstimationError("there are no transitions: every stretch is shorter than the lag")
    mean = observable.mean(transitions)
    reverse_mean = -mean if observable.odd else observable.reverse_tilted(transitions, np.zeros(n_parameter))[1]
    variance = observable.variance(transitions)
    if not variance.any():
        raise EstimationError(
            f"no {observable.name} observable of the {transitions.n_unit} units varies over the transitions; "
            "choose active units or a longer recording"
        )
    # the square of g is that of the exchanged bins: spins are 1 or -1
    variance = np.maximum(variance + mean**2 - reverse_mean**2, 0.0)
    factors = factor_covariance(observable, transitions)
    return StepProblem(observable, transitions, mean, reverse_mean, variance, factors, ridge)


def solve_step(
    problem: StepProblem,
    damping: tuple[float, float] = (0.0, 0.0),
    start: np.ndarray | None = None,
    tolerance: float = 1e-8,
    max_iteration: int = 500,
) -> Solution:
    """Solve the equations of a step.

    Parameters
    ----------
    problem
        The equations.
    damping
        Weight s of the structured covariance and weight lambda of the variances.
    start
        Where to begin (observable,); zero without.
    tolerance
        Norm of the residual, relative to that of the gradient, at which to stop.
    max_iteration
        Iterations after which to give up.
    """
    n_iteration = 0

    def count(_: np.ndarray) -> None:
        nonlocal n_iteration
        n_iteration += 1

    factors = problem.factors.damped(damping[1])
    shape = (problem.mean.size, problem.mean.size)
    theta, left = cg(
        LinearOperator(shape, matvec=lambda theta: problem.product(theta.ravel(), damping), dtype=float),
        problem.gradient,
        x0=start,
        rtol=tolerance,
        maxiter=max_iteration,
        M=LinearOperator(shape, matvec=lambda residual: factors.solve(residual.ravel()), dtype=float),
        callback=count,
    )
    return Solution(theta, n_iteration, left == 0)


@dataclass(frozen=True, eq=False)
class StepFit:
    """The step that validation data like best, theta = 0 not being a candidate here.

    Parameters
    ----------
    theta
        Parameters (observable,), the length applied.
    validation
        Their validation value; may be negative.
    damping
        Weight of the structured covariance and weight of the variances in this step.
    length
        What the solution was multiplied by.
    n_iteration
        Iterations of all steps tried.
    converged
        False where one of them was given up.
    """

    theta: np.ndarray
    validation: float
    damping: tuple[float, float]
    length: float
    n_iteration: int
    converged: bool


def best_step(
    problem: StepProblem,
    validate: Callable[[np.ndarray], tuple[float, float]],
    damping: Sequence[tuple[float, float]] = DAMPING,
    tolerance: float = 1e-2,
) -> StepFit:
    """Try steps one after another, each begun at the one before, until one is no better than the one before it.

    Parameters
    ----------
    problem
        The equations.
    validate
        Returns the validation value of a theta (observable,) and the length at which it has that value.
    damping
        What to try, from strong to weak.
    tolerance
        Of the solutions.
    """
    best = StepFit(np.zeros_like(problem.mean), -np.inf, damping[0], 1.0, 0, True)
    theta, n_iteration, converged = None, 0, True
    for pair in damping:
        step = solve_step(problem, pair, theta, tolerance)
        theta, n_iteration, converged = step.theta, n_iteration + step.n_iteration, converged and step.converged
        value, length = validate(theta)
        if not value > best.validation:
            break
        best = StepFit(length * theta, value, pair, length, 0, True)
    return replace(best, n_iteration=n_iteration, converged=converged)
