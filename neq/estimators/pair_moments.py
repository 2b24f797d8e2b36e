r"""Covariances of pairs of samples a lag apart, and the modes in which they are irreversible.

With the sum :math:`p = (x + x') / \sqrt 2` and the difference :math:`m = (x' - x) / \sqrt 2` of a pair, exchanging its
samples changes the sign of m only. So all irreversibility of the covariances is in that of p with m,
:math:`(C_1^T - C_1) / 2`, and its canonical correlations :math:`\sigma_k` hold it mode by mode: the divergence of the
Gaussian pair law from its reverse is :math:`2 \sum_k \sigma_k^2 / (1 - \sigma_k^2)`, and their log-ratio
:math:`2 \sum_k p_k m_k \sigma_k / (1 - \sigma_k^2)` with p and m along mode k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from ..errors import EstimationError
from ..spikes.transitions import Transitions

SINGULAR = 1e-10
"""Eigenvalue of a covariance of standardised samples below which they are called linearly dependent."""
PIECE = 10_000
"""Pairs whose samples are converted to floats together."""


@dataclass(frozen=True, eq=False)
class Modes:
    """Canonical correlations (mode,) and the vectors (unit, mode) that project sums and differences on their modes."""

    correlation: np.ndarray
    of_sum: np.ndarray
    of_difference: np.ndarray


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Covariance, lagged covariance (unit_0, unit_1), later with earlier, and mean (unit,) of pairs of samples.

    Examples
    --------
    Two variables that turn round each other; one alone would have no direction:

    >>> turn = np.array([[0.8, -0.3], [0.3, 0.8]])
    >>> round(PairMoments(np.eye(2), turn).divergence(), 3)
    1.333
    """

    covariance: np.ndarray
    lagged: np.ndarray
    mean: np.ndarray | float = 0.0

    @cached_property
    def modes(self) -> Modes:
        """The modes of irreversibility."""
        symmetric, irreversible = (self.lagged + self.lagged.T) / 2, (self.lagged.T - self.lagged) / 2
        sums, differences = (linalg.cholesky(self.covariance + sign * symmetric, lower=True) for sign in (1, -1))
        whitened = linalg.solve_triangular(sums, irreversible, lower=True)
        whitened = linalg.solve_triangular(differences, whitened.T, lower=True).T
        left, correlation, right = linalg.svd(whitened)
        of_sum, of_difference = (
            linalg.solve_triangular(factor, vectors, lower=True, trans="T")
            for factor, vectors in ((sums, left), (differences, right.T))
        )
        return Modes(correlation, of_sum, of_difference)

    def divergence(self) -> float:
        """Return the divergence of the Gaussian pair law from its reverse, nats."""
        return float(2 * np.sum(self.modes.correlation * self.weights(1.0)))

    def weights(self, share: float) -> np.ndarray:
        """Return the weights (mode,) of the log-ratio with a ``share`` of the irreversible part."""
        correlation = share * self.modes.correlation
        return correlation / (1 - correlation**2)


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums over pairs of standardised samples: number, samples (2, unit), squares, products of later with earlier."""

    n_transition: int
    total: np.ndarray
    square: np.ndarray
    product: np.ndarray

    def __add__(self, other: PairSums) -> PairSums:
        """Return the sums over both sets of pairs."""
        return PairSums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __sub__(self, other: PairSums) -> PairSums:
        """Return the sums without those of a subset of the pairs."""
        return PairSums(*(getattr(self, field.name) - getattr(other, field.name) for field in fields(self)))

    def moments(self) -> PairMoments:
        """Return the moments, earlier and later samples pooled as in a stationary process."""
        earlier, later = self.total / self.n_transition
        mean = (earlier + later) / 2
        lagged = self.product / self.n_transition - np.outer(later, mean) - np.outer(mean, earlier - mean)
        return PairMoments(self.square / (2 * self.n_transition) - np.outer(mean, mean), lagged, mean)


@dataclass(frozen=True, eq=False)
class Standardised:
    """Samples (bin, unit) as they were given, with the mean and scale (unit,) that a piece of them is brought to.

    They are converted piece by piece: counts of a long recording take a byte each and would take eight as floats.
    """

    values: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def at(self, position: np.ndarray) -> np.ndarray:
        """Return the samples (sample, unit) at some positions, standardised."""
        return (self.values[position] - self.mean) / self.scale

    def sums(self, pairs: Transitions) -> PairSums:
        """Sum what the moments of pairs need."""
        n_unit = len(self.scale)
        total, square, product = np.zeros((2, n_unit)), np.zeros((n_unit, n_unit)), np.zeros((n_unit, n_unit))
        for first in range(0, pairs.n_transition, PIECE):
            ends = np.concatenate([side[first : first + PIECE] for side in (pairs.earlier, pairs.later)])
            # most samples are the earlier one of a pair and the later one of another: their squares are summed once
            position, place, times = np.unique(ends, return_inverse=True, return_counts=True)
            samples = self.at(position)
            earlier, later = samples[place[: len(ends) // 2]], samples[place[len(ends) // 2 :]]
            total += earlier.sum(axis=0), later.sum(axis=0)
            square += (samples * times[:, None]).T @ samples
            product += later.T @ earlier
        return PairSums(pairs.n_transition, total, square, product)

    def log_ratios(self, pairs: Transitions, law: PairMoments, shares: Sequence[float]) -> np.ndarray:
        """Return the log-ratio of each pair (share, transition) for shares of the irreversible part of a law.

        That of the exchanged pair is its negative.
        """
        weights = np.stack([law.weights(share) for share in shares], axis=1)
        scores = np.empty((pairs.n_transition, len(shares)))
        for first in range(0, pairs.n_transition, PIECE):
            rows = slice(first, first + PIECE)
            earlier, later = self.at(pairs.earlier[rows]), self.at(pairs.later[rows])
            modes = (earlier + later - 2 * law.mean) @ law.modes.of_sum * ((later - earlier) @ law.modes.of_difference)
            scores[rows] = modes @ weights
        return scores.T


def standardised(samples: ArrayLike) -> Standardised:
    """Check samples (bin, unit) and find their mean and scale.

    Raises
    ------
    EstimationError
        They are no array (bin, unit) of two units or more, not finite, or some units are constant.
    """
    values = np.asarray(samples)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise EstimationError(f"samples must be numbers (bin, unit); found {values.ndim} dimensions of {values.dtype}")
    if values.shape[1] < 2 or not len(values):
        raise EstimationError(f"samples (bin, unit) of 2 units or more are needed; found shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0)) if values.dtype.kind == "f" else np.zeros(0)
    if bad.size:
        raise EstimationError(f"samples of units {bad.tolist()} are not all finite; fill them or leave the units out")
    constant = np.flatnonzero(values.max(axis=0) == values.min(axis=0))
    if constant.size:
        raise EstimationError(f"units {constant.tolist()} are constant; leave them out")
    return Standardised(values, values.mean(axis=0, dtype=float), _deviation(values))


def checked(sums: PairSums, where: str) -> PairMoments:
    """Return the moments of pairs, if a Gaussian with these moments has a density.

    Raises
    ------
    EstimationError
        There are too few pairs, or samples depend on each other linearly; the message says ``where`` and which units.
    """
    moments = sums.moments()
    n_unit = len(moments.covariance)
    if sums.n_transition <= 2 * n_unit:
        raise EstimationError(
            f"{n_unit} units need more than {2 * n_unit} pairs of samples {where}; found {sums.n_transition}"
        )
    dependent = _dependent(moments.covariance)
    if dependent.size:
        raise EstimationError(
            f"units {dependent.tolist()} repeat each other, depend on each other linearly or do not vary {where}; "
            "leave out some of them"
        )
    both = np.block([[moments.covariance, moments.lagged.T], [moments.lagged, moments.covariance]])
    if _dependent(both).size:
        raise EstimationError(
            f"later samples follow from earlier ones without noise {where}, {sums.n_transition} pairs, so entropy "
            "production has no finite value; choose another lag, or more or noisier samples"
        )
    return moments


def _deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each unit (unit,), never converting all samples at once."""
    mean = values.mean(axis=0, dtype=float)
    pieces = (values[first : first + PIECE] - mean for first in range(0, len(values), PIECE))
    return np.sqrt(sum(np.sum(piece**2, axis=0) for piece in pieces) / len(values))


def _dependent(covariance: np.ndarray) -> np.ndarray:
    """Return which variables take part in a linear dependence, or do not vary."""
    eigenvalue, vector = linalg.eigh(covariance)
    return np.flatnonzero((np.abs(vector[:, eigenvalue < SINGULAR]) > 1e-3).any(axis=1))
