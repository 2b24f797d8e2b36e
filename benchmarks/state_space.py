"""The state-space Ising model against a plain numpy version of the same EM, side by side on one thread.

Run as ``python -m benchmarks.state_space`` from the repository root; prints the table and writes
``benchmarks/state_space.md``. The twin has the matrix of features (word, parameter) and takes the Fisher information as
a product of it, as one would write it down; searches, updates and the end of the iterations are the same.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from neq.ising import Patterns, StateSpaceIsing, StateSpaceIsingResult, generate_spikes, generate_thetas
from neq.ising.state_space import SEARCH_TOLERANCE
from workflows import provenance

TABLE = Path(__file__).with_suffix(".md")
CASES = ((8, 60, 120), (10, 20, 200))
"""Units, bins, trials."""
TITLES = ("units", "bins", "trials", "iterations", "twin s", "neq s", "ratio", "asked", "largest difference of theta")
LIMIT = ("units", "neq us per bin and iteration", "2^N x D us", "times")
ROUNDS = 15


def main() -> None:
    """Measure, print and write the tables."""
    lines = [f"{provenance.machine()['cpu']}, load {os.getloadavg()[0]:.1f} when it began; least of {ROUNDS}", ""]
    with threadpool_limits(1):
        measured = [compare(*case) for case in CASES]
    for titles, rows in ((TITLES, [one[0] for one in measured]), (LIMIT, [one[1] for one in measured])):
        lines += [
            f"| {' | '.join(titles)} |",
            "|" + "---|" * len(titles),
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    print("\n".join(lines))
    TABLE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def compare(n_unit: int, n_time: int, n_trial: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line of each table."""
    patterns = Patterns(n_unit)
    words = np.array([patterns.probabilities(one) for one in generate_thetas(n_unit, 2, n_time, seed=1)])
    spikes = generate_spikes(words, n_trial, seed=2)
    StateSpaceIsing(max_iter=1).fit(spikes)  # compiles
    seconds: dict[str, list[float]] = {"twin": [], "neq": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        theta, n_iteration = twin(patterns, spikes)
        seconds["twin"].append(time.perf_counter() - start)
        start = time.perf_counter()
        result = StateSpaceIsing().fit(spikes)
        seconds["neq"].append(time.perf_counter() - start)
    if n_iteration != result.n_iteration:
        raise SystemExit(f"the twin took {n_iteration} iterations, neq {result.n_iteration}")
    slow, fast = min(seconds["twin"]), min(seconds["neq"])
    apart = np.abs(theta - result.theta_s).max()
    facts = (
        n_unit,
        n_time,
        n_trial,
        n_iteration,
        f"{slow:.3f}",
        f"{fast:.3f}",
        f"{slow / fast:.1f}",
        5,
        f"{apart:.0e}",
    )
    return tuple(map(str, facts)), limit(result, fast)


def limit(result: StateSpaceIsingResult, seconds: float) -> tuple[str, ...]:
    """Return what a bin takes in one iteration, beside one pass over the matrix of features (word, parameter)."""
    patterns = result.patterns
    features = patterns.products(patterns.words.astype(bool)).astype(float)
    weight = patterns.probabilities(result.theta_s[0])
    start = time.perf_counter()
    for _ in range(2000):
        weight @ features
    one_pass = (time.perf_counter() - start) / 2000
    per_bin = seconds / result.n_iteration / len(result.y)
    return (str(patterns.n_unit), f"{1e6 * per_bin:.0f}", f"{1e6 * one_pass:.1f}", f"{per_bin / one_pass:.0f}")


def twin(patterns: Patterns, spikes: np.ndarray) -> tuple[np.ndarray, int]:
    """Return smoothed parameters (time, parameter) and the number of iterations, by plain numpy."""
    features = patterns.products(patterns.words.astype(bool)).astype(float)
    n_time, n_trial, n_unit = spikes.shape
    n_parameter, y = features.shape[1], patterns.products(spikes.astype(bool)).mean(axis=1)
    start, noise, smoothed = np.zeros(n_parameter), 0.01 * np.eye(n_parameter), np.zeros_like(y)
    before, rise, n_iteration = -n_time * n_trial * n_unit * np.log(2.0), np.inf, 0
    while rise > 1e-4:
        theta, covariance, predicted, spread, psi = [], [], [], [], []
        for t in range(n_time):
            predicted.append(theta[-1] if t else start)
            spread.append(covariance[-1] + noise if t else 0.1 * np.eye(n_parameter))
            found = search(features, smoothed[t], y[t], n_trial, predicted[-1], np.linalg.inv(spread[-1]))
            for place, value in zip((theta, covariance, psi), found, strict=True):
                place.append(value)
        smoothed, kept = np.array(theta), list(covariance)
        moved = np.zeros((n_parameter, n_parameter))
        for t in range(n_time - 2, -1, -1):
            gain = covariance[t] @ np.linalg.inv(spread[t + 1])
            smoothed[t] += gain @ (smoothed[t + 1] - predicted[t + 1])
            kept[t] = covariance[t] + gain @ (kept[t + 1] - spread[t + 1]) @ gain.T
            lag, step = gain @ kept[t + 1], smoothed[t + 1] - smoothed[t]
            moved += kept[t + 1] + kept[t] - lag - lag.T + np.outer(step, step)
        start, noise = smoothed[0].copy(), np.trace(moved) / (n_time - 1) / n_parameter * np.eye(n_parameter)
        predicted[0], mll = start, 0.0
        for t in range(n_time):
            apart = theta[t] - predicted[t]
            mll += n_trial * (y[t] @ theta[t] - psi[t]) - 0.5 * apart @ np.linalg.solve(spread[t], apart)
            mll += 0.5 * (np.linalg.slogdet(covariance[t])[1] - np.linalg.slogdet(spread[t])[1])
        before, rise, n_iteration = mll, (before - mll) / before, n_iteration + 1
    return smoothed, n_iteration


def search(
    features: np.ndarray, theta: np.ndarray, y: np.ndarray, n_trial: int, prior: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mode, covariance and log normaliser of one bin."""
    while True:
        energy = features @ theta
        top = energy.max()
        weight = np.exp(energy - top)
        psi = top + np.log(weight.sum())
        p = weight / weight.sum()
        eta = features.T @ p
        fisher = (features * p[:, None]).T @ features - np.outer(eta, eta)
        gradient = n_trial * (y - eta) - precision @ (theta - prior)
        curvature = n_trial * fisher + precision
        if np.abs(gradient).max() <= SEARCH_TOLERANCE * n_trial:
            return theta, np.linalg.inv(curvature), psi
        theta = theta + np.linalg.solve(curvature, gradient)


if __name__ == "__main__":
    main()
