"""Entropy production of counts or continuous data from lagged covariances, as if they were Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg
from scipy.special import logsumexp

from ..errors import EstimationError
from ..seeds import stream
from ..spikes.transitions import Transitions
from . import uncertainty
from .judgement import HeldOut, Judgement, judge
from .pair_moments import PairMoments, PairSums, Standardised, checked, standardised
from .splits import Split, check_fractions, split_transitions

SHARES = (1.0, 0.9, 0.75, 0.6, 0.45, 0.3, 0.15)
"""Shares of the irreversible part of the lagged covariance that validation data choose from."""
N_JACKKNIFE = 20
"""Stretches left out in turn to measure the bias."""
MAX_SERIES = 100_000
"""Pairs from the beginning whose scores tell how long a block of independent time must be."""


@dataclass(frozen=True, eq=False)
class GaussianEPResult(Judgement):
    """Entropy production of pairs of samples a lag apart, in nats per transition.

    The fields that are not named here belong to the held-out objective and mean what they do in
    :class:`~neq.estimators.maxent_result.MaxEntResult`.

    Parameters
    ----------
    entropy_production
        Held-out objective of the quadratic log-ratio of the fitted Gaussian; 0 where it did no better than nothing on
        validation data (flag ``no_evidence``). It estimates a lower bound whatever the law of the samples is.
    entropy_production_gaussian
        The closed form on all samples: the value itself if they are a stationary Gaussian process. In-sample, so
        biased upwards.
    bias_gaussian
        How far sampling lifts the closed form, from leaving stretches out in turn (jackknife); NaN where a stretch
        cannot be spared.
    share
        Share of the irreversible part of the lagged covariance that validation data preferred.
    covariance, lagged_covariance
        Covariance of the samples and of later with earlier ones (unit_0, unit_1), on all pairs.
    n_unit, n_transition
        Units and pairs.
    """

    entropy_production_gaussian: float
    bias_gaussian: float
    share: float
    covariance: np.ndarray
    lagged_covariance: np.ndarray
    n_unit: int
    n_transition: int


@dataclass(frozen=True, kw_only=True)
class GaussianEP:
    r"""Measure the irreversibility that covariances show.

    A stationary Gaussian process with covariance :math:`C_0` and lagged covariance
    :math:`C_1 = \langle x(t + \tau) x(t)^T \rangle` has pairs (x, x') of covariance S, exchanged ones of covariance
    :math:`\tilde S`, and the divergence of one from the other is

    .. math:: \Sigma = \tfrac12 \mathrm{tr}(\tilde S^{-1} S) - N, \quad
       S = \begin{pmatrix} C_0 & C_1^T \\ C_1 & C_0 \end{pmatrix}, \quad
       \tilde S = \begin{pmatrix} C_0 & C_1 \\ C_1^T & C_0 \end{pmatrix}.

    It is zero where :math:`C_1` is symmetric. For a Markov process it is the entropy production of one step, and tends
    to :math:`\tau` times that of the Ornstein-Uhlenbeck process in continuous time [1]_ as :math:`\tau \to 0`. All
    variables are taken as even under time reversal.

    The log-ratio of the two Gaussians is a quadratic observable that changes sign when the pair is exchanged. So its
    objective J on held-out pairs bounds entropy production from below for samples of any law, as that of
    :class:`~neq.estimators.maxent.MaxEnt` does; the closed form does not.

    Parameters
    ----------
    lag
        Samples between the earlier and the later one, at least 1.
    split, fractions
        How pairs are dealt to train, validation and test; as in :class:`~neq.estimators.maxent.MaxEnt`.
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.

    References
    ----------
    .. [1] Gilson, Tagliazucchi & Cofré, "Entropy production of multivariate Ornstein-Uhlenbeck processes correlates
       with consciousness levels in the human brain", Phys. Rev. E 107, 024121 (2023).

    Examples
    --------
    Two variables that turn round each other:

    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros((20_000, 2))
    >>> for t in range(1, len(x)):
    ...     x[t] = np.array([[0.8, -0.3], [0.3, 0.8]]) @ x[t - 1] + rng.normal(size=2)
    >>> result = GaussianEP().fit(x, seed=0)
    >>> round(result.entropy_production_gaussian, 1), result.interval[0] > 0.5
    (1.3, True)
    """

    lag: int = 1
    split: str = "blocked"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    n_draw: int = 999

    version: ClassVar[int] = 1
    """Raised when the numbers change."""

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        uncertainty.check_n_draw(self.n_draw)

    def fit(
        self, samples: ArrayLike, segment: ArrayLike | None = None, seed: int | np.random.SeedSequence = 0
    ) -> GaussianEPResult:
        """Estimate entropy production.

        Parameters
        ----------
        samples
            Counts or continuous values (bin, unit).
        segment
            A number for each bin (bin,); a pair lies inside a stretch of equal numbers.
        seed
            Decides the split, the bootstrap and the reversals.

        Raises
        ------
        EstimationError
            There are too few units or pairs, samples are not finite, units are constant or depend on each other
            linearly, or the later samples follow from the earlier ones.
        """
        x = standardised(samples)
        # pairs, split and blocks know nothing of what lies in a bin: those of a population that never fires do
        pairs = Transitions.from_spikes(np.zeros((len(x.values), 1), bool), segment, self.lag)
        if not pairs.n_transition:
            raise EstimationError("there are no transitions: every stretch is shorter than the lag")
        split = split_transitions(pairs, self.split, stream(seed, 0), self.fractions)
        sums = _sums(x, pairs, split)
        moments = checked(sums.whole, "in the recording")
        law = checked(sums.train, "in the training part")
        share, value = _best_share(law, x, pairs.take(split.validation))
        half = _half_value(x, pairs, split, sums.half)
        verdict = judge([_hold_out(x, pairs, split, law, share, value, half)], self.n_draw, stream(seed, 1))
        return GaussianEPResult(
            **vars(verdict),
            entropy_production_gaussian=moments.divergence(),
            bias_gaussian=_jackknife_bias(sums),
            share=share,
            covariance=moments.covariance * np.outer(x.scale, x.scale),
            lagged_covariance=moments.lagged * np.outer(x.scale, x.scale),
            n_unit=len(x.scale),
            n_transition=pairs.n_transition,
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over all pairs, the training part and half of it, and over each of the stretches of the jackknife."""

    whole: PairSums
    train: PairSums
    half: PairSums
    stretches: Sequence[PairSums]


def _sums(x: Standardised, pairs: Transitions, split: Split) -> _Sums:
    """Go through the samples once for all the moments that are needed."""
    part = np.zeros(pairs.n_transition, np.int8)
    part[split.train], part[split.train_half] = 1, 2
    stretches = np.array_split(np.arange(pairs.n_transition), N_JACKKNIFE)
    cells = [[x.sums(pairs.take(stretch[part[stretch] == number])) for number in range(3)] for stretch in stretches]
    rest, other_half, half = (reduce(add, column) for column in zip(*cells, strict=True))
    train = other_half + half
    return _Sums(rest + train, train, half, [reduce(add, row) for row in cells])


def _best_share(law: PairMoments, x: Standardised, validation: Transitions) -> tuple[float, float]:
    """Return the share of the irreversible part with the best validation objective, and that objective."""
    values = [_objective(score) for score in x.log_ratios(validation, law, SHARES)]
    best = int(np.argmax(values))
    return SHARES[best], values[best]


def _hold_out(
    x: Standardised, pairs: Transitions, split: Split, law: PairMoments, share: float, validation: float, half: float
) -> HeldOut:
    """Score the test part in blocks of independent time."""
    test = pairs.take(split.test)
    score = x.log_ratios(test, law, (share,))[0]
    series = x.log_ratios(pairs.take(np.arange(min(pairs.n_transition, MAX_SERIES))), law, (share,))[0]
    block = uncertainty.time_blocks(test, uncertainty.block_length(series, len(x.values)))
    return HeldOut(score, -score, block, evidence=validation > 0, half=half)


def _half_value(x: Standardised, pairs: Transitions, split: Split, sums: PairSums) -> float:
    """Return the held-out objective of a law from half of the training and validation parts.

    0 where they show no evidence, or are too short for a law.
    """
    try:
        law = checked(sums, "in half of the training part")
    except EstimationError:
        return 0.0
    share, value = _best_share(law, x, pairs.take(split.validation_half))
    return _objective(x.log_ratios(pairs.take(split.test), law, (share,))[0]) if value > 0 else 0.0


def _objective(score: np.ndarray) -> float:
    """Return J from scores (transition,) of an odd observable."""
    return float(score.mean() - logsumexp(-score) + np.log(len(score)))


def _jackknife_bias(sums: _Sums) -> float:
    """Return the bias of the closed form by leaving each stretch of time out once; NaN where one cannot be spared."""
    try:
        without = [(sums.whole - stretch).moments().divergence() for stretch in sums.stretches]
    except linalg.LinAlgError:
        return np.nan
    return float((len(without) - 1) * (np.mean(without) - sums.whole.moments().divergence()))
