"""Random faults of all kinds over a sweep on a real SLURM, to see whether any cell is lost, or wrong.

Run as ``python -m benchmarks.chaos [--minutes 30] [--seed N]`` from the repository root, as root and with nobody else
on that SLURM, for its controller and its nodes are broken too: give it a testbed of its own.

    export NEQ_TESTBED=/var/tmp/neq-chaos NEQ_TESTBED_PORT=18600
    sudo -E cluster/testbed/start.sh && export SLURM_CONF=$NEQ_TESTBED/etc/slurm.conf

Writes ``benchmarks/chaos.md``; the exit code is 1 where a cell is lost or wrong. The faults end after the given time,
the sweep some minutes later.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fault_study import Fault, FaultConfig  # noqa: E402
from slurm_faults import SECONDS  # noqa: E402
from slurm_sweep import Sweep, neq  # noqa: E402

from benchmarks.chaos_parts import CELL_SECONDS, N_WORKER, table  # noqa: E402
from benchmarks.chaos_parts.drivers import Drivers  # noqa: E402
from benchmarks.chaos_parts.faults import PARTITION, Faults  # noqa: E402
from benchmarks.chaos_parts.verdict import judge  # noqa: E402
from cluster import slurm  # noqa: E402
from workflows import guard  # noqa: E402

EFFICIENCY = 0.45
"""Cells done while faults fall, over those that the workers would do without: so long has the sweep to be."""
CELLS_PER_REPETITION = 12
LONGEST_GAP = 16.0
"""Seconds between two faults, at most."""
CALM_MINUTES = 20.0
"""A sweep that has not ended so long after the last fault never will."""
RESULTS_SIZE = "1500m"
DEADLY, HUNGRY = "a/move/4/3", "b/rest/2/1"
"""The cell that kills its worker every time, and the one that needs more memory than workers have at first."""


def main() -> int:
    """Run a sweep through faults, compare every cell with the truth, write the table; return the exit code."""
    options = _options()
    guard.end_cleanly()
    # a controller that is down is not waited for
    slurm.SECONDS = SECONDS
    started = time.strftime("%Y-%m-%d")
    with tempfile.TemporaryDirectory(prefix="neq-chaos-") as folder, small_disk(Path(folder) / "run"):
        sweep = configured(Path(folder), options.minutes)
        drivers = Drivers(sweep)
        faults = Faults(sweep, drivers, options.seed)
        begun = time.monotonic()
        try:
            rain(sweep, drivers, faults, options.seed, 60 * options.minutes)
            settle(sweep, drivers)
            left = len(sweep.jobs())
        finally:
            faults.mend(everything=True)
            drivers.end()
            sweep.close()
        minutes = (time.monotonic() - begun) / 60
        verdict = judge(sweep.store, Fault(FaultConfig()), DEADLY)
        ended = {"jobs left in the queue": left, "`neq doctor`": doctor(sweep)}
        text = table.page(started, options, minutes, faults, drivers, verdict, sweep.events(), ended)
        if options.keep:
            shutil.copytree(folder, options.keep)
    print(text)
    table.PATH.write_text(text, encoding="utf-8")
    return int(not verdict.good)


def configured(folder: Path, minutes: float) -> Sweep:
    """Return a sweep that lasts as long as the faults, on jobs that others may preempt."""
    n_cell = 60 * minutes * N_WORKER / CELL_SECONDS * EFFICIENCY
    profile = {"partition": PARTITION, "workers": N_WORKER, "cores": 2, "walltime": "00:05:00"}
    return Sweep(folder).configure(
        profile,
        study="fault_study:Fault",
        repetitions=max(5, round(n_cell / CELLS_PER_REPETITION)),
        seconds=CELL_SECONDS,
        # the moments between the writes of a block are longer, so that faults fall into them
        slow_flush=0.02,
        die=DEADLY,
        hog=HUNGRY,
        hog_mib=350,
        sweep={"block": {"repetition": 2, "condition": 1}},
    )


def rain(sweep: Sweep, drivers: Drivers, faults: Faults, seed: int, seconds: float) -> None:
    """Inject faults at random moments; begin when the first cell is done."""
    gaps = random.Random(seed + 1)
    drivers.keep()
    _until(lambda: sweep.n_done() > 0, drivers.keep, 300)
    begun = time.monotonic()
    following = begun
    while time.monotonic() < begun + seconds:
        drivers.keep()
        faults.mend()
        if time.monotonic() > following:
            if sweep.n_pending == 0:
                break
            clock = time.monotonic() - begun
            print(f"{clock:6.0f} s  {sweep.n_done():5} cells  {faults.inject()}", flush=True)
            following = time.monotonic() + gaps.uniform(1.0, LONGEST_GAP)
        time.sleep(0.2)
    faults.mend(everything=True)


def settle(sweep: Sweep, drivers: Drivers) -> None:
    """Let the sweep come to its end, without further faults."""
    print(f"no more faults: {sweep.n_done()} cells done, {sweep.n_pending} to go", flush=True)
    drivers.wake()
    _until(lambda: sweep.n_pending == 0 and drivers.all_ended, drivers.keep, 60 * CALM_MINUTES)


def doctor(sweep: Sweep) -> str:
    """Return what `neq doctor` finds wrong with the run."""
    process = neq(["doctor", str(sweep.run)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = [line.strip() for line in process.communicate()[0].splitlines()]
    return "; ".join(line for line in lines if line.startswith("problem")) or "no problem"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put a folder on a disk of its own, which may be filled without harm to others."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={RESULTS_SIZE}", "neq-chaos", str(folder)], check=True)
    try:
        yield
    finally:
        # a worker that is being ended may still have a file open there
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _until(condition: Callable[[], bool], meanwhile: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        meanwhile()
        time.sleep(0.5)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults fall")
    parser.add_argument("--keep", type=Path, help="copy the run and the drivers' output into this folder in the end")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the faults and their victims")
    if os.getuid() != 0 or not os.environ.get("SLURM_CONF"):
        parser.error("needs root and a testbed of its own, named by SLURM_CONF: see the first lines of this file.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
