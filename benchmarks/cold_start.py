"""How long a worker that starts cold takes to its first cell: with no compiled kernels, those handed to it, its own.

Each line is a fresh process with a cache folder of its own; seconds from the start of the process, by the clock and of
the CPU. The cell is a fit of N = 50 units in 5,000 bins, with interval and p-value. Imported is what a worker imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import kernels
from workflows import studies, warm_up

N_TRY = 3
CHILD = """
import os, sys, time
from pathlib import Path
began = float(sys.argv[1])
def note():
    print(time.time() - began, time.process_time())
from cluster import kernels
import workflows.blocks.task, workflows.studies.neural_recordings, neq.estimators.maxent
import numpy as np
from neq.spikes.transitions import Transitions
note()
if len(sys.argv) > 2:
    kernels.unpack(Path(sys.argv[2]).read_bytes(), Path(os.environ["NUMBA_CACHE_DIR"]))
note()
spikes = np.random.default_rng(1).random((5_000, 50)) < 0.05
neq.estimators.maxent.MaxEnt().fit(Transitions.from_spikes(spikes), seed=1)
note()
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root, bundle = Path(folder), Path(folder) / "bundle"
        bundle.write_bytes(kernels.compiled(_command()))
        print(f"bundle of {bundle.stat().st_size / 2**10:.0f} KiB")
        print(f"{'kernels':<12}{'imported':>18}{'handed over':>18}{'first cell':>18}   (s, clock / CPU)")
        show("none", [measure(root / f"none-{i}") for i in range(N_TRY)])
        show("handed over", [measure(root / f"given-{i}", bundle) for i in range(N_TRY)])
        show("its own", [measure(root / "none-0") for _ in range(N_TRY)])


def _command() -> list[str]:
    """Return the command that a run of the study gives a worker to compile its kernels."""
    sessions = {"kind": "synthetic", "sessions": ["a"]}
    config = {"study": "neural_recordings", "recordings": sessions, "sizes": [50]}
    made = studies.study_class("neural_recordings")
    return warm_up.command(made(made.Config.model_validate(config)))


def measure(cache: Path, bundle: Path | None = None) -> list[tuple[float, float]]:
    """Return seconds by the clock and of the CPU to each point of a fresh process."""
    cache.mkdir(exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, repr(time.time()), *([str(bundle)] if bundle else [])],
        env={**os.environ, **threads, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [(float(clock), float(cpu)) for clock, cpu in map(str.split, done.stdout.splitlines())]


def show(name: str, tries: list[list[tuple[float, float]]]) -> None:
    """Print the shortest of several tries, point by point."""
    points = [tuple(map(min, zip(*point, strict=True))) for point in zip(*tries, strict=True)]
    print(f"{name:<12}" + "".join(f"{clock:>10.2f} /{cpu:>6.2f}" for clock, cpu in points))


if __name__ == "__main__":
    main()
