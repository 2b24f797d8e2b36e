"""What a sweep costs beside its estimates: the demo's blocks in this process, the CPU time of the fits set apart.

Run as ``python -m benchmarks.overhead``. Everything in a block that is no fit counts: seeds and draws, opening the
spikes, choosing units, building transitions, encoding and writing the store. The share of Dask is added from cells
that do nothing, swept by two workers: CPU seconds of driver, scheduler and workers together.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from neq.estimators.maxent import MaxEnt, MaxEntResult
from workflows import config, engine, lease, studies
from workflows.blocks import owners, task

ROOT = Path(__file__).parents[1]


class FitClock:
    """Adds up the CPU seconds of the fits made while it is in force."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.n_fit = 0
        self._fit = MaxEnt.fit

    def __enter__(self) -> FitClock:
        fit, clock = self._fit, self

        def timed(self: MaxEnt, *arguments: Any, **keywords: Any) -> MaxEntResult:
            start = time.process_time()
            result = fit(self, *arguments, **keywords)
            clock.seconds += time.process_time() - start
            clock.n_fit += 1
            return result

        MaxEnt.fit = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        MaxEnt.fit = self._fit  # type: ignore[method-assign]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        whole, seconds = demo_command(Path(folder) / "command")
        total, clock = demo_blocks(Path(folder) / "blocks")
    dask = dask_per_cell() * clock.n_fit
    beside = total - clock.seconds + dask
    print(f"demo command: {whole:.1f} s CPU of all its processes, {seconds:.0f} s on the clock")
    print(f"its blocks: {total:.1f} s CPU for {clock.n_fit} cells, {clock.seconds:.1f} s of it in fits")
    print(f"beside the fits: {total - clock.seconds:.2f} s, and {dask:.2f} s for Dask")
    print(f"that is {beside / whole:.1%} of the demo, {beside / (total + dask):.1%} of its sweep alone")


def demo_command(folder: Path) -> tuple[float, float]:
    """Return the CPU seconds and the seconds that `neq run configs/demo.yaml` takes."""
    before, start = _cpu(), time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "workflows.cli",
        "run",
        ROOT / "configs" / "demo.yaml",
        "--set",
        f"results={folder}",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return _cpu() - before, time.perf_counter() - start


def demo_blocks(folder: Path) -> tuple[float, FitClock]:
    """Return the CPU seconds of all blocks of the demo, and the clock of its fits; kernels are compiled beforehand."""
    made = config.load(ROOT / "configs" / "demo.yaml", [f"results={folder}"])
    study = studies.study_class(made.study)(made)
    prepared = [study.ingest(source, folder) for source in study.sources()]
    with lease.acquire(folder) as held:
        store = engine.prepare_store(folder, study, prepared, held)
        for warm in (True, False):
            with FitClock() as clock:
                start = time.process_time()
                for block in list(store.blocks.ids())[:1] if warm else list(store.blocks.ids())[1:]:
                    token = held.token()
                    owners.grant(folder, block, token)
                    task.run_block(str(folder), block, token)
                total = time.process_time() - start
    return total, clock


def dask_per_cell() -> float:
    """Return the CPU seconds that a cell costs which computes nothing, all processes together."""
    sys.path.insert(0, str(ROOT / "tests"))
    from benchmarks import engine as alone

    n_cell = 20_000
    before = _cpu()
    list(alone.empty_cells(n_cell))
    return (_cpu() - before) / n_cell


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
