"""Simulation of a kinetic Ising network against the tightest C loops that could be thought of.

Run from the repository root: ``python benchmarks/simulation.py [--units 100] [--samples 1000000]``

For each case the C loops are compiled by gcc for this machine (-O3 -march=native -ffast-math), in single precision,
with xoshiro256++ inline (eight of them side by side where a vector unit can use them), and with the same thoughts
behind them as the kernels: no exponential where bounds decide, no branch on a flip where few units act on one. Several
are tried and the fastest is the reference, once with random numbers of 24 bits and once with 53 as the kernels draw
them. Loops and kernels take turns, CPU time is the least of a few rounds on a part of the samples.

Memory is the most that Python and numpy held at once beyond what was there before, in a whole run of the model and in a
run of a tenth of the samples: what is streamed needs the same for both.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from neq.models import KineticIsing, sparse_spin_couplings, spiking_network
from neq.models.sampling import ParallelSampler, SequentialSampler

SOURCE = Path(__file__).with_name("simulation_loops.c")
LANES, N_ROUND = 8, 5
BITS = (24, 53)
SEQUENTIAL = ("sequential_add", "sequential_keep", "sequential_keep_rows")
PARALLEL = ("parallel_add", "parallel_list", "parallel_rows")


def compile_loops(folder: Path, bits: int) -> ctypes.CDLL:
    """Return the C loops with random numbers of so many bits, compiled for this machine."""
    if shutil.which("gcc") is None:
        raise SystemExit("gcc is needed for the reference loops")
    library = folder / f"loops_{bits}.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", *(["-DWIDE"] if bits == 53 else [])]
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


def cpu(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return CPU seconds of one call, and what it returned."""
    start = time.process_time()
    states = call()
    return time.process_time() - start, states


def compare(libraries: dict[int, ctypes.CDLL], model: KineticIsing, n_row: int) -> dict[str, float]:
    """Return nanoseconds for each update of a unit: of the model, and of the C loops by their name and bits."""
    sequential = model.dynamics == "sequential"
    thin = model.n_unit if sequential else 1
    loops = {bits: Loops(library, model, n_row) for bits, library in libraries.items()}
    sampler = (SequentialSampler if sequential else ParallelSampler)(
        model.couplings, model.bias, np.random.default_rng(1)
    )
    out = np.empty((n_row, model.n_unit), dtype=bool)
    calls: dict[str, Callable[[], np.ndarray]] = {
        f"{name} {bits}": partial(loop.run, name, thin)
        for bits, loop in loops.items()
        for name in (SEQUENTIAL if sequential else PARALLEL)
    }
    calls["neq"] = lambda: (sampler.advance(thin, out), out)[1]
    taken: dict[str, list[float]] = {name: [] for name in calls}
    activity = {}
    for _ in range(N_ROUND + 1):
        for name, call in calls.items():
            seconds, states = cpu(call)
            taken[name].append(seconds)
            activity[name] = float(states.mean())
    if max(activity.values()) - min(activity.values()) > 0.02:
        raise SystemExit(f"the loops do not simulate the same network: shares of active units {activity}")
    return {name: 1e9 * min(times[1:]) / (n_row * model.n_unit) for name, times in taken.items()}


def whole_run(model: KineticIsing, n_sample: int) -> tuple[float, float]:
    """Run all samples through blocks; return CPU seconds, and the most that was held at once in MB."""
    thin = model.n_unit if model.dynamics == "sequential" else 1
    tracemalloc.start()
    start = time.process_time()
    for block in model.stream(n_sample, burn_in=n_sample // 10_000, thin=thin):
        block.sum()
    seconds = time.process_time() - start
    held = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, held


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
    print(f"{asked.units} units; ns per update of a unit, CPU time, one thread; C by the bits of its random numbers")
    told = f"{'case':36s}{'fastest C loop':22s}{'C 24':>7s}{'C 53':>7s}{'neq':>7s}{'ratios':>13s}"
    print(told + (f"{'whole run':>12s}{'held':>9s}{'by a tenth':>12s}{'states':>9s}" if asked.samples else ""))
    with tempfile.TemporaryDirectory() as folder:
        libraries = {bits: compile_loops(Path(folder), bits) for bits in BITS}
        for kind, model in networks(asked.units).items():
            print(kind_row(kind, compare(libraries, model, asked.rows)), end="", flush=True)
            print(run_row(model, asked.samples) if asked.samples else "")


def kind_row(kind: str, taken: dict[str, float]) -> str:
    """Write what the fastest loops of both kinds and the model take."""
    narrow, wide = (min((name for name in taken if name.endswith(f" {bits}")), key=taken.__getitem__) for bits in BITS)
    ours, loops = taken["neq"], (taken[narrow], taken[wide])
    ratios = "".join(f"{ours / loop:6.2f}" for loop in loops)
    return f"{kind:36s}{wide.split()[0]:22s}{loops[0]:7.2f}{loops[1]:7.2f}{ours:7.2f} {ratios}"


def run_row(model: KineticIsing, n_sample: int) -> str:
    """Write what a whole run takes and holds, what a tenth of it holds, and the size of all its states."""
    seconds, held = whole_run(model, n_sample)
    _, tenth = whole_run(model, n_sample // 10)
    return f"{seconds:10.2f} s{held:6.2f} MB{tenth:9.2f} MB{n_sample * model.n_unit / 1e6:6.0f} MB"


if __name__ == "__main__":
    main()
