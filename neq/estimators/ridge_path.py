r"""The path of ridge-regularised fits, from strong to weak, and the point on it that validation data like best.

Unregularised, the objective has no useful maximum once parameters outnumber what the data hold: the training value
grows while the held-out value falls without bound. So the ridge is part of the estimator. It is
:math:`\lambda \sum_{ij} w_{ij} \theta_{ij}^2 / 2`; :math:`\sqrt{w_{ij}}\,\theta_{ij}` are
its variables. Each fit starts where the one before it ended, and every iterate is a candidate.

For the antisymmetric observable :math:`w_{ij} = \mathrm{Var}(g_{ij})`: pairs are held back equally in units of their
own noise. The entries of one row of the flow observable, :math:`(x'_i - x_i) x_j`, nearly repeat each other while
units are mostly silent, so their variances say little about the noise of any one of them; there w is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ..errors import EstimationError
from ..observables import Observable
from ..spikes.transitions import Transitions


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
    patience
        Ridges without a better validation value after which the walk ends.
    """

    first: float = 1.0
    last: float = 1e-4
    ratio: float = 2.0
    max_iteration: int = 5
    patience: int = 3


@dataclass(frozen=True)
class PathFit:
    """Where the path was best.

    Parameters
    ----------
    theta
        Parameters (observable,) with the best validation value, zero not being a candidate here.
    validation
        That value, nats per transition; may be negative.
    ridge
        Ridge at which it was met.
    n_iteration, n_evaluation
        Iterations of the optimiser and evaluations of the training objective, over the whole path.
    turned
        True where validation had stopped improving when the walk ended, False where the path ran out first.
    """

    theta: np.ndarray
    validation: float
    ridge: float
    n_iteration: int
    n_evaluation: int
    turned: bool


class _Walk:
    """One walk along the path: the training problem at the present ridge, and the best candidate so far."""

    def __init__(self, observable: Observable, train: Transitions, validation: Transitions, scale: np.ndarray) -> None:
        self.observable, self.train, self.validation, self.scale = observable, train, validation, scale
        self.mean = observable.mean(train)
        self.mean_validation = observable.mean(validation)
        self.ridge = np.nan
        self.best_theta, self.best_validation, self.best_ridge = np.zeros_like(scale), -np.inf, np.nan
        self.n_evaluation = 0
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None

    def loss(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the regularised training objective, and its gradient, in scaled parameters y (observable,)."""
        value, gradient = self._objective(y)
        return self.ridge / 2 * float(y @ y) - value, self.ridge * y - gradient

    def _objective(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the training objective and its gradient; the point asked for last is remembered.

        The next ridge starts where the one before it ended: only its ridge is new, not its objective.
        """
        if self._last is None or not np.array_equal(self._last[0], y):
            theta = y * self.scale
            log_normaliser, reverse_mean = self.observable.reverse_tilted(self.train, theta)
            value = float(theta @ self.mean - log_normaliser)
            self._last = y.copy(), value, (self.mean - reverse_mean) * self.scale
            self.n_evaluation += 1
        return self._last[1], self._last[2]

    def keep(self, y: np.ndarray) -> None:
        """Score one iterate on validation data and remember it if it is the best."""
        theta = y * self.scale
        value = score_mean(self.observable, self.validation, theta, self.mean_validation)
        if value > self.best_validation:
            self.best_theta, self.best_validation, self.best_ridge = theta, value, self.ridge


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
    walk = _Walk(observable, train, validation, _scale(observable, train))
    y = np.zeros_like(walk.scale)
    walk.ridge, unimproved, n_iteration = options.first, 0, 0
    while walk.ridge >= options.last and unimproved < options.patience:
        before = walk.best_validation
        fit = optimize.minimize(
            walk.loss, y, jac=True, method="L-BFGS-B", callback=walk.keep, options={"maxiter": options.max_iteration}
        )
        y = fit.x
        n_iteration += fit.nit
        unimproved = 0 if walk.best_validation > before else unimproved + 1
        walk.ridge /= options.ratio
    turned = unimproved >= options.patience
    best = walk.best_theta, walk.best_validation, walk.best_ridge
    return PathFit(*best, n_iteration, walk.n_evaluation, turned)


def fit_ridge(
    observable: Observable, train: Transitions, ridge: float, max_iteration: int = 50, start: np.ndarray | None = None
) -> np.ndarray:
    """Return theta (observable,) of one ridge on all of ``train``: no validation part chooses it.

    With ``ridge`` 0 it is the unregularised maximum, as far as ``max_iteration`` goes from ``start`` (zero).
    """
    scale = _scale(observable, train)
    walk = _Walk(observable, train, train, scale)
    walk.ridge = ridge
    y = np.zeros_like(scale) if start is None else np.divide(start, scale, out=np.zeros_like(scale), where=scale > 0)
    fit = optimize.minimize(walk.loss, y, jac=True, method="L-BFGS-B", options={"maxiter": max_iteration})
    return fit.x * scale


def _scale(observable: Observable, train: Transitions) -> np.ndarray:
    """Return 1 / sqrt(w) of every observable (observable,), 0 where g never varies: its parameter stays 0."""
    variance = observable.variance(train)
    varies = variance > 0
    if not varies.any():
        raise EstimationError(
            f"no {observable.name} observable of the {train.n_unit} units varies over the training transitions; "
            "choose active units or a longer recording"
        )
    weight = variance if observable.odd else np.where(varies, variance[varies].mean(), 0.0)
    scale = np.zeros_like(weight)
    scale[varies] = 1 / np.sqrt(weight[varies])
    return scale


def score_mean(observable: Observable, transitions: Transitions, theta: np.ndarray, mean: np.ndarray) -> float:
    """Return J of theta in nats per transition, given the mean of g (observable,) on the same transitions."""
    reverse = observable.reverse_score(transitions, theta)
    top = reverse.max()
    return float(theta @ mean - top - np.log(np.mean(np.exp(reverse - top))))
