"""What is known of per-spin estimates: scores of held-out runs, intervals over runs, reasons to doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..spikes.spin_flips import SpinFlips
from .spin_sums import RunScores, run_scores, tilted

SPINS_AT_ONCE = 256
"""Spins fitted together, which bounds the memory of the optimiser."""
N_DRAW = 999
"""Resamples of the held-out runs behind an interval."""
MIN_RUN = 20
"""Fewer runs than these give no interval."""
MIN_EFFECTIVE_SAMPLE = 100.0
"""Below this effective number of held-out flips the tail decides the value of a spin."""
CONCERNED = 0.1
"""A flag is set where the spins that it is about carry this share of the value."""


@dataclass(frozen=True, eq=False)
class PerSpinResult:
    """An estimate of a lower bound on entropy production, summed over spins.

    Values are in nats per attempted update of the network.

    Parameters
    ----------
    entropy_production
        Mean over spins of ``frequency`` times ``spin_value``; NaN with a ``reason`` where all spins are ``n_unfitted``.
    standard_error, interval
        From resampling the runs it was scored on, with a 95% interval; NaN with a ``reason`` below 20 runs. They know
        nothing of a tail that no run has reached (flag ``tail_limited``).
    quality
        Reasons to doubt the value, each where the spins that it concerns carry a tenth of it: ``capped`` at ln(flips),
        ``tail_limited``; ``no_evidence`` where no spin has any.
    theta
        Parameters (unit, source), row by row those of each spin; zero where a spin has no evidence.
    frequency
        How often an attempted update flips each spin (unit,).
    spin_value
        Nats per flip of each spin (unit,); 0 where the spin is among the ``n_unfitted``.
    effective_sample_size
        Of the tilted average over held-out flips (unit,).
    n_evaluation
        Passes over the training samples.
    n_unfitted
        Spins that count as 0 because they flip too rarely, those that never flip among them: they have no flip in the
        held-out runs or, for one Newton step and the uncertainty relation, fewer flips than parameters to fit.
    reason
        Why a value is NaN.
    """

    entropy_production: float
    standard_error: float
    interval: tuple[float, float]
    quality: frozenset[str]
    theta: np.ndarray
    frequency: np.ndarray
    spin_value: np.ndarray
    effective_sample_size: np.ndarray
    n_evaluation: int
    n_unfitted: int
    reason: str = ""


def blocks(n_unit: int) -> list[slice]:
    """Return the blocks of spins that are fitted together."""
    return [slice(first, min(first + SPINS_AT_ONCE, n_unit)) for first in range(0, n_unit, SPINS_AT_ONCE)]


def all_scores(flips: SpinFlips, theta: np.ndarray) -> RunScores:
    """Return the sums over each run of the scores of all spins, for theta (unit, source)."""
    parts = [run_scores(flips, spins, theta[spins]) for spins in blocks(flips.n_unit)]
    names = ("count", "score", "square", "weight", "shift")
    return RunScores(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names))


def held_out(
    flips: SpinFlips,
    test: SpinFlips,
    theta: np.ndarray,
    n_evaluation: int,
    unfitted: np.ndarray,
    seed: int | np.random.SeedSequence,
) -> PerSpinResult:
    """Score theta on the test runs; ``unfitted`` marks the spins that had too few flips to fit it (unit,)."""
    scores, frequency = all_scores(test, theta), flips.frequency()
    count = scores.count.sum(axis=0)
    cap, unfitted = np.log(np.maximum(count, 1.0)), unfitted | (count == 0)
    # a spin without a held-out flip has no evidence, and 0 is its bound
    raw = np.nan_to_num(scores.objective())
    value = np.minimum(raw, cap)
    size = np.concatenate([tilted(test, spins, theta[spins]).effective_sample_size for spins in blocks(flips.n_unit)])
    draws, reason = _draws(scores, cap, frequency, np.random.default_rng(seed))
    total = float(np.mean(frequency * value))
    quality = _doubts(frequency * value, raw > cap, size < MIN_EFFECTIVE_SAMPLE, theta)
    if unfitted.all():
        total, quality, draws, reason = np.nan, frozenset({"no_evidence"}), np.empty(0), none_fitted(flips.n_unit)
    return PerSpinResult(
        entropy_production=total,
        standard_error=float(draws.std(ddof=1)) if draws.size else np.nan,
        interval=_percentiles(draws),
        quality=quality,
        theta=theta,
        frequency=frequency,
        spin_value=value,
        effective_sample_size=size,
        n_evaluation=n_evaluation,
        n_unfitted=int(unfitted.sum()),
        reason=reason,
    )


def _draws(
    scores: RunScores, cap: np.ndarray, frequency: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Return the value of resampled test runs (draw,), none with a reason where runs are too few."""
    n_run = len(scores.count)
    if n_run < MIN_RUN:
        return np.empty(0), too_few(n_run)
    times = rng.multinomial(n_run, np.full(n_run, 1 / n_run), size=N_DRAW)
    return np.mean(frequency * np.minimum(np.nan_to_num(scores.objective(times)), cap), axis=1), ""


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, (0.025, 0.975)) if draws.size else (np.nan, np.nan)
    return float(low), float(high)


def _doubts(part: np.ndarray, capped: np.ndarray, few: np.ndarray, theta: np.ndarray) -> frozenset[str]:
    """Return the flags of a value made of ``part`` (unit,)."""
    if not theta.any():
        return frozenset({"no_evidence"})
    concerned = {"capped": capped, "tail_limited": few & theta.any(axis=1)}
    size = np.abs(part)
    return frozenset(name for name, spins in concerned.items() if size[spins].sum() >= CONCERNED * size.sum())


def none_fitted(n_unit: int) -> str:
    """Return why there is no value."""
    return f"no value: each of the {n_unit} spins flips too rarely to be fitted and scored; sample longer"


def too_few(n_run: int) -> str:
    """Return why there is no interval."""
    return f"no interval: {n_run} independent runs, {MIN_RUN} are needed"
