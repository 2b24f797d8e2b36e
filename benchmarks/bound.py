"""How high the held-out value of MaxEnt is: against early stopping alone, and against the recordings' reference.

    python -m benchmarks.bound [--splits 20] [--bins 120000 360000]

The network has 300 units, sparse asymmetric couplings and an entropy production that is sampled without bias. Both fits
see the same shuffled split into 70 / 20 / 10%. The recordings are read from $NEQ_DATA and left out without it; their
reference is the mean and standard deviation over five shuffled splits of the published code.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

import neq
from benchmarks.early_stop import early_stop
from benchmarks.maxent_twin import network_model
from neq.estimators.dense_observables import fitting_observable
from neq.estimators.ridge_path import fit_path
from neq.estimators.splits import split_transitions
from neq.estimators.validation import score_mean
from neq.observables import Observable, observable_named
from neq.spikes.transitions import Transitions

N_UNIT = 300
RECORDINGS = {"retina_brownian_bar": 0.01, "s1": 0.05}
REFERENCE = Path(__file__).parents[1] / "tests/reference_data/maxent_estimates.json"


def parts(transitions: Transitions, seed: int) -> list[Transitions]:
    """Return train, validation and test of a shuffled split."""
    split = split_transitions(transitions, "shuffled", np.random.default_rng(seed))
    return [transitions.take(part) for part in (split.train, split.validation, split.test)]


def held_out(observable: Observable, theta: np.ndarray, test: Transitions) -> float:
    """Return J of theta on the test part, at most ln n."""
    return min(score_mean(observable, test, theta, observable.mean(test)), float(np.log(test.n_transition)))


def against_early_stop(n_bin: int, n_split: int) -> None:
    """Print the two held-out values of every split of a network, and their mean ratio."""
    observable = observable_named("antisymmetric")
    transitions = Transitions.from_spikes(network_model(N_UNIT).simulate(n_bin, seed=0))
    rows = []
    for seed in range(n_split):
        train, validation, test = parts(transitions, seed)
        path, stopped = fit_path(observable, train, validation), early_stop(observable, train, validation)
        rows.append([held_out(observable, theta, test) for theta in (path.theta, stopped.theta)])
        print(
            f"  split {seed:2d}: ridge {rows[-1][0]:.3f} ({path.n_evaluation} evaluations)"
            f", early stop {rows[-1][1]:.3f} ({stopped.n_evaluation})",
            flush=True,
        )
    ridge, early = np.transpose(rows)
    gain = ridge - early
    error = gain.std(ddof=1) / np.sqrt(n_split) / early.mean()
    print(
        f"{len(train.earlier)} training transitions: ridge {ridge.mean():.3f}, early stop {early.mean():.3f}, "
        f"gain {gain.mean() / early.mean():+.1%} +- {error:.1%} (standard error over {n_split} splits)"
    )


def recordings(n_split: int) -> None:
    """Print the held-out means over splits of the recordings beside the reference."""
    reference = json.loads(REFERENCE.read_text())
    for name, bin_size in RECORDINGS.items():
        spikes = neq.bin_spikes(neq.read_recording(Path(os.environ["NEQ_DATA"]) / f"{name}.npz"), bin_size)
        transitions = Transitions.from_spikes(spikes["spikes"].values, spikes["segment"].values)
        for kind in ("antisymmetric", "flow"):
            observable, values = observable_named(kind), []
            for seed in range(n_split):
                train, validation, test = parts(transitions, seed)
                values.append(
                    held_out(observable, fit_path(fitting_observable(observable, train), train, validation).theta, test)
                )
            there = reference[f"{name}/{kind}"]
            error = np.std(values, ddof=1) / np.sqrt(n_split)
            print(
                f"{name} {kind}: {np.mean(values):.4f} +- {error:.4f} (standard error over {n_split} splits), "
                f"reference {there['ep_mean']:.4f}, standard deviation {there['ep_sd']:.4f}",
                flush=True,
            )


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--bins", type=int, nargs="*", default=[120_000, 360_000])
    arguments = parser.parse_args()
    if "NEQ_DATA" in os.environ:
        recordings(arguments.splits)
    if arguments.bins:
        exact = network_model(N_UNIT).sample_entropy_production(20_000, n_restart=20)
        print(f"network of {N_UNIT} units: entropy production {exact.value:.3f} +- {exact.standard_error:.3f}")
    for n_bin in arguments.bins:
        against_early_stop(n_bin, arguments.splits)


if __name__ == "__main__":
    main()
