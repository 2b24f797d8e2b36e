r"""Products with the inverse covariance K of the observables, by conjugate gradients, never making K.

With the change :math:`\Delta = x' - x` of a transition and its mid-point :math:`y = (x + x') / 2` both observables are
products of two spins: :math:`\theta \cdot g = \Delta^T A y` for the antisymmetric one (A antisymmetric), and minus
:math:`\Delta^T A x'` for the exchanged bins of flow. Were the two factors independent, K would be

.. math:: P: A \mapsto V A Y + Y A V \quad \text{or} \quad A \mapsto V A M

with :math:`V = \langle \Delta \Delta^T \rangle`, :math:`Y = \langle y y^T \rangle`,
:math:`M = \langle x' x'^T \rangle`: (unit, unit) matrices, so that P is inverted for the price of four products of such
matrices. P serves twice. As a preconditioner it holds the sums over units and the correlated firing that make K hard: at
300 units conjugate gradients need 24 passes over the spikes instead of 195. And it is what the sample covariance is
shrunk towards where parameters outnumber what the data hold, :math:`(1 - s) K + s P`: it is estimated from the same data
but has :math:`N^2` numbers instead of :math:`N^4` [1]_.

References
----------
.. [1] Ledoit & Wolf, "Honey, I shrunk the sample covariance matrix", J. Portfolio Management 30, 110 (2004): shrinkage
   of a sample covariance towards a structured one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, cg

from ..errors import EstimationError
from ..observables import Observable
from ..spikes.transitions import Transitions

SHRINKAGES = (1.0, 0.85, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05, 0.0)
"""Weights of P tried one after another; with 1 the step needs no pass over the spikes, with 0 it is the published one."""
PATIENCE = 2
"""Shrinkages without a better validation value after which no weaker one is tried."""
LOADING = 1e-4
"""Added to the diagonals of V, Y and M: constant and duplicate units would make P singular."""
MOMENT_PRODUCTS = 3e9
"""Multiplications spent on one of the second moments; they need not be exact, so long recordings are thinned for them."""


@dataclass(frozen=True, eq=False)
class FactorCovariance:
    """The covariance P of g were the two factors of g independent.

    Parameters
    ----------
    observable, n_unit
        Whose covariance it is.
    change
        Second moment V of the change (unit, unit).
    state
        Second moment of the other factor (unit, unit): Y of the mid-point, or M of the later bin for flow.
    """

    observable: Observable
    n_unit: int
    change: np.ndarray
    state: np.ndarray

    @cached_property
    def _basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Return e (unit,) and U (unit, unit) with V U = Y U diag(e) and U' Y U = 1: both factors are diagonal in U."""
        eigenvalue, basis = linalg.eigh(self.change, self.state)
        return eigenvalue, basis

    def product(self, theta: np.ndarray) -> np.ndarray:
        """Return P theta (observable,)."""
        product = self.change @ self.observable.matrix(theta, self.n_unit) @ self.state
        return self.observable.vector(product - product.T if self.observable.odd else product)

    def solve(self, vector: np.ndarray) -> np.ndarray:
        """Return P^-1 of a vector (observable,)."""
        eigenvalue, basis = self._basis
        divisor = eigenvalue[:, None] + (eigenvalue[None, :] if self.observable.odd else 0.0)
        inside = basis.T @ self.observable.matrix(vector, self.n_unit) @ basis
        return self.observable.vector(basis @ (inside / divisor) @ basis.T)


