"""What an estimate does not know: intervals, a p-value of time reversal and the weight of the tail.

All work on the scores of held-out transitions, u = theta.g of the recorded pair and v = theta.g of the exchanged
one, summed over blocks of time, because neighbouring transitions are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.special import logsumexp

from ..errors import EstimationError
from ..spikes.transitions import Transitions

MIN_BLOCK = 20
"""Fewer blocks than these give no interval."""
MAX_BLOCK = 1000
"""Blocks are made longer than the autocorrelation asks for rather than more numerous than this; only stretches (trials,
epochs) that are shorter than a block can make more of them, because no block crosses a border."""
DRAWS_AT_ONCE = 50
"""Draws made together, which bounds the memory of an interval with many blocks."""
TIMES_PER_BLOCK = 10
"""Autocorrelation times in one block."""


def check_n_draw(n_draw: int) -> None:
    """Refuse a negative number of resamples and reversals; 0 stands for neither.

    Raises
    ------
    EstimationError
        It is negative.
    """
    if n_draw < 0:
        raise EstimationError(f"n_draw must be 0 or more; found {n_draw}")


@dataclass(frozen=True)
class BlockScores:
    """Scores of held-out transitions summed over blocks of time.

    Parameters
    ----------
    count
        Transitions of each block, (block,).
    score
        Sum of u and sum of v, (2, block).
    log_weight
        ln of the sum of exp(u) and of exp(v), (2, block).
    """

    count: np.ndarray
    score: np.ndarray
    log_weight: np.ndarray

    @property
    def n_block(self) -> int:
        """Number of blocks."""
        return len(self.count)

    @property
    def log_normaliser(self) -> float:
        """Logarithm of the mean of exp(v)."""
        return float(logsumexp(self.log_weight[1]) - np.log(self.count.sum()))

    @property
    def objective(self) -> float:
        """J in nats per transition."""
        return float(self.score[0].sum() / self.count.sum() - logsumexp(self.log_weight[1]) + np.log(self.count.sum()))

    def bootstrap(self, n_draw: int, rng: np.random.Generator) -> np.ndarray:
        """Return J of ``n_draw`` resamples of the blocks (draw,)."""
        share = np.full(self.n_block, 1 / self.n_block)
        top = self.log_weight[1].max()
        weight = np.exp(self.log_weight[1] - top)

        def draw(n: int) -> np.ndarray:
            times = rng.multinomial(self.n_block, share, size=n)
            total = times @ self.count
            with np.errstate(divide="ignore"):
                log_weight = np.log(times @ weight) + top
            # A draw without any of the blocks that matter: their weights vanish beside the largest one.
            empty = ~np.isfinite(log_weight)
            if empty.any():
                log_weight[empty] = logsumexp(self.log_weight[1][None, :], axis=1, b=times[empty])
            return times @ self.score[0] / total - log_weight + np.log(total)

        return np.concatenate([draw(n) for n in _portions(n_draw)])

    def reversed_at_random(self, n_draw: int, rng: np.random.Generator) -> np.ndarray:
        """Return J of ``n_draw`` copies in which whole blocks are reversed with probability 1/2 (draw,)."""
        n_transition = self.count.sum()

        def draw(n: int) -> np.ndarray:
            turned = rng.random((n, self.n_block)) < 0.5
            score = np.where(turned, self.score[1], self.score[0]).sum(axis=1)
            log_weight = logsumexp(np.where(turned, self.log_weight[0], self.log_weight[1]), axis=1)
            return score / n_transition - log_weight + np.log(n_transition)

        return np.concatenate([draw(n) for n in _portions(n_draw)])


@dataclass(frozen=True)
class TailWeight:
    """How much a held-out J hangs on a few transitions.

    Parameters
    ----------
    effective_sample_size
        (sum w)^2 / sum w^2 of the weights w = exp(v).
    bias
        Var(w) / (2 n mean(w)^2), nats: how far -ln of the sample mean lies above the truth.
    """

    effective_sample_size: float
    bias: float


def block_scores(score: np.ndarray, reverse_score: np.ndarray, block: np.ndarray) -> BlockScores:
    """Sum scores u and v (transition,) over the blocks numbered in ``block`` (transition,).

    Examples
    --------
    >>> blocks = block_scores(np.ones(4), -np.ones(4), np.array([0, 0, 1, 1]))
    >>> blocks.n_block, blocks.objective
    (2, 2.0)
    """
    _, number = np.unique(block, return_inverse=True)
    n_block = int(number.max()) + 1
    both = np.stack([score, reverse_score])
    summed = np.stack([np.bincount(number, row, n_block) for row in both])
    top = np.full((2, n_block), -np.inf)
    for row, peak in zip(both, top, strict=True):
        np.maximum.at(peak, number, row)
    weight = np.stack(
        [np.bincount(number, np.exp(row - peak[number]), n_block) for row, peak in zip(both, top, strict=True)]
    )
    return BlockScores(np.bincount(number, minlength=n_block), summed, top + np.log(weight))


def time_blocks(transitions: Transitions, length: int) -> np.ndarray:
    """Give numbers to blocks of ``length`` bins, none crossing from one stretch to the next (transition,)."""
    position = np.minimum(transitions.earlier, transitions.later)
    change = np.flatnonzero(np.diff(transitions.run)) + 1
    start_of_run = np.concatenate([position[:1], position[change]])
    run = np.searchsorted(change, np.arange(len(position)), side="right")
    within = (position - start_of_run[run]) // length
    return run * (within.max(initial=0) + 1) + within


def block_length(score: np.ndarray, n_bin: int) -> int:
    """Return a block length in bins: ten autocorrelation times of scores (transition,), or more for fewer blocks."""
    return max(int(np.ceil(TIMES_PER_BLOCK * autocorrelation_time(score))), -(-n_bin // MAX_BLOCK), 1)


def autocorrelation_time(series: np.ndarray) -> float:
    """Return the integrated autocorrelation time of a series (transition,), in steps; 1 where there is no correlation.

    The sum of correlations stops at five times the time itself, which keeps noise of long lags out.

    Examples
    --------
    >>> bool(autocorrelation_time(np.random.default_rng(0).normal(size=10_000)) < 1.2)
    True
    """
    n = len(series)
    centred = series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(power)[:n]
    if n < 2 or covariance[0] <= 0:
        return 1.0
    times = 1 + 2 * np.cumsum(covariance[1:] / covariance[0])
    enough = np.flatnonzero(np.arange(1, n) >= 5 * times)
    window = enough[0] if enough.size else n - 2
    return float(max(times[window], 1.0))


def percentile_interval(draws: np.ndarray, n_block: float = np.inf, coverage: float = 0.95) -> tuple[float, float]:
    """Return the central interval of bootstrap draws (draw,) of ``n_block`` blocks.

    Quantiles of few blocks lie too close together, as a normal interval does with an estimated deviation; they are
    taken further out by as much as Student's t asks for [1]_.

    References
    ----------
    .. [1] Hesterberg, The American Statistician 69, 371 (2015), section 3.2: the expanded percentile interval.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=100_000)
    >>> normal, few = percentile_interval(draws), percentile_interval(draws, 20)
    >>> round(normal[1], 1), round(few[1] / normal[1], 1)
    (2.0, 1.1)
    """
    reach = special.stdtrit(n_block - 1, (1 + coverage) / 2) / np.sqrt(1 - 1 / n_block)
    low, high = np.quantile(draws, special.ndtr([-reach, reach]))
    return float(low), float(high)


def widened(draws: np.ndarray, overlap: float) -> np.ndarray:
    r"""Return draws (draw,) of a mean over folds, their deviations grown for what the folds have in common.

    Where noise makes theta, folds a and b enter twice with the same product: b scored under a theta that a made, and a
    under one that b made. Resampling each fold under a fixed theta takes the two as independent, so the variance is too
    small by a factor between 1 and 2.

    Parameters
    ----------
    draws
        Means over folds, every fold drawn by itself under its theta.
    overlap
        Factor less 1: the share of the variance that is noise of theta, times the share of the other folds that each
        theta was fitted on; 0 for a single held-out part.

    Examples
    --------
    >>> widened(np.array([-1.0, 0.0, 1.0]), 0.44)
    array([-1.2,  0. ,  1.2])
    """
    centre = draws.mean()
    return centre + np.sqrt(1 + overlap) * (draws - centre)


def reversal_p_value(
    parts: Sequence[BlockScores], n_draw: int, rng: np.random.Generator, overlap: float = 0.0
) -> float:
    """Return the share of random block reversals, the recorded order among them, whose J is at least the recorded one.

    It tests time-reversal symmetry of the binned pair law: at equilibrium it is uniform. J of several ``parts`` is the
    mean of theirs, weighted by their numbers of transitions; ``overlap`` is that of :func:`widened`, where all of theta
    is noise.
    """
    count = np.array([part.count.sum() for part in parts])
    share = count / count.sum()
    recorded = float(share @ [part.objective for part in parts])
    rounding = 1e-12 * max(1.0, abs(recorded))
    draws = share @ np.stack([part.reversed_at_random(n_draw, rng) for part in parts])
    at_least = np.count_nonzero((widened(draws, overlap) if overlap else draws) >= recorded - rounding)
    return float((1 + at_least) / (1 + n_draw))


def tail_weight(reverse_score: np.ndarray) -> TailWeight:
    """Measure how evenly the weights exp(v) of held-out transitions are spread, from v (transition,).

    Examples
    --------
    >>> tail_weight(np.zeros(50))
    TailWeight(effective_sample_size=50.0, bias=0.0)
    """
    weight = np.exp(reverse_score - reverse_score.max())
    mean = weight.mean()
    return TailWeight(
        effective_sample_size=float(weight.sum() ** 2 / np.sum(weight**2)),
        bias=float(weight.var() / (2 * len(weight) * mean**2)),
    )


def _portions(n_draw: int) -> list[int]:
    """Return how many draws to make at a time."""
    full, rest = divmod(n_draw, DRAWS_AT_ONCE)
    return [DRAWS_AT_ONCE] * full + ([rest] if rest else [])
