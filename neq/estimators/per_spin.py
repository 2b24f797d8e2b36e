r"""Entropy production of dynamics that change one spin at a time, estimated spin by spin.

With averages over the states in which spin i flips, and :math:`f_i` the share of its attempted updates that do, the
entropy production per attempted update of one of N spins is bounded from below by

.. math:: \frac1N \sum_i f_i \max_\theta J_i(\theta), \qquad
   J_i(\theta) = \theta \cdot \langle g_i \rangle - \ln \langle e^{-\theta \cdot g_i} \rangle,
   \qquad g_{ij} = -2 x_i x_j,

x being the state before the flip, because flips of different spins are different events [1]_. The averages are
conditional on a flip: with attempts that flip nothing counted in, as g = 0, all three estimates would be smaller.

References
----------
.. [1] Aguilera, Ito & Kolchinsky, "Inferring entropy production in many-body systems using nonequilibrium MaxEnt",
   arXiv:2505.10444.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import EstimationError
from ..spikes.spin_flips import SpinFlips
from . import spin_fit
from .spin_scores import MIN_RUN, PerSpinResult, all_scores, blocks, held_out, none_fitted, too_few
from .spin_sums import RunScores

TRAIN, VALIDATION = 0.7, 0.2
"""Shares of the runs; the rest is held out."""


class _HeldOutFit:
    """An estimator that scores on the last tenth of the runs the theta that it fitted on the others."""

    shares: ClassVar[tuple[float, float]]
    """Of the runs, to fit and to choose on."""

    def fit(self, flips: SpinFlips, seed: int | np.random.SeedSequence = 0) -> PerSpinResult:
        """Estimate entropy production; ``seed`` decides the bootstrap.

        Raises
        ------
        EstimationError
            There are fewer than three runs, or no spin flips in the training part.
        """
        train, validation, test = _parts(flips, *self.shares)
        theta, n_evaluation = _byblocks(train, lambda spins: self._theta(train, validation, spins))
        return held_out(flips, test, theta, n_evaluation, self._unfitted(train), seed)

    def _theta(self, train: SpinFlips, validation: SpinFlips, spins: slice) -> tuple[np.ndarray, int]:
        """Return theta (spin, source) of some spins, and the passes over the samples."""
        raise NotImplementedError

    def _unfitted(self, train: SpinFlips) -> np.ndarray:
        """Mark the spins that have too few flips for a theta (unit,); none where theta = 0 is a candidate."""
        return np.zeros(train.n_unit, dtype=bool)


@dataclass(frozen=True, kw_only=True)
class PerSpinMaxEnt(_HeldOutFit):
    """Maximise J of every spin on 70% of the runs, choose on 20%, score on the remaining 10%.

    Whole runs are dealt out, so that no part shares a run with another. The fit walks a ridge path; theta = 0 is a
    candidate, and an iterate whose validation average hangs on fewer than 30 effective flips is none.

    Parameters
    ----------
    path
        How the path is walked.

    Examples
    --------
    Spin 1 flips mostly to agree with spin 0, which does not look at it:

    >>> rng = np.random.default_rng(0)
    >>> states = rng.choice([-1, 1], size=(20_000, 2))
    >>> agree = states[:, 0] == states[:, 1]
    >>> flips = np.stack([rng.random(20_000) < 0.5, rng.random(20_000) < np.where(agree, 0.2, 0.8)], axis=1)
    >>> result = PerSpinMaxEnt().fit(SpinFlips.pack(states, flips, n_restart=100))
    >>> result.entropy_production > 0.1, bool(result.theta[1, 0] > 0.5)
    (True, True)
    """

    path: spin_fit.SpinPath = field(default_factory=spin_fit.SpinPath)

    version: ClassVar[int] = 2
    """Raised when the numbers change."""
    shares = (TRAIN, VALIDATION)

    def _theta(self, train: SpinFlips, validation: SpinFlips, spins: slice) -> tuple[np.ndarray, int]:
        fit = spin_fit.fit_path(train, validation, spins, self.path)
        return np.where(fit.validation[:, np.newaxis] > 0, fit.theta, 0.0), fit.n_evaluation


@dataclass(frozen=True, kw_only=True)
class PerSpinNewton(_HeldOutFit):
    """One Newton step for every spin, theta = 2 K^-1 <g>, from 90% of the runs, scored on the rest.

    Spins with fewer flips than parameters are left at theta = 0, and counted (``n_unfitted``).
    """

    version: ClassVar[int] = 2
    """Raised when the numbers change."""
    shares = (TRAIN + VALIDATION, 0.0)

    def _theta(self, train: SpinFlips, validation: SpinFlips, spins: slice) -> tuple[np.ndarray, int]:
        return spin_fit.newton_step(train, spins)

    def _unfitted(self, train: SpinFlips) -> np.ndarray:
        return spin_fit.too_few_flips(train)


@dataclass(frozen=True, kw_only=True)
class PerSpinMTUR:
    """Multidimensional thermodynamic uncertainty relation of every spin, ln(1 + 2 <g> K^-1 <g>), from all runs.

    Spins with fewer flips than parameters add zero, and are counted (``n_unfitted``). The standard error is that of the
    value's linear expansion in the runs, and the interval is normal.
    """

    version: ClassVar[int] = 2
    """Raised when the numbers change."""

    def fit(self, flips: SpinFlips, seed: int | np.random.SeedSequence = 0) -> PerSpinResult:
        """Estimate entropy production; ``seed`` is not used, the value needs no chance.

        Raises
        ------
        EstimationError
            No spin flips.
        """
        theta, n_evaluation = _byblocks(flips, lambda spins: spin_fit.newton_step(flips, spins))
        scores = all_scores(flips, theta)
        count = np.maximum(scores.count.sum(axis=0), 1.0)
        value = np.log1p(np.maximum(scores.score.sum(axis=0) / count, 0.0))
        shares = _mtur_shares(scores, count, value, flips.samples_per_restart)
        total = float(np.mean(flips.frequency() * value))
        error, reason = _standard_error(shares)
        unfitted = spin_fit.too_few_flips(flips)
        if unfitted.all():
            total, error, reason = np.nan, np.nan, none_fitted(flips.n_unit)
        interval = (total - 1.96 * error, total + 1.96 * error)
        sizes = np.full(flips.n_unit, np.nan)
        quality = frozenset() if value.any() else frozenset({"no_evidence"})
        return PerSpinResult(
            entropy_production=total,
            standard_error=error,
            interval=interval,
            quality=quality,
            theta=theta,
            frequency=flips.frequency(),
            spin_value=value,
            effective_sample_size=sizes,
            n_evaluation=n_evaluation,
            n_unfitted=int(unfitted.sum()),
            reason=reason,
        )


PER_SPIN = {"maxent": PerSpinMaxEnt, "mtur": PerSpinMTUR, "newton": PerSpinNewton}
"""Estimators by the name they have in configs."""


def _parts(flips: SpinFlips, train: float, validation: float) -> tuple[SpinFlips, SpinFlips, SpinFlips]:
    """Return the runs of the train, validation and test parts; without a share, validation is the training part."""
    n_restart = flips.n_restart
    if n_restart < 3:
        raise EstimationError(f"held-out estimates need 3 independent runs or more; found {n_restart}: use restarts")
    last = min(max(2, round((train + validation) * n_restart)), n_restart - 1)
    first = min(max(1, round(train * n_restart)), last - 1) if validation else last
    fitted = flips.restarts(0, first)
    return fitted, flips.restarts(first, last) if validation else fitted, flips.restarts(last, n_restart)


def _byblocks(train: SpinFlips, theta_of: Callable[[slice], tuple[np.ndarray, int]]) -> tuple[np.ndarray, int]:
    """Return theta (unit, source) fitted block of spins by block, and the passes of all blocks together."""
    if not train.flips.any():
        raise EstimationError("no spin flips in the training part; sample longer or at a smaller beta")
    fits = [theta_of(spins) for spins in blocks(train.n_unit)]
    return np.concatenate([theta for theta, _ in fits]), sum(n for _, n in fits)


def _mtur_shares(scores: RunScores, count: np.ndarray, value: np.ndarray, length: int) -> np.ndarray:
    r"""Return how much each run (restart,) moves the mean over spins of f ln(1 + 2S), S = <g> K^-1 <g>, to first order.

    With u = theta.g = 2 <g> K^-1 g, of mean 2S, a flip moves 2S by :math:`2 (u - 2S) - (u - 2S)^2 / 2 + 2S`, because K
    moves with it. Over all flips that is zero on average: the variance of u is 4S.
    """
    mean = scores.score.sum(axis=0) / count
    squares = scores.square - 2 * mean * scores.score + mean**2 * scores.count
    moved = 2 * (scores.score - mean * scores.count) - squares / 2 + mean * scores.count
    # summed over the flips of a run and divided by its samples, the frequency of flips is in it already
    runs = (moved / (1 + mean) + (scores.count - count / len(scores.count)) * value) / length
    return np.mean(runs, axis=1)


def _standard_error(shares: np.ndarray) -> tuple[float, str]:
    if len(shares) < MIN_RUN:
        return np.nan, too_few(len(shares))
    return float(shares.std(ddof=1) / np.sqrt(len(shares))), ""