def factor_covariance(observable: Observable, transitions: Transitions) -> FactorCovariance:
    """Measure V and Y (or M) on transitions, evenly thinned where there are very many."""
    n_unit, n_transition = transitions.n_unit, transitions.n_transition
    n_used = int(np.clip(MOMENT_PRODUCTS / n_unit**2, min(10 * n_unit, n_transition), n_transition))
    used = np.linspace(0, n_transition - 1, n_used).astype(np.int64)
    lists = (np.ones(len(transitions.unit), np.float32), transitions.unit, transitions.row_start)
    active = sparse.csr_array(lists, shape=(len(transitions.row_start) - 1, n_unit))
    later, earlier = (2 * active[bins[used]].toarray() - 1 for bins in (transitions.later, transitions.earlier))
    change, state = later - earlier, (later + earlier) / 2 if observable.odd else later
    moments = (loaded.astype(float) / n_used + LOADING * np.eye(n_unit) for loaded in (change.T @ change, state.T @ state))
    return FactorCovariance(observable, n_unit, *moments)


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
    factors
        The structured covariance P.
    ridge
        Added to the diagonal of K.
    """

    observable: Observable
    transitions: Transitions
    mean: np.ndarray
    reverse_mean: np.ndarray
    factors: FactorCovariance
    ridge: float

    @property
    def gradient(self) -> np.ndarray:
        """Gradient of J at theta = 0 (observable,)."""
        return self.mean - self.reverse_mean

    def product(self, theta: np.ndarray, shrinkage: float = 0.0) -> np.ndarray:
        """Return ((1 - s)(K + ridge) + s P) theta (observable,)."""
        if shrinkage == 1.0:
            return self.factors.product(theta)
        exact = self.observable.covariance_product(self.transitions, theta, self.reverse_mean, forward=False)
        exact += self.ridge * theta
        return (1 - shrinkage) * exact + shrinkage * self.factors.product(theta) if shrinkage else exact


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
    n_parameter = observable.n_parameter(transitions.n_unit)
    if not n_parameter:
        raise EstimationError(f"the {observable.name} observable needs 2 units or more; found {transitions.n_unit}")
    if not transitions.n_transition:
        raise EstimationError("there are no transitions: every stretch is shorter than the lag")
    mean = observable.mean(transitions)
    reverse_mean = -mean if observable.odd else observable.reverse_tilted(transitions, np.zeros(n_parameter))[1]
    if not (mean - reverse_mean).any() and not observable.variance(transitions).any():
        raise EstimationError(
            f"no {observable.name} observable of the {transitions.n_unit} units varies over the transitions; "
            "choose active units or a longer recording"
        )
    factors = factor_covariance(observable, transitions)
    return StepProblem(observable, transitions, mean, reverse_mean, factors, ridge)


def solve_step(
    problem: StepProblem,
    shrinkage: float = 0.0,
    start: np.ndarray | None = None,
    tolerance: float = 1e-8,
    max_iteration: int = 500,
) -> Solution:
    """Solve the equations of a step.

    Parameters
    ----------
    problem
        The equations.
    shrinkage
        Weight s of the structured covariance.
    start
        Where to begin (observable,); zero without.
    tolerance
        Norm of the residual, relative to that of the gradient, at which to stop.
    max_iteration
        Iterations after which to give up.
    """
    if shrinkage == 1.0:
        return Solution(problem.factors.solve(problem.gradient), 0, True)
    n_iteration = 0

    def count(_: np.ndarray) -> None:
        nonlocal n_iteration
        n_iteration += 1

    shape = (problem.mean.size, problem.mean.size)
    theta, left = cg(
        LinearOperator(shape, matvec=lambda theta: problem.product(theta.ravel(), shrinkage), dtype=float),
        problem.gradient,
        x0=start,
        rtol=tolerance,
        maxiter=max_iteration,
        M=LinearOperator(shape, matvec=lambda residual: problem.factors.solve(residual.ravel()), dtype=float),
        callback=count,
    )
    return Solution(theta, n_iteration, left == 0)


@dataclass(frozen=True, eq=False)
class StepFit:
    """The step that validation data like best, theta = 0 not being a candidate here.

    Parameters
    ----------
    theta
        Parameters (observable,).
    validation
        Their validation value; may be negative.
    shrinkage
        Weight of the structured covariance in this step.
    n_iteration
        Iterations of all steps tried.
    converged
        False where one of them was given up.
    """

    theta: np.ndarray
    validation: float
    shrinkage: float
    n_iteration: int
    converged: bool


def best_step(problem: StepProblem, validate: Callable[[np.ndarray], float], tolerance: float = 1e-3) -> StepFit:
    """Try steps from strong to weak shrinkage, each begun at the one before, and keep the best by ``validate``."""
    best = StepFit(np.zeros_like(problem.mean), -np.inf, np.nan, 0, True)
    theta, n_iteration, converged, unimproved = None, 0, True, 0
    for shrinkage in SHRINKAGES:
        step = solve_step(problem, shrinkage, theta, tolerance)
        theta = step.theta
        n_iteration, converged = n_iteration + step.n_iteration, converged and step.converged
        value, unimproved = validate(theta), unimproved + 1
        if value > best.validation:
            best, unimproved = StepFit(theta, value, shrinkage, 0, True), 0
        if unimproved == PATIENCE:
            break
    return StepFit(best.theta, best.validation, best.shrinkage, n_iteration, converged)
