"""How much the engine costs: cells that do nothing, a grid of a million cells, two workers against one.

Run as ``python benchmarks/engine.py`` from the repository root; prints a table.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import toy_study  # noqa: E402

from cluster import local  # noqa: E402
from workflows import engine, layout, lease  # noqa: E402
from workflows.blocks import order  # noqa: E402
from workflows.store import Store  # noqa: E402


def main() -> None:
    """Measure and print."""
    rows = [*empty_cells(20_000), *million_cells(), *speedup()]
    width = max(len(name) for name, _ in rows)
    for name, figure in rows:
        print(f"{name:<{width}}  {figure}")


def empty_cells(n_cell: int) -> Iterator[tuple[str, str]]:
    """Sweep cells that do nothing on two workers."""
    study = _study(toy_study.Empty, sizes=tuple(range(1, 11)), repetitions=n_cell // 40)
    seconds, store = _sweep(study, workers=2)
    yield f"empty cells per second, 2 workers ({store.blocks.n_block} blocks)", f"{n_cell / seconds:.0f}"


def million_cells() -> Iterator[tuple[str, str]]:
    """Plan a grid of a million cells: its store, its status, the order of its blocks."""
    sessions = tuple(f"s{i:02d}" for i in range(25))
    study = _study(toy_study.Empty, sessions=sessions, sizes=tuple(range(1, 21)), repetitions=1000)
    before, start = _peak_mib(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, lease.acquire(folder) as held:
        store = engine.prepare_store(folder, study, [], held)
        pending = engine.wanted_cells(store, study) & (store.status() == layout.PENDING)
        ordered = order.costliest_first(store, pending)
        cells = sum(len(store.blocks.numbers(block, pending)) for block in ordered)
    seconds = time.perf_counter() - start
    yield f"plan of {cells:,} cells in {len(ordered):,} blocks", f"{seconds:.1f} s, {_peak_mib() - before:.0f} MiB more"


def speedup() -> Iterator[tuple[str, str]]:
    """Run 20 blocks of pure computation on one worker and on two."""
    study = _study(toy_study.Busy, sessions=("a",), conditions=("rest", "move"), sizes=(2, 4), repetitions=10)
    (one, first), (two, second) = _sweep(study, workers=1), _sweep(study, workers=2)
    same = np.array_equal(first.read("value"), second.read("value"))
    yield "20 blocks, 1 worker", f"{one:.1f} s"
    yield "20 blocks, 2 workers", f"{two:.1f} s: {one / two:.2f} times as fast, {'the same' if same else 'OTHER'} bits"


def _study(kind: type[toy_study.Toy], **keys: object) -> toy_study.Toy:
    return kind(toy_study.ToyConfig(study=f"toy_study:{kind.__name__}", **keys))


def _sweep(study: toy_study.Toy, workers: int) -> tuple[float, Store]:
    """Return the seconds of a sweep by workers that have run a cell before, and its store in memory."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        client = stack.enter_context(local.start(workers, "2GiB", dashboard=False))
        held = stack.enter_context(lease.acquire(folder))
        client.run(_warm)
        engine.prepare_store(folder, study, [], held)
        start = time.perf_counter()
        engine.run_sweep(folder, study, study.config, client, held)
        seconds = time.perf_counter() - start
        store = Store.open(Path(folder) / "sweep.zarr")
        values = store.read("value")
        store.read = lambda name: values  # type: ignore[method-assign,assignment,misc]
        return seconds, store


def _warm() -> None:
    """Import on a worker what a task needs."""
    import workflows.blocks.task  # noqa: F401


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
