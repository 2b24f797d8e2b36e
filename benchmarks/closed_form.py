"""MTUR, the Newton step and the Gaussian closed form: processor time and memory of one thread.

    python -m benchmarks.closed_form [--units 100 300] [--bins 360000]

The spikes are those of a sparse network (weights 0.5 N(0, 1) on 10% of pairs, bias N(-3.2, 0.5)). Each estimate runs in
a process of its own, compiled beforehand: its peak memory is that of the whole process, spikes and simulation included.
The covariance of the observables, which none of them makes, would hold D^2 numbers with D = N (N - 1) / 2.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

from threadpoolctl import threadpool_limits

import neq
from benchmarks.maxent_twin import spikes_of

ESTIMATORS = {
    "MTUR": neq.MTUR(),
    "MTUR held out": neq.MTUR(held_out=True),
    "Newton step": neq.NewtonStep(half=False),
    "Newton step, half": neq.NewtonStep(),
    "Newton step, flow": neq.NewtonStep(observable="flow", half=False),
    "Gaussian": neq.GaussianEP(),
}


def measure(name: str, n_unit: int, n_bin: int) -> dict[str, float]:
    """Estimate once; return CPU seconds, peak MiB, iterations and the values on the data and held out."""
    estimator = ESTIMATORS[name]
    spikes, _ = spikes_of(str(n_unit), n_bin)
    data = spikes if name == "Gaussian" else neq.Transitions.from_spikes(spikes)
    estimator.fit(data[: 5 * n_unit] if name == "Gaussian" else neq.Transitions.from_spikes(spikes[:2000]))
    with threadpool_limits(1):
        start = time.process_time()
        result = estimator.fit(data)
        seconds = time.process_time() - start
    in_sample, held_out = values(result)
    return {
        "rate": float(spikes.sum() / n_bin),
        "seconds": seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "iterations": getattr(result, "n_iteration", 0),
        "in_sample": in_sample,
        "held_out": held_out,
    }


def values(result: neq.MTURResult | neq.NewtonStepResult | neq.GaussianEPResult) -> tuple[float, float]:
    """Return the in-sample and the held-out value of a result."""
    if isinstance(result, neq.MTURResult):
        return result.entropy_production, result.entropy_production_held_out
    if isinstance(result, neq.NewtonStepResult):
        return result.entropy_production_train, result.entropy_production
    return result.entropy_production_gaussian, result.entropy_production


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--bins", type=int, default=360_000)
    arguments = parser.parse_args()
    print(f"{arguments.bins} bins, one thread; values in nats per transition")
    print("   N  spikes/bin  estimator          seconds CPU  peak MiB  iterations  in-sample  held out")
    context = multiprocessing.get_context("spawn")
    for n_unit in arguments.units:
        for name in ESTIMATORS:
            with context.Pool(1, maxtasksperchild=1) as pool:
                row = pool.apply(measure, (name, n_unit, arguments.bins))
            print(
                f"{n_unit:4d}  {row['rate']:10.2f}  {name:17s}  {row['seconds']:11.2f}  {row['memory']:8.0f}"
                f"  {row['iterations']:10.0f}  {row['in_sample']:9.4f}  {row['held_out']:8.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
