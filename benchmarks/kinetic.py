"""The kinetic state-space model against a plain numpy version, each EM iteration, and a whole fit on two threads.

Run as ``python -m benchmarks.kinetic`` from the repository root; prints the table and writes ``benchmarks/kinetic.md``.
The twin takes the matrix of features (trial, parameter) of each bin; searches and updates are the same. ``--whole``
also fits all 120 iterations of the published analysis.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from neq.ising import KineticStateSpaceIsing
from neq.ising.kinetic import SEARCH_TOLERANCE
from workflows import provenance

TABLE = Path(__file__).with_suffix(".md")
N_UNIT, N_TIME, N_TRIAL = 80, 74, 566
N_ITERATION = 3


def main(whole: bool) -> None:
    """Measure, print and write the table."""
    lines = [f"{provenance.machine()['cpu']}, load {os.getloadavg()[0]:.1f} when it began; ", ""]
    lines[0] += f"{N_UNIT} units, {N_TIME} bins, {N_TRIAL} trials, diagonal Q"
    spikes = simulated()
    KineticStateSpaceIsing(max_iter=1).fit(spikes[:3, :, :4])  # compiles
    with threadpool_limits(1):
        ours, likelihoods = iterations(spikes, 1)
        slow, theirs = twin(spikes)
        two, _ = iterations(spikes, 2)
    if not np.allclose(likelihoods, theirs, rtol=1e-9):
        raise SystemExit(f"the twin found {theirs}, neq {likelihoods}")
    lines += ["| iteration | twin s | neq s | ratio | asked | neq on two threads s |", "|" + "---|" * 6]
    for number, times in enumerate(zip(slow, ours, two, strict=True), 1):
        twins, one, both = times
        lines.append(f"| {number} | {twins:.1f} | {one:.1f} | {twins / one:.1f} | 2 | {both:.1f} |")
    if whole:
        start = time.perf_counter()
        with threadpool_limits(1):
            options = {"state_cov": "diagonal", "max_iter": 120, "tolerance": -np.inf, "n_jobs": 2}
            KineticStateSpaceIsing(**options).fit(spikes)
        lines += ["", f"120 iterations on two threads: {(time.perf_counter() - start) / 60:.1f} min (asked: 15)"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines += ["", f"peak memory of all of this: {peak:.2f} GiB (asked: 3)"]
    print("\n".join(lines))
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def simulated() -> np.ndarray:
    """Return spikes (time, trial, unit) of a network with random couplings."""
    rng = np.random.default_rng(0)
    couplings = rng.normal(5 / N_UNIT, np.sqrt(10 / N_UNIT), (N_UNIT, N_UNIT))
    spikes = np.zeros((N_TIME + 1, N_TRIAL, N_UNIT), dtype=bool)
    spikes[0] = rng.random((N_TRIAL, N_UNIT)) < 0.2
    for t in range(1, N_TIME + 1):
        field = -3.0 + spikes[t - 1] @ couplings.T
        spikes[t] = rng.random(field.shape) < 1.0 / (1.0 + np.exp(-field))
    return spikes


def iterations(spikes: np.ndarray, n_jobs: int) -> tuple[list[float], list[float]]:
    """Return the seconds and the likelihood of each iteration."""
    ends, likelihoods = [time.perf_counter()], []

    def note(_: int, mll: float) -> None:
        ends.append(time.perf_counter())
        likelihoods.append(mll)

    KineticStateSpaceIsing(state_cov="diagonal", max_iter=N_ITERATION, n_jobs=n_jobs).fit(spikes, progress=note)
    return np.diff(ends).tolist(), likelihoods


def twin(spikes: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the seconds and the likelihood of each iteration of plain numpy."""
    features = np.concatenate([np.ones((N_TIME, N_TRIAL, 1)), spikes[:-1]], axis=2)
    observed = np.einsum("tli,tlf->itf", spikes[1:].astype(float), features, optimize=True)
    n_parameter = N_UNIT + 1
    start, noise = np.stack([np.eye(n_parameter)] * N_UNIT), np.stack([0.5 * np.eye(n_parameter)] * N_UNIT)
    theta, seconds, likelihoods = np.zeros((N_UNIT, N_TIME, n_parameter)), [], []
    for _ in range(N_ITERATION):
        begin, likelihood = time.perf_counter(), 0.0
        for unit in range(N_UNIT):
            likelihood += one_unit(features, observed[unit], theta[unit], start, noise, unit)
        seconds.append(time.perf_counter() - begin)
        likelihoods.append(likelihood)
    return seconds, likelihoods


def one_unit(
    features: np.ndarray, observed: np.ndarray, theta: np.ndarray, start: np.ndarray, noise: np.ndarray, unit: int
) -> float:
    """Filter, smooth and update one unit; return its likelihood."""
    n_time, n_parameter = observed.shape
    likelihood, predicted = 0.0, np.zeros((n_time, n_parameter))
    covariance, ahead, precision = np.empty((3, n_time, n_parameter, n_parameter))
    for t in range(n_time):
        if t:
            predicted[t] = theta[t - 1]
        ahead[t] = covariance[t - 1] + noise[unit] if t else start[unit]
        precision[t] = np.linalg.inv(ahead[t])
        while True:
            rate = 1.0 / (1.0 + np.exp(-features[t] @ theta[t]))
            gradient = rate @ features[t] - observed[t] + precision[t] @ (theta[t] - predicted[t])
            curvature = (features[t] * (rate * (1.0 - rate))[:, None]).T @ features[t] + precision[t]
            theta[t] -= np.linalg.solve(curvature, gradient)
            if np.abs(gradient).max() <= SEARCH_TOLERANCE * N_TRIAL:
                break
        covariance[t] = np.linalg.inv(curvature)
        apart = theta[t] - predicted[t]
        likelihood += theta[t] @ observed[t] - np.logaddexp(0.0, features[t] @ theta[t]).sum()
        likelihood += 0.5 * (np.linalg.slogdet(covariance[t])[1] - np.linalg.slogdet(ahead[t])[1])
        likelihood -= 0.5 * apart @ precision[t] @ apart
    smoothed, moved = theta.copy(), np.zeros((n_parameter, n_parameter))
    for t in range(n_time - 2, -1, -1):
        gain = covariance[t] @ precision[t + 1]
        smoothed[t] += gain @ (smoothed[t + 1] - predicted[t + 1])
        covariance[t] += gain @ (covariance[t + 1] - ahead[t + 1]) @ gain.T
        lag, step = gain @ covariance[t + 1], smoothed[t + 1] - smoothed[t]
        moved += covariance[t + 1] + covariance[t] - lag - lag.T + np.outer(step, step)
    noise[unit] = np.diag(np.diag(moved / (n_time - 1)))
    start[unit] = covariance[0] + np.outer(smoothed[0], smoothed[0])
    return likelihood


if __name__ == "__main__":
    main("--whole" in sys.argv[1:])
