"""The uncertainty relation for one odd observable, on transitions that had no part in choosing it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import uncertainty


@dataclass(frozen=True, eq=False)
class HeldOutRelation:
    """What held-out transitions say; the fields are those of :class:`~neq.estimators.mtur.MTURResult`."""

    entropy_production_held_out: float = np.nan
    entropy_production_held_out_uncapped: float = np.nan
    interval: tuple[float, float] = (np.nan, np.nan)
    n_interval_block: int = 0
    p_value: float = np.nan
    n_test: int = 0
    quality_held_out: frozenset[str] = frozenset()


def signed_relation(mean: np.ndarray | float, square: np.ndarray | float) -> np.ndarray:
    """Return ln(1 + 2 mean^2 / variance) with the sign of the mean, from the means of an odd observable and its square.

    The direction was chosen for a positive mean, so a negative one is evidence against it and must not count as more.

    Examples
    --------
    >>> signed_relation(np.array([1.0, -1.0, 0.0]), 3.0).round(3)
    array([ 0.693, -0.693,  0.   ])
    """
    mean = np.asarray(mean, dtype=float)
    # an observable that never varies has a variance of rounding errors
    variance = np.maximum(square - mean**2, np.maximum(np.finfo(float).eps * np.asarray(square), np.finfo(float).tiny))
    return np.sign(mean) * np.log1p(2 * mean**2 / variance)


def _block_sums(score: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return numbers, sums and sums of squares of scores (transition,) over blocks of time, (3, block)."""
    _, number = np.unique(block, return_inverse=True)
    return np.stack([np.bincount(number, weight) for weight in (np.ones_like(score), score, score**2)])


def evaluate_relation(
    score: np.ndarray, block: np.ndarray, n_draw: int, rng: np.random.Generator
) -> tuple[HeldOutRelation, str]:
    """Return the relation for one observable, its interval and p-value, and why there is no interval.

    Parameters
    ----------
    score
        The observable on held-out transitions (transition,).
    block
        Number of the block of time that each lies in (transition,).
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.
    rng
        Decides both.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found, reason = evaluate_relation(rng.normal(0.5, 1.0, 4000), np.arange(4000) // 20, 999, rng)
    >>> round(found.entropy_production_held_out, 1), found.p_value, reason
    (0.4, 0.001, '')
    """
    sums = _block_sums(score, block)
    count, n_block = sums[0].sum(), sums.shape[1]
    value = float(signed_relation(sums[1].sum() / count, sums[2].sum() / count))
    interval, p_value, reason = (np.nan, np.nan), np.nan, "no interval: n_draw is 0"
    if n_draw:
        turned = rng.choice([-1.0, 1.0], (n_draw, n_block)) @ sums[1]
        p_value = (1 + np.count_nonzero(turned >= sums[1].sum() - 1e-12 * np.abs(sums[1]).sum())) / (1 + n_draw)
        reason = f"no interval: {n_block} held-out blocks of independent time, {uncertainty.MIN_BLOCK} are needed"
    if n_draw and n_block >= uncertainty.MIN_BLOCK:
        draws = rng.multinomial(n_block, np.full(n_block, 1 / n_block), n_draw) @ sums.T
        interval = uncertainty.percentile_interval(
            signed_relation(draws[:, 1] / draws[:, 0], draws[:, 2] / draws[:, 0]), n_block
        )
        reason = ""
    cap = float(np.log(count))
    found = HeldOutRelation(
        entropy_production_held_out=min(value, cap),
        entropy_production_held_out_uncapped=value,
        interval=interval,
        n_interval_block=n_block,
        p_value=float(p_value),
        n_test=int(count),
        quality_held_out=frozenset({"capped"} if value > cap else ()),
    )
    return found, reason
