"""Seconds and peak memory from spike times to the finished spikes store, at the size of a long Neuropixels session.

Run from the repository root: ``python -m benchmarks.binning``. The recording is written first, by another process, as
flat spike times on disk; what is timed reads, bins, writes and hashes it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np


def make(folder: Path, n_unit: int, n_spike: int, stop: float) -> None:
    """Write Poisson spikes of units whose rates spread over a factor of about 400."""
    random = np.random.default_rng(0)
    rate = random.lognormal(0.0, 1.2, n_unit)
    counts = random.multinomial(n_spike, rate / rate.sum())
    flat = np.lib.format.open_memmap(folder / "times.npy", "w+", float, (n_spike,))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    for first, last in itertools.pairwise(offsets):
        flat[first:last] = np.sort(random.uniform(0.0, stop, last - first))
    np.save(folder / "offsets.npy", offsets)


def measure(folder: Path, stop: float, bin_size: float, answer: multiprocessing.Queue) -> None:
    """Bin and store in this process, and say what it took."""
    from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table
    from workflows import ingest

    offsets = np.load(folder / "offsets.npy")
    warm = Recording("warm", unit_table([0]), [np.array([0.5])], epoch_table(stop=1.0))
    ingest.write_spikes(warm, 0.1, folder / "spikes")
    before = _peak()
    started, cpu = time.perf_counter(), time.process_time()
    trains = SpikeTrains(np.load(folder / "times.npy", mmap_mode="r"), offsets)
    epochs = epoch_table([
        {"condition": "first", "start": 0.0, "stop": stop / 2},
        {"condition": "second", "start": stop / 2, "stop": stop},
    ])  # fmt: skip
    source = {"kind": "benchmark", "path": str(folder / "times.npy")}
    recording = Recording("benchmark", unit_table(range(len(offsets) - 1)), trains, epochs, source, duration=stop)
    written = ingest.write_spikes(recording, bin_size, folder / "spikes")
    taken = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    size = sum(path.stat().st_size for path in (folder / "spikes" / written.path).rglob("*") if path.is_file())
    answer.put({**taken, "peak_MB": _peak(), "peak_before_MB": before, "store_MB": size / 1e6, **written.facts})


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Print what was measured as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=2_000)
    parser.add_argument("--spikes", type=int, default=20_000_000)
    parser.add_argument("--hours", type=float, default=2.5)
    parser.add_argument("--bin-size", type=float, default=0.01)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        stop = asked.hours * 3600
        for target, args in (
            (make, (Path(name), asked.units, asked.spikes, stop)),
            (measure, (Path(name), stop, asked.bin_size, answer)),
        ):
            process = context.Process(target=target, args=args)
            process.start()
            process.join()
        print(json.dumps(answer.get(timeout=1)))


if __name__ == "__main__":
    main()
