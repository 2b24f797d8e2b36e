"""MaxEnt against its dense float32 BLAS twin, side by side, one thread; and its kernels against this processor.

    python -m benchmarks.maxent_twin [--units 50 100 300] [--bins 360000] [--repeat 3] [--table FILE]

The twin keeps spins +-1 as float32 matrices (transition, unit), lets BLAS do the sums, and follows the published rule:
Barzilai-Borwein steps, first step 1 / N, patience 10. neq walks its ridge path: "path" is the iterate that validation
chose, as in the published rule, and "refit" the default, the same steps made again on train and validation. All
see the same shuffled split, 70% to fit, 20% to choose, 10% to score. Each fit runs in a process of its own, so that its
peak memory is its own; a row holds the medians of its rounds. The last rows are dense activity: 52 units of which a
quarter is active, and S1 where $NEQ_DATA has it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import neq
from benchmarks.early_stop import early_stop
from benchmarks.kernel_limit import kernel_rates
from neq.estimators.dense_observables import fitting_observable
from neq.estimators.ridge_path import PathOptions, fit_path
from neq.estimators.splits import split_transitions
from neq.estimators.validation import score_mean
from neq.models.couplings import spiking_network
from neq.models.kinetic_ising import KineticIsing
from neq.observables import observable_named
from neq.spikes.transitions import Transitions
from workflows.provenance import machine

KINDS = ("twin", "path", "refit")
TABLE = Path(__file__).parent / "maxent.md"


class DenseTwin:
    """The antisymmetric observable on dense spins; same calls as :class:`neq.observables.Observable`."""

    name, odd = "antisymmetric", True

    def __init__(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
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

    def reverse_tilted(self, transitions: Transitions, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log normaliser and mean of the tilted reverse process."""
        before, after = self._pair(transitions)
        score = self.reverse_score(transitions, theta)
        top = score.max()
        weight = np.exp(score - top)
        product = (after * (weight / weight.sum())[:, None]).T @ before
        mean = (product.T - product)[np.triu_indices(transitions.n_unit, 1)].astype(float)
        return float(top) + float(np.log(weight.mean())), mean


def network_model(n_unit: int) -> KineticIsing:
    """Return a sparse network: weights 0.5 N(0, 1) on 10% of pairs, bias N(-3.2, 0.5)."""
    couplings, bias = spiking_network(n_unit, np.random.default_rng(0))
    return KineticIsing(couplings=couplings, bias=bias)


def spikes_of(source: str, n_bin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes (bin, unit) and segment (bin,) of a network of that many units, of ``dense`` activity or of S1."""
    if source == "s1":
        spikes = neq.bin_spikes(neq.read_recording(Path(os.environ["NEQ_DATA"]) / "s1.npz"), 0.05)
        return spikes["spikes"].values, spikes["segment"].values
    model = network_model(52 if source == "dense" else int(source))
    if source == "dense":
        model, n_bin = KineticIsing(couplings=model.couplings, bias=model.bias + 2.2), n_bin // 10
    return model.simulate(n_bin, seed=0), np.zeros(n_bin)


def fit(kind: str, source: str, n_bin: int) -> dict[str, float]:
    """Fit once on one thread, compiled beforehand; return CPU seconds, held-out value, evaluations, extra memory."""
    spikes, segment = spikes_of(source, n_bin)
    transitions = Transitions.from_spikes(spikes, segment)
    split = split_transitions(transitions, "shuffled", np.random.default_rng(0))
    parts = [transitions.take(part) for part in (split.train, split.validation, split.test)]
    sparse = observable_named("antisymmetric")
    few = [part.take(np.arange(500)) for part in parts[:2]]
    fit_path(fitting_observable(sparse, few[0]), *few)
    before = _peak()
    with threadpool_limits(1):
        start = time.process_time()
        if kind == "twin":
            fitted = early_stop(DenseTwin([dense(spikes, part) for part in parts[:2]]), *parts[:2])
        else:
            options = PathOptions() if kind == "refit" else PathOptions(refit=False)
            fitted = fit_path(fitting_observable(sparse, parts[0]), *parts[:2], options)
        seconds = time.process_time() - start
    return {
        "cpu": seconds,
        "value": score_mean(sparse, parts[2], fitted.theta, sparse.mean(parts[2])),
        "evaluations": fitted.n_evaluation,
        "memory": _peak() - before,
        "units": transitions.n_unit,
        "rate": transitions.spikes_per_bin,
    }


def dense(spikes: np.ndarray, part: Transitions) -> tuple[np.ndarray, np.ndarray]:
    """Return spins of the earlier and the later bins as float32 (transition, unit)."""
    spins = np.where(spikes, np.float32(1), np.float32(-1))
    return spins[part.earlier], spins[part.later]


def row(source: str, n_bin: int, n_repeat: int) -> str:
    """Return one line of the table: the medians of ``n_repeat`` rounds."""
    rounds = [{kind: _apart(fit, kind, source, n_bin) for kind in KINDS} for _ in range(n_repeat)]
    ratio = [np.median([found["twin"]["cpu"] / found[kind]["cpu"] for found in rounds]) for kind in KINDS[1:]]
    middle = {key: [np.median([found[kind][key] for found in rounds]) for kind in KINDS] for key in rounds[0]["twin"]}
    name = f"{middle['units'][0]:.0f}" + ("" if source.isdigit() else f" ({source})")
    columns = [
        name,
        f"{middle['rate'][0]:.1f}",
        " / ".join(f"{count:.0f}" for count in middle["evaluations"]),
        " / ".join(f"{seconds:.2f}" for seconds in middle["cpu"]),
        " / ".join(f"**{value:.1f}**" for value in ratio),
        " / ".join(f"{value:.4f}" for value in middle["value"]),
        " / ".join(f"{memory:.0f}" for memory in middle["memory"]),
    ]
    return "| " + " | ".join(columns) + " |"


def _apart(function, *arguments):
    """Call in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _peak() -> float:
    """Return the peak memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="*", default=[50, 100, 300])
    parser.add_argument("--bins", type=int, default=360_000)
    parser.add_argument("--repeat", type=int, default=3, help="rounds for each row; of 300 units and more one is made")
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    lines = [
        f"{machine()['cpu']}, {arguments.bins} bins, one thread; twin / path / refit",
        "",
        "| N | spikes/bin | evaluations | CPU s | twin / neq | held-out nats | extra memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    sources = [str(units) for units in arguments.units] + ["dense"] + ["s1"] * ("NEQ_DATA" in os.environ)
    for source in sources:
        repeat = 1 if source.isdigit() and int(source) >= 300 else arguments.repeat
        lines.append(row(source, arguments.bins, repeat))
        print(lines[-1], flush=True)
    limits = ["", *(_apart(kernel_rates, units, arguments.bins) for units in arguments.units)]
    print("\n".join(limits))
    arguments.table.write_text("\n".join(lines + limits) + "\n")


if __name__ == "__main__":
    main()
