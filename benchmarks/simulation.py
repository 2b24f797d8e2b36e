"""Simulation of a kinetic Ising network against the tightest C loops that could be thought of.

Run from the repository root: ``python benchmarks/simulation.py [--units 100] [--samples 1000000]``

For each case the C loops are compiled by gcc for this machine (-O3 -march=native -ffast-math), in single precision,
with xoshiro256++ inline (eight of them side by side where a vector unit can use them), and with the same thoughts
behind them as the kernels: no exponential where bounds decide, no branch on a flip where few units act on one. Several
are tried and the fastest is the reference. Loops and kernels take turns, CPU time is the least of a few rounds on a
part of the samples; memory is that of a whole run of the model in a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from neq.models import KineticIsing, sparse_spin_couplings, spiking_network
from neq.models.sampling import ParallelSampler, SequentialSampler

SOURCE = Path(__file__).with_name("simulation_loops.c")
LANES, N_ROUND = 8, 5
SEQUENTIAL = ("sequential_add", "sequential_keep", "sequential_keep_rows")
PARALLEL = ("parallel_add", "parallel_list", "parallel_rows")


def compile_loops(folder: Path) -> ctypes.CDLL:
    """Return the C loops, compiled for this machine."""
    if shutil.which("gcc") is None:
        raise SystemExit("gcc is needed for the reference loops")
    library = folder / "loops.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, str(SOURCE), "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library))


def padded(couplings: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first entry, sources and float weights of each target, padded to multiples of eight."""
    count = np.diff(couplings.indptr)
    first = np.concatenate([[0], np.cumsum(-(-count // LANES) * LANES)])
    entry = np.arange(couplings.nnz) + np.repeat(first[:-1] - couplings.indptr[:-1], count)
    sources, weights = np.zeros(first[-1], np.uint32), np.zeros(first[-1], np.float32)
    sources[entry], weights[entry] = couplings.indices, couplings.data
    return first.astype(np.uint32), sources, weights


class Loops:
    """One network as the C loops want it, and calls of them."""

    def __init__(self, library: ctypes.CDLL, model: KineticIsing, n_row: int) -> None:
        self.library, self.n_unit, self.n_row = library, model.n_unit, n_row
        incoming = sparse.csr_array(model.couplings)
        outgoing = sparse.csc_array(model.couplings)
        edge = 1.0 / (1.0 + np.exp(-np.arange(-32, 32.01, 1 / 16)))
        self.arrays = (
            *padded(incoming),
            outgoing.indptr.astype(np.uint32),
            outgoing.indices.astype(np.uint32),
            outgoing.data.astype(np.float32),
            np.ascontiguousarray(incoming.toarray().T, dtype=np.float32),
            model.bias.astype(np.float32),
            ((edge[1:] + edge[:-1]) / 2).astype(np.float32),
            ((edge[1:] - edge[:-1]) / 2).astype(np.float32),
            np.random.default_rng(0).integers(1, 2**63, size=4 * LANES, dtype=np.uint64),
        )
        self.out = np.empty((n_row, self.n_unit), np.uint8)

    def run(self, name: str, thin: int) -> np.ndarray:
        """Run one loop for ``n_row`` rows of states, each after ``thin`` updates, and return these."""
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*self.arrays, self.out)]
        counts = (ctypes.c_long(count) for count in (self.n_unit, self.n_row, thin))
        getattr(self.library, name)(*counts, *pointers)
        return self.out


def cpu(call: Callable[[], object]) -> float:
    """Return CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(library: ctypes.CDLL, model: KineticIsing, n_row: int) -> tuple[str, float, float]:
    """Return the fastest loop, its nanoseconds for each update of a unit, and those of the model."""
    sequential = model.dynamics == "sequential"
    thin = model.n_unit if sequential else 1
    loops = Loops(library, model, n_row)
    sampler = (SequentialSampler if sequential else ParallelSampler)(
        model.couplings, model.bias, np.random.default_rng(1)
    )
    out = np.empty((n_row, model.n_unit), dtype=bool)
    calls: dict[str, Callable[[], object]] = {
        name: partial(loops.run, name, thin) for name in (SEQUENTIAL if sequential else PARALLEL)
    }
    calls["neq"] = partial(sampler.advance, thin, out)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    activity = {}
    for _ in range(N_ROUND + 1):
        for name, call in calls.items():
            taken[name].append(cpu(call))
            activity[name] = float((out if name == "neq" else loops.out).mean())
    if max(activity.values()) - min(activity.values()) > 0.02:
        raise SystemExit(f"the loops do not simulate the same network: shares of active units {activity}")
    least = {name: 1e9 * min(times[1:]) / (n_row * model.n_unit) for name, times in taken.items()}
    best = min((name for name in least if name != "neq"), key=lambda name: least[name])
    return best, least[best], least["neq"]


def whole_run(kind: str, n_unit: int, n_sample: int) -> tuple[float, float, float]:
    """Run all samples through blocks; return CPU seconds, extra peak memory (MB) and activity."""
    model = networks(n_unit)[kind]
    thin = n_unit if model.dynamics == "sequential" else 1
    sum(block.sum() for block in model.stream(100, thin=thin))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    active = sum(int(block.sum()) for block in model.stream(n_sample, burn_in=n_sample // 10_000, thin=thin))
    seconds = time.process_time() - start
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, active / n_sample / n_unit


def networks(n_unit: int) -> dict[str, KineticIsing]:
    """Return the cases."""
    spins = sparse_spin_couplings(n_unit, np.random.default_rng(0))
    full = np.random.default_rng(1).normal(size=(n_unit, n_unit)) / np.sqrt(n_unit)
    np.fill_diagonal(full, 0.0)
    weights, bias = spiking_network(n_unit, np.random.default_rng(2))
    return {
        "sequential, 6 neighbours, beta 1": KineticIsing.from_spins(spins, beta=1.0, dynamics="sequential"),
        "sequential, 6 neighbours, beta 2.5": KineticIsing.from_spins(spins, beta=2.5, dynamics="sequential"),
        "sequential, all coupled": KineticIsing.from_spins(full, dynamics="sequential"),
        "sequential, 5% active": KineticIsing(couplings=weights, bias=bias, dynamics="sequential"),
        "parallel, 6 neighbours, beta 1": KineticIsing.from_spins(spins, beta=1.0),
        "parallel, all coupled": KineticIsing.from_spins(full),
        "parallel, 5% active": KineticIsing(couplings=weights, bias=bias),
    }


def main() -> None:
    """Print the table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000, help="samples of each timed round")
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print(f"{asked.units} units, {asked.samples} samples per unit; ns per update of a unit, CPU time, one thread")
    print(f"{'case':36s}{'fastest C loop':22s}{'C':>7s}{'neq':>7s}{'ratio':>7s}{'whole run':>11s}{'extra memory':>14s}")
    with tempfile.TemporaryDirectory() as folder:
        library = compile_loops(Path(folder))
        for kind, model in networks(asked.units).items():
            name, tight, ours = compare(library, model, asked.rows)
            print(f"{kind:36s}{name:22s}{tight:7.2f}{ours:7.2f}{ours / tight:7.2f}", end="", flush=True)
            if asked.samples:
                with context.Pool(1, maxtasksperchild=1) as pool:
                    seconds, memory, _ = pool.apply(whole_run, (kind, asked.units, asked.samples))
                print(f"{seconds:9.2f} s{memory:11.1f} MB", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
