"""What the spin model costs: sampling, and the fits of all spins, in CPU seconds and peak memory.

    python -m benchmarks.spin_model [--units 1000] [--samples 100000] [--beta 1.35] [--estimators maxent]

One thread, one inverse temperature, compiled beforehand. Both parts are linear in the number of samples; the last line
says what a million of them would take.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from neq.estimators.per_spin import PER_SPIN
from neq.models import sparse_spin_couplings
from neq.models.spin_flips import sample_spin_flips

FULL = 1_000_000


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    couplings = sparse_spin_couplings(arguments.units, np.random.default_rng(1))
    small = sample_spin_flips(sparse_spin_couplings(10, np.random.default_rng(0), mean_neighbours=3), 1.0, 200, 20)
    PER_SPIN["maxent"]().fit(small.flips)
    print(f"{platform.processor() or platform.machine()}, one thread; N = {arguments.units}, beta = {arguments.beta}")
    print(f"before: {_peak():.0f} MiB")
    with threadpool_limits(1):
        start = time.process_time()
        sample = sample_spin_flips(couplings, arguments.beta, arguments.samples, arguments.restarts)
        spent = {"sampling": time.process_time() - start}
        tried = 2 * arguments.units * arguments.samples * 1.05
        print(f"{arguments.samples} samples per spin: {spent['sampling']:.1f} s CPU, {_peak():.0f} MiB")
        print(f"  {1e9 * spent['sampling'] / tried:.1f} ns for an attempted or trial update")
        print(f"  model: {sample.entropy_production:.4f} +- {sample.standard_error:.4f} nats per attempted update")
        for name in arguments.estimators:
            start = time.process_time()
            result = PER_SPIN[name]().fit(sample.flips)
            spent[name] = time.process_time() - start
            told = f"{result.entropy_production:.4f} +- {result.standard_error:.4f}, {result.n_evaluation} passes"
            print(f"{name}: {told}, {', '.join(sorted(result.quality)) or 'no flag'}")
            print(f"  {spent[name]:.1f} s CPU, {_peak():.0f} MiB")
    factor = FULL / arguments.samples
    told = ", ".join(f"{name} {seconds * factor / 60:.1f} min" for name, seconds in spent.items())
    print(f"at {FULL} samples per spin, by proportion: {told}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--restarts", type=int, default=200)
    parser.add_argument("--beta", type=float, default=1.35)
    parser.add_argument("--estimators", nargs="+", choices=list(PER_SPIN), default=["maxent"])
    return parser.parse_args()


def _peak() -> float:
    """Return the peak memory of this process so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
