"""What held-out transitions say of a theta: the value, its cap, interval and p-value, and the reasons to doubt it.

A theta is scored on transitions that had no part in choosing it. Where several are, each on its own fold of the
recording, their values are averaged with the numbers of transitions as weights, and interval and p-value are those of
the average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import uncertainty

RELATIVE_CHANGE = 0.1
"""A change of this share between half and all of the training data calls an estimate data-limited."""
MIN_EFFECTIVE_SAMPLE = 100.0
"""Below this effective number of held-out transitions the tail decides."""
MIN_EVIDENCE = 0.5
"""Share of held-out transitions in folds with evidence, below which the whole estimate has none."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores of transitions that theta has not seen.

    Parameters
    ----------
    score, reverse_score
        theta.g of the recorded and of the exchanged pair of bins, (transition,) each.
    block
        Number of the block of time that each transition lies in, (transition,); blocks are taken as independent.
    evidence
        False where validation data did not prefer theta to 0 by more than chance: the value is then 0.
    half
        J on the same transitions of a theta from half of the training data; NaN where it was not asked for.
    at_limit
        True where validation data could tell no more: J reached ln of their number, and theta was made no longer.
    noise
        What ``score`` and ``reverse_score`` are of another theta that differs from the true one as theta does, (2,
        transition); needed where several parts share their training data.

    Examples
    --------
    >>> score = np.random.default_rng(0).normal(0.1, 0.4, 2000)
    >>> part = HeldOut(score, -score, np.arange(2000) // 10)
    >>> round(part.value, 2), round(part.cap, 2)
    (0.1, 7.6)
    """

    score: np.ndarray
    reverse_score: np.ndarray
    block: np.ndarray
    evidence: bool = True
    half: float = np.nan
    at_limit: bool = False
    noise: np.ndarray | None = None

    @property
    def n_transition(self) -> int:
        """Number of transitions."""
        return len(self.score)

    @property
    def cap(self) -> float:
        """The ln of the number of transitions: no larger value can be told from it."""
        return float(np.log(self.n_transition))

    @cached_property
    def blocks(self) -> uncertainty.BlockScores:
        """The scores summed over blocks of time."""
        return uncertainty.block_scores(self.score, self.reverse_score, self.block)

    @property
    def objective(self) -> float:
        """J in nats per transition, neither capped nor set to zero for want of evidence."""
        return self.blocks.objective

    @property
    def value(self) -> float:
        """J, at most the cap; 0 without evidence."""
        return min(self.objective, self.cap) if self.evidence else 0.0

    @property
    def tail(self) -> uncertainty.TailWeight:
        """How much J hangs on a few transitions."""
        return uncertainty.tail_weight(self.reverse_score)

    @property
    def trajectory_score(self) -> np.ndarray:
        """theta.g - ln Z of each transition (transition,), whose mean is J."""
        return self.score - self.blocks.log_normaliser


@dataclass(frozen=True, eq=False)
class Judgement:
    """The value of one or several held-out parts, and how far to trust it; all in nats per transition.

    The fields are those of the same names in :class:`~neq.estimators.maxent_result.MaxEntResult`.
    """

    entropy_production: float
    entropy_production_uncapped: float
    entropy_production_half: float
    fold_entropy_production: np.ndarray
    interval: tuple[float, float]
    n_interval_block: int
    p_value: float
    quality: frozenset[str]
    n_test: int
    effective_sample_size: float
    bias: float
    reason: str


def judge(folds: Sequence[HeldOut], n_draw: int, rng: np.random.Generator, overlap: float = 0.0) -> Judgement:
    """Score held-out parts together.

    Parameters
    ----------
    folds
        The parts, each with scores under its own theta; one for a single split.
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.
    rng
        Decides both.
    overlap
        Share of the other folds that each theta was fitted on; 0 for a single part, or for parts of other recordings.

    Examples
    --------
    >>> score = np.random.default_rng(0).normal(0.1, 0.4, 2000)
    >>> folds = [HeldOut(part, -part, np.arange(500) // 10) for part in np.split(score, 4)]
    >>> verdict = judge(folds, 999, np.random.default_rng(1))
    >>> verdict.n_interval_block, verdict.p_value, sorted(verdict.quality)
    (200, 0.001, [])
    """
    share = np.array([fold.n_transition for fold in folds]) / sum(fold.n_transition for fold in folds)
    value, half = (
        float(share @ [fold.value for fold in folds]),
        float(share @ [min(fold.half, fold.cap) for fold in folds]),
    )
    interval, deviation, reason = _interval(folds, share, n_draw, rng, overlap)
    tails = [fold.tail for fold in folds]
    effective = _harmonic_mean(share, np.array([tail.effective_sample_size for tail in tails]))
    return Judgement(
        entropy_production=value,
        entropy_production_uncapped=float(share @ [fold.objective for fold in folds]),
        entropy_production_half=half,
        fold_entropy_production=np.array([fold.value for fold in folds]),
        interval=interval,
        n_interval_block=sum(fold.blocks.n_block for fold in folds),
        p_value=_p_value(folds, n_draw, rng, overlap),
        quality=doubts(
            evidence=bool(share @ [fold.evidence for fold in folds] > MIN_EVIDENCE),
            capped=any(fold.evidence and (fold.at_limit or fold.objective > fold.cap) for fold in folds),
            change=abs(value - half),
            tolerance=max(RELATIVE_CHANGE * abs(value), deviation),
            effective_sample_size=effective,
        ),
        n_test=sum(fold.n_transition for fold in folds),
        effective_sample_size=effective,
        bias=float(share @ [tail.bias for tail in tails]),
        reason=reason,
    )


def doubts(
    *, evidence: bool, capped: bool, change: float, tolerance: float, effective_sample_size: float
) -> frozenset[str]:
    """Return the names of the reasons to doubt a value.

    Parameters
    ----------
    evidence
        Whether validation data preferred theta to 0 by more than chance.
    capped
        Whether the cap holds the value down.
    change, tolerance
        How far the value from half of the training data lies from it, NaN where that was not asked for; and how far it
        may, both in nats.
    effective_sample_size
        Of the tilted average.

    Examples
    --------
    >>> doubts(evidence=True, capped=False, change=0.3, tolerance=0.1, effective_sample_size=500.0)
    frozenset({'data_limited'})
    """
    flags = {
        "capped": capped,
        "tail_limited": effective_sample_size < MIN_EFFECTIVE_SAMPLE,
        "no_evidence": not evidence,
        "data_limited": not evidence or change > tolerance,
    }
    return frozenset(name for name, holds in flags.items() if holds)


def _interval(
    folds: Sequence[HeldOut], share: np.ndarray, n_draw: int, rng: np.random.Generator, overlap: float
) -> tuple[tuple[float, float], float, str]:
    """Return the interval, the standard deviation of its draws and the reason where there is none."""
    if not n_draw:
        return (np.nan, np.nan), 0.0, "no interval: n_draw is 0"
    n_block = sum(fold.blocks.n_block for fold in folds)
    if n_block < uncertainty.MIN_BLOCK:
        reason = f"no interval: {n_block} held-out blocks of independent time, {uncertainty.MIN_BLOCK} are needed"
        return (np.nan, np.nan), 0.0, reason
    draws = share @ np.stack([fold.blocks.bootstrap(n_draw, rng) for fold in folds])
    if overlap:
        draws = uncertainty.widened(draws, overlap * _noise_of_theta(folds, share))
    return uncertainty.percentile_interval(draws, n_block), float(draws.std(ddof=min(1, n_draw - 1))), ""


def _p_value(folds: Sequence[HeldOut], n_draw: int, rng: np.random.Generator, overlap: float) -> float:
    if not n_draw:
        return np.nan
    return uncertainty.reversal_p_value([fold.blocks for fold in folds], n_draw, rng, overlap)


def _noise_of_theta(folds: Sequence[HeldOut], share: np.ndarray) -> float:
    """Return which share of the variance of J is noise of theta: 1 at equilibrium, near 0 with ample data.

    J moves with one transition as u - w / <w> does, w = exp(v); with theta it moves by the derivative of that.
    """
    ratio = [_noise_variance(fold) for fold in folds]
    noise, total = share @ np.array(ratio)
    return float(min(noise / total, 1.0)) if total > 0 else 0.0


def _noise_variance(fold: HeldOut) -> tuple[float, float]:
    """Return the variance per transition of J by the noise of theta, and in all."""
    weight = np.exp(fold.reverse_score - fold.blocks.log_normaliser)
    score, reverse = fold.noise if fold.noise is not None else np.zeros((2, fold.n_transition))
    return float(np.var(score - weight * reverse)), float(np.var(fold.score - weight))


def _harmonic_mean(share: np.ndarray, sizes: np.ndarray) -> float:
    """Return the size that one part would need for the mean bias of parts of these ``sizes`` (part,)."""
    return float(sizes.min() / (share @ (sizes.min() / sizes)))
