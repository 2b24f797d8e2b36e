r"""Fits of the parameters of many spins at once: the ridge path of MaxEnt, and one Newton step.

Objectives of different spins have no parameter in common, so that their sum is maximised by one run of a general
optimiser. Its variables are :math:`y_i = \theta_i W^{-1}` with :math:`4 W^T W` the inverse of the second moment of the
states: in them the Hessian of every spin is near 1, as the flips of one spin see about the states that all see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize
from scipy.sparse.linalg import LinearOperator, cg

from ..spikes.spin_flips import SpinFlips
from .spin_sums import covariance_product, own, second_moment, tilted

LOADING = 1e-2
"""Added to the second moment: spins that are frozen together would make it singular."""
COVARIANCE_RIDGE = 1e-4
"""Added to the variances of g in the Newton step."""
MIN_CANDIDATE_SAMPLE = 30.0
"""Effective flips below which a validation value says more of its own tail than of theta."""


@dataclass(frozen=True)
class SpinPath:
    """How the ridge path is walked.

    Parameters
    ----------
    ridges
        From strong to weak, in units of the second moment of g.
    max_iteration
        Iterations of the optimiser at each ridge.
    improvement
        Share by which the validation value summed over spins must grow at a ridge for the walk to go on.
    """

    ridges: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    max_iteration: int = 5
    improvement: float = 1e-3


@dataclass(frozen=True, eq=False)
class SpinFit:
    """The best candidates: theta (spin, source), their validation values (spin,), and passes over the training part."""

    theta: np.ndarray
    validation: np.ndarray
    n_evaluation: int


class _Walk:
    """One walk of a block of spins, and the best candidate of each so far."""

    def __init__(self, train: SpinFlips, validation: SpinFlips, spins: slice, whitening: np.ndarray) -> None:
        self.train, self.held, self.spins, self.whitening = train, validation, spins, whitening
        zero = np.zeros((spins.stop - spins.start, train.n_unit))
        self.mean = tilted(train, spins, zero).mean
        self.mean_held = tilted(validation, spins, zero).mean
        self.theta, self.best = zero, np.zeros(len(zero))
        self.n_evaluation = 0

    def theta_of(self, y: np.ndarray) -> np.ndarray:
        return own(y.reshape(self.theta.shape) @ self.whitening, self.spins)

    def loss(self, y: np.ndarray, ridge: float) -> tuple[float, np.ndarray]:
        """Return minus the regularised training objective summed over spins, and its gradient."""
        self.n_evaluation += 1
        theta = self.theta_of(y)
        found = tilted(self.train, self.spins, theta)
        value = np.nansum(np.sum(theta * self.mean, axis=1) - found.log_normaliser)
        gradient = ((self.mean + found.mean) @ self.whitening.T).ravel()
        return ridge / 2 * float(y @ y) - float(value), ridge * y - gradient

    def consider(self, y: np.ndarray) -> None:
        """Make an iterate the candidate of those spins for which it is the best so far."""
        theta = self.theta_of(y)
        found = tilted(self.held, self.spins, theta)
        value = np.sum(theta * self.mean_held, axis=1) - found.log_normaliser
        better = (value > self.best) & (found.effective_sample_size >= MIN_CANDIDATE_SAMPLE)
        self.best = np.where(better, value, self.best)
        self.theta = np.where(better[:, np.newaxis], theta, self.theta)


def fit_path(train: SpinFlips, validation: SpinFlips, spins: slice, path: SpinPath) -> SpinFit:
    """Walk the path for ``spins``; theta = 0 is the first candidate of each."""
    walk = _Walk(train, validation, spins, whitening(train))
    y = np.zeros(walk.theta.size)
    options = {"maxiter": path.max_iteration, "maxcor": path.max_iteration, "gtol": 1e-6}
    for ridge in path.ridges:
        before = walk.best.sum()
        y = optimize.minimize(
            walk.loss, y, args=(ridge,), jac=True, method="L-BFGS-B", callback=walk.consider, options=options
        ).x
        if walk.best.sum() <= before * (1 + path.improvement):
            break
    return SpinFit(walk.theta, walk.best, walk.n_evaluation)


def too_few_flips(train: SpinFlips) -> np.ndarray:
    """Mark the spins that have fewer flips than parameters (unit,)."""
    few: np.ndarray = train.flip_counts().sum(axis=0) < train.n_unit
    return few


def newton_step(train: SpinFlips, spins: slice) -> tuple[np.ndarray, int]:
    """Return 2 K^-1 <g> of ``spins`` (spin, source) by conjugate gradients, and the passes over the samples.

    Spins with too few flips get zero.
    """
    shape = (spins.stop - spins.start, train.n_unit)
    mean = tilted(train, spins, np.zeros(shape)).mean
    mean[too_few_flips(train)[spins]] = 0.0
    white, n_pass = whitening(train), 1

    def product(vector: np.ndarray) -> np.ndarray:
        nonlocal n_pass
        n_pass += 1
        v = vector.reshape(shape)
        return (covariance_product(train, spins, own(v.copy(), spins), mean) + COVARIANCE_RIDGE * v).ravel()

    def precondition(vector: np.ndarray) -> np.ndarray:
        return (vector.reshape(shape) @ white.T @ white).ravel()

    size = (mean.size, mean.size)
    operator, conditioner = (LinearOperator(size, matvec=f, dtype=float) for f in (product, precondition))
    solution, _ = cg(operator, 2.0 * mean.ravel(), rtol=1e-4, maxiter=100, M=conditioner)
    return own(solution.reshape(shape), spins), n_pass


def whitening(train: SpinFlips) -> np.ndarray:
    """Return W (unit, unit): y W has second moment 1 in the observables of a spin that flips in any state alike."""
    moment = second_moment(train) + LOADING * np.eye(train.n_unit)
    inverse = linalg.solve_triangular(linalg.cholesky(moment, lower=True), np.eye(train.n_unit), lower=True)
    return np.asarray(inverse) / 2
