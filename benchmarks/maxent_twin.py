"""MaxEnt in sparse form against its dense float32 BLAS twin: the same fit, side by side, one thread.

    python benchmarks/maxent_twin.py [--units 50 100] [--bins 360000]

The twin walks the same ridge path with the same optimiser on the same split; only the objective differs. It keeps
spins +-1 as float32 matrices (transition, unit) and lets BLAS do the sums. Each fit runs in a process of its own, so
that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from neq.estimators.ridge_path import fit_path, score_mean
from neq.estimators.splits import split_transitions
from neq.models.kinetic_ising import KineticIsing
from neq.observables import observable_named
from neq.spikes.transitions import Transitions

N_REPEAT = 3


class DenseTwin:
    """The antisymmetric observable on dense spins; same calls as :class:`neq.observables.Observable`."""

    name, odd = "antisymmetric", True

    def __init__(self, parts: list[np.ndarray]) -> None:
        self.spins = {len(before): (before, after) for before, after in parts}

    def matrix(self, theta: np.ndarray, n_unit: int) -> np.ndarray:
        """Return theta as an antisymmetric matrix."""
        matrix = np.zeros((n_unit, n_unit), np.float32)
        matrix[np.triu_indices(n_unit, 1)] = theta
        return matrix - matrix.T

    def _pair(self, transitions: Transitions) -> tuple[np.ndarray, np.ndarray]:
        return self.spins[transitions.n_transition]

    def reverse_score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of the exchanged transitions."""
        before, after = self._pair(transitions)
        return -np.einsum("ti,ti->t", after @ self.matrix(theta, transitions.n_unit), before)

    def mean(self, transitions: Transitions) -> np.ndarray:
        """Return the mean of g."""
        before, after = self._pair(transitions)
        product = after.T @ before / np.float32(len(before))
        return (product - product.T)[np.triu_indices(transitions.n_unit, 1)].astype(float)

    def variance(self, transitions: Transitions) -> np.ndarray:
        """Return the variance of g."""
        before, after = self._pair(transitions)
        same = before * after
        square = 2 - 2 * (same.T @ same) / np.float32(len(before))
        return square[np.triu_indices(transitions.n_unit, 1)].astype(float) - self.mean(transitions) ** 2

    def reverse_tilted(self, transitions: Transitions, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log normaliser and mean of the tilted reverse process."""
        before, after = self._pair(transitions)
        score = self.reverse_score(transitions, theta)
        top = score.max()
        weight = np.exp(score - top)
        product = (after * (weight / weight.sum())[:, None]).T @ before
        mean = (product.T - product)[np.triu_indices(transitions.n_unit, 1)].astype(float)
        return float(top) + float(np.log(weight.mean())), mean


def network(n_unit: int, n_bin: int) -> np.ndarray:
    """Return spikes (bin, unit) of a sparse network: weights 0.5 N(0, 1) on 10% of pairs, bias N(-3.2, 0.5)."""
    rng = np.random.default_rng(0)
    couplings = 0.5 * rng.normal(size=(n_unit, n_unit)) * (rng.random((n_unit, n_unit)) < 0.1)
    return KineticIsing(couplings=couplings, bias=rng.normal(-3.2, 0.5, n_unit)).simulate(n_bin, seed=0)


def fit(kind: str, n_unit: int, n_bin: int) -> dict[str, float]:
    """Fit once on one thread, compiled beforehand; return CPU seconds, held-out value, evaluations, extra memory."""
    spikes = network(n_unit, n_bin)
    transitions = Transitions.from_spikes(spikes)
    split = split_transitions(transitions, "shuffled", np.random.default_rng(0))
    parts = [transitions.take(part) for part in (split.train, split.validation, split.test)]
    sparse = observable_named("antisymmetric")
    fit_path(sparse, *(part.take(np.arange(500)) for part in parts[:2]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with threadpool_limits(1):
        start = time.process_time()
        observable = sparse if kind == "sparse" else DenseTwin([dense(spikes, part) for part in parts])
        path = fit_path(observable, *parts[:2])
        seconds = time.process_time() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    value = score_mean(sparse, parts[2], path.theta, sparse.mean(parts[2]))
    rate = transitions.spikes_per_bin
    return {"cpu": seconds, "value": value, "evaluations": path.n_evaluation, "memory": memory, "rate": rate}


def dense(spikes: np.ndarray, part: Transitions) -> tuple[np.ndarray, np.ndarray]:
    """Return spins of the earlier and the later bins as float32 (transition, unit)."""
    spins = np.where(spikes, np.float32(1), np.float32(-1))
    return spins[part.earlier], spins[part.later]


def main() -> None:
    """Print the table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--bins", type=int, default=360_000)
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {arguments.bins} bins, one thread, median of {N_REPEAT} pairs"
    )
    print("   N  spikes/bin  evaluations  dense s  sparse s  ratio  dense MiB  sparse MiB  EP dense  EP sparse")
    context = multiprocessing.get_context("spawn")
    for n_unit in arguments.units:
        rows = []
        for _ in range(N_REPEAT):
            with context.Pool(1, maxtasksperchild=1) as pool:
                rows.append([pool.apply(fit, (kind, n_unit, arguments.bins)) for kind in ("dense", "sparse")])
        ratio = np.median([dense["cpu"] / sparse["cpu"] for dense, sparse in rows])
        one, two = ({key: np.median([row[k][key] for row in rows]) for key in rows[0][0]} for k in (0, 1))
        print(
            f"{n_unit:4d}  {two['rate']:10.2f}  {one['evaluations']:.0f} / {two['evaluations']:.0f}"
            f"      {one['cpu']:7.2f}  {two['cpu']:8.3f}  {ratio:5.1f}  {one['memory']:9.0f}  {two['memory']:10.0f}"
            f"  {one['value']:8.4f}  {two['value']:9.4f}"
        )


if __name__ == "__main__":
    main()
