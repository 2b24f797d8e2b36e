"""Sums over the flips of spins of their observables, for many spins in one pass.

The observables of a flip of spin i in the state x are :math:`g_{ij} = -2 x_i x_j`. Spins share the states, so that
scores and weighted sums of all of them are two matrix products. These run in single precision over portions of the
samples; sums over portions are double. The entry j = i is constant and is kept at zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..spikes.spin_flips import SpinFlips

SAMPLES_AT_ONCE = 4096
"""Samples unpacked together: matrices of some MB, which the processor's cache holds."""


@dataclass(frozen=True, eq=False)
class Tilted:
    """Averages over the flips of each spin with weights w = exp(-theta.g).

    Parameters
    ----------
    log_normaliser
        ln of the mean of w (spin,); NaN where there is no flip.
    mean
        Weighted mean of g (spin, source); zero where there is no flip.
    effective_sample_size
        (sum w)^2 / sum w^2 (spin,); zero where there is no flip.
    """

    log_normaliser: np.ndarray
    mean: np.ndarray
    effective_sample_size: np.ndarray


@dataclass(frozen=True, eq=False)
class RunScores:
    """Scores u = theta.g of flips, summed over each run.

    Parameters
    ----------
    count, score, square
        Flips, sum of u and of its square (restart, spin).
    weight
        Sum of exp(-u - shift) (restart, spin).
    shift
        Common to all runs (spin,).
    """

    count: np.ndarray
    score: np.ndarray
    square: np.ndarray
    weight: np.ndarray
    shift: np.ndarray

    def objective(self, times: np.ndarray | None = None) -> np.ndarray:
        """Return J (spin,); with ``times`` (draw, restart), how often each draw takes a run, (draw, spin).

        NaN where there is no flip.
        """
        times = np.ones(len(self.count)) if times is None else times
        with np.errstate(divide="ignore", invalid="ignore"):
            count = times @ self.count
            value = (times @ self.score) / count - np.log(times @ self.weight / count) - self.shift
        return np.where(np.isfinite(value), value, np.nan)


def own(matrix: np.ndarray, spins: slice) -> np.ndarray:
    """Put zero where a row of ``matrix`` (spin, source) meets its own spin; returns the same array."""
    rows = np.arange(len(matrix))
    matrix[rows, rows + spins.start] = 0.0
    return matrix


def second_moment(flips: SpinFlips) -> np.ndarray:
    """Return the mean of x_j x_k over all samples (unit, unit)."""
    total = np.zeros((flips.n_unit, flips.n_unit))
    for x, _ in flips.portions(SAMPLES_AT_ONCE):
        total += x.T @ x
    return total / flips.n_sample


def tilted(flips: SpinFlips, spins: slice, theta: np.ndarray) -> Tilted:
    """Return the weighted averages of ``spins`` for theta (spin, source)."""
    n_spin = len(theta)
    pair = np.zeros((n_spin, flips.n_unit))
    total, square, count, top = np.zeros(n_spin), np.zeros(n_spin), np.zeros(n_spin), np.full(n_spin, -np.inf)
    for x, flipped in flips.portions(SAMPLES_AT_ONCE):
        mine, here = x[:, spins], flipped[:, spins]
        weight = np.where(here, -_scores(x, mine, theta), np.float32(-np.inf))
        peak = np.maximum(top, weight.max(axis=0))
        # where no flip was seen yet, any finite shift will do
        shift = np.where(np.isfinite(peak), peak, 0.0)
        weight -= shift.astype(np.float32)
        np.exp(weight, out=weight)
        scale = np.exp(top - shift)
        total = total * scale + weight.sum(axis=0, dtype=float)
        square = square * scale**2 + np.einsum("ti,ti->i", weight, weight)
        weight *= mine
        pair = pair * scale[:, np.newaxis] + weight.T @ x
        count, top = count + here.sum(axis=0), peak
    seen = np.maximum(total, np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_normaliser = np.where(count > 0, top + np.log(total / count), np.nan)
    return Tilted(log_normaliser, own(-2.0 * pair / seen[:, np.newaxis], spins), total * (total / _positive(square)))


def covariance_product(flips: SpinFlips, spins: slice, vector: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return K_i v_i for each spin, K_i the covariance of g over its flips, for v and the mean of g (spin, source)."""
    pair, count = np.zeros_like(mean), np.zeros(len(mean))
    for x, flipped in flips.portions(SAMPLES_AT_ONCE):
        mine, here = x[:, spins], flipped[:, spins]
        weight = _scores(x, mine, vector)
        weight *= mine
        weight *= here
        pair += weight.T @ x
        count += here.sum(axis=0)
    product = -2.0 * pair / np.maximum(count, 1.0)[:, np.newaxis]
    return own(product - mean * np.sum(mean * vector, axis=1, keepdims=True), spins)


def run_scores(flips: SpinFlips, spins: slice, theta: np.ndarray) -> RunScores:
    """Return the sums over each run of the scores for theta (spin, source)."""
    shape = (flips.n_restart, len(theta))
    count, score, square, weight, top = (np.zeros(shape) for _ in range(5))
    top[:] = -np.inf
    for run in range(flips.n_restart):
        for x, flipped in flips.restarts(run, run + 1).portions(SAMPLES_AT_ONCE):
            mine, here = x[:, spins], flipped[:, spins]
            u = np.where(here, _scores(x, mine, theta), 0.0)
            log_weight = np.where(here, -u, -np.inf)
            before, top[run] = top[run].copy(), np.maximum(top[run], log_weight.max(axis=0))
            own_shift = np.where(np.isfinite(top[run]), top[run], 0.0)
            count[run] += here.sum(axis=0)
            score[run] += u.sum(axis=0, dtype=float)
            square[run] += np.sum(u**2, axis=0, dtype=float)
            weight[run] *= np.exp(before - own_shift)
            weight[run] += np.exp(log_weight - own_shift).sum(axis=0, dtype=float)
    shift = top.max(axis=0)
    shift[~np.isfinite(shift)] = 0.0
    return RunScores(count, score, square, weight * np.exp(top - shift), shift)


def _scores(x: np.ndarray, mine: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return theta.g (sample, spin), flip or not."""
    score = x @ np.ascontiguousarray(-2.0 * theta.T, dtype=np.float32)
    score *= mine
    return score


def _positive(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with 1 in place of 0, to divide by."""
    return np.where(values > 0, values, 1.0)
