"""How the engine bears many cells: sweeps of 10^5 and 10^6 cells that do nothing, on two workers of this machine.

Run as ``python -m benchmarks.scale [N ...]`` from the repository root; writes ``benchmarks/scale.md``, of which
``docs/scaling.md`` tells what it means. 10^6 cells take some minutes.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import toy_study  # noqa: E402

from cluster import local  # noqa: E402
from workflows import engine, lease  # noqa: E402
from workflows.blocks import owners, task  # noqa: E402
from workflows.store import STORE_NAME, Store  # noqa: E402

TABLE = Path(__file__).with_suffix(".md")
N_WORKER = 2
_MARK = "/neq-mark-"


def main(sizes: list[int]) -> None:
    """Measure and write the table."""
    text = [f"{_cpu_name()}, {N_WORKER} workers, load {os.getloadavg()[0]:.1f} when it began", ""]
    for n_cell in sizes:
        text += [f"{n_cell:,} cells", "", "| | |", "|---|---|"]
        text += [f"| {name} | {figure} |" for name, figure in _child("sweep", n_cell)]
        text += [""]
    text += ["Cost of a block and of a cell", "", "| | |", "|---|---|"]
    text += [f"| {name} | {figure} |" for name, figure in [*_child("costs"), *calls()]]
    print("\n".join(text))
    TABLE.write_text("\n".join(text) + "\n", encoding="utf-8")


def sweep(n_cell: int) -> Iterator[tuple[str, str]]:
    """Run a grid of empty cells from nothing to a frozen copy."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        study = _study(sessions=tuple(f"s{i:02d}" for i in range(25)), repetitions=n_cell // 1000)
        memory: list[tuple[float, float]] = []

        def sample(done: int, total: int, failed: int) -> None:
            memory.append((done / total, psutil.Process().memory_info().rss / 2**20))

        seconds, driver, workers, store = _run(folder, study, sample)
        yield "blocks, cells in each", f"{store.blocks.n_block:,}, {n_cell / store.blocks.n_block:.0f}"
        yield "time, cells per second", f"{seconds:.0f} s, {n_cell / seconds:,.0f}"
        yield "CPU of driver with scheduler, of workers", f"{driver:.0f} s, {workers:.0f} s"
        yield "memory of driver with scheduler at 10, 50, 100 %", _at(memory, (0.1, 0.5, 1.0))
        yield "store", _disk(folder / STORE_NAME)
        yield from opening(folder, "store")
        start = time.perf_counter()
        _neq("freeze", folder)
        yield "neq freeze", f"{time.perf_counter() - start:.1f} s"
        frozen = folder / "run-frozen.zarr"
        yield "frozen", _disk(frozen)
        yield from opening(frozen, "frozen")


def opening(store: Path, name: str) -> Iterator[tuple[str, str]]:
    """Time, in processes of their own, what people do first with a store."""
    reads = {
        "xarray.open_zarr": "import xarray; xarray.open_zarr({!r}, chunks=None)",
        "neq.open_run, one variable": "import neq; neq.open_run({!r}, ['value'])",
        "neq.open_run, all variables": "import neq; neq.open_run({!r})",
    }
    for text, code in reads.items():
        path = store / STORE_NAME if text.startswith("xarray") and (store / STORE_NAME).exists() else store
        package = code.split(";")[0] + ("; neq.open_run" if "neq" in text else "")
        timed = f"import time; {package}; t = time.perf_counter(); {code.format(str(path))}"
        done = subprocess.run(
            [sys.executable, "-c", f"{timed}; print(time.perf_counter() - t)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        yield f"{name}: {text}", f"{float(done.stdout):.2f} s"
    if (store / STORE_NAME).exists():
        yield "neq status, the whole command", f"{_best(lambda: _neq('status', store)):.2f} s"


def costs() -> Iterator[tuple[str, str]]:
    """Tell the cost of a block from that of a cell by sweeps with small and with large blocks."""
    n_cell, found = 20_000, []
    for repetition in (1, 50):
        study = _study(sessions=("a",), repetitions=n_cell // 40, sweep={"block": {"repetition": repetition}})
        with tempfile.TemporaryDirectory() as place:
            seconds, driver, workers, store = _run(Path(place) / "run", study)
            found.append((store.blocks.n_block, driver, workers, seconds))
    (many, driver, workers, seconds), (few, less_driver, less_workers, _) = found
    per_block = (workers - less_workers) / (many - few)
    yield "driver with scheduler, CPU per block", f"{(driver - less_driver) / (many - few) * 1e3:.1f} ms"
    yield "worker, CPU per block", f"{per_block * 1e3:.1f} ms"
    yield "worker, CPU per cell", f"{(less_workers - few * per_block) / n_cell * 1e6:.0f} us"
    yield f"blocks of 20 cells per second, {N_WORKER} workers", f"{many / seconds:.0f}"


def calls() -> Iterator[tuple[str, str]]:
    """Count the calls that a file server would see, with strace where there is one."""
    if shutil.which("strace") is None:
        yield "calls to the file system", "not counted: no strace"
        return
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        command = ["strace", "-f", "-e", "trace=%file", "-o", str(log), sys.executable, "-m", "benchmarks.scale"]
        subprocess.run([*command, "blocks", str(Path(place) / "run")], check=True, capture_output=True, cwd=ROOT)
        lines = log.read_text(errors="replace").splitlines()
    # what no file server sees: other files, and calls on a file that is open
    skipped = ('"/proc', '"/sys', sys.prefix, "AT_EMPTY_PATH")
    counted = [line for line in lines if not any(there in line for there in skipped)]
    marks = [number for number, line in enumerate(counted) if _MARK in line]
    give, small, finish, _, _, large, _ = (b - a - 1 for a, b in itertools.pairwise(marks))
    yield "driver, calls to the file system per block", f"{give + finish}"
    yield "worker, calls to the file system per block and flush", f"{2 * small - large}"
    yield "worker, calls to the file system per cell", f"{(large - small) / 20:.1f}"


def blocks(folder: Path) -> None:
    """Offer and compute blocks in this process, the last one between marks for :func:`calls`."""
    for cells in (20, 40):
        sizes = tuple(range(1, cells + 1))
        study = _study(sessions=("a",), sizes=sizes, repetitions=8, sweep={"block": {"repetition": 1}})
        place = folder / str(cells)
        with lease.acquire(place) as held:
            *before, last = engine.prepare_store(place, study, [], held).blocks.ids()
            for block in before:
                _one(place, block, held, lambda: None)
            _one(place, last, held, _mark)


def _one(place: Path, block: str, held: lease.Lease, mark: Callable[[], Any]) -> None:
    mark()
    held.check()
    token = held.token()
    owners.grant(place, block, token)
    mark()
    task.run_block(str(place), block, token)
    mark()
    owners.finish(place, block, held.epoch)
    mark()


def _mark() -> None:
    Path(_MARK).exists()


def _study(**keys: Any) -> toy_study.Toy:
    keys = {"study": "toy_study:Empty", "sizes": tuple(range(1, 21))} | keys
    return toy_study.Empty(toy_study.ToyConfig(**keys))


def _run(
    folder: Path, study: toy_study.Toy, progress: Callable[[int, int, int], Any] = lambda done, total, failed: None
) -> tuple[float, float, float, Store]:
    """Return the seconds of a sweep, the CPU seconds of driver and of workers in it, and its store."""
    folder.mkdir()
    with local.start(N_WORKER, "2GiB", dashboard=False) as client, lease.acquire(folder) as held:
        client.run(_warm)
        engine.prepare_store(folder, study, [], held)
        start, driver, workers = time.perf_counter(), time.process_time(), _worker_cpu(client)
        engine.run_sweep(folder, study, study.config, client, held, progress=progress)
        seconds = time.perf_counter() - start
        used = time.process_time() - driver, _worker_cpu(client) - workers
        return seconds, *used, Store.open(folder / STORE_NAME)


def _warm() -> None:
    """Import on a worker what a task needs."""
    import workflows.blocks.task  # noqa: F401


def _worker_cpu(client: Any) -> float:
    return float(sum(client.run(time.process_time).values()))


def _at(memory: list[tuple[float, float]], parts: tuple[float, ...]) -> str:
    """Return the memory when so large parts of the cells were done."""
    found = [next(mib for done, mib in memory if done >= part) for part in parts]
    return ", ".join(f"{mib:.0f}" for mib in found) + " MiB"


def _disk(folder: Path) -> str:
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    size, room = sum(file.st_size for file in files), sum(file.st_blocks for file in files) * 512
    return f"{len(files):,} files, {size / 2**20:.1f} MiB ({room / 2**20:.0f} on disk)"


def _neq(command: str, run: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    arguments = [sys.executable, "-m", "workflows.cli", command, str(run)]
    subprocess.run(arguments, check=True, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})


def _best(call: Callable[[], Any], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _child(what: str, *arguments: Any) -> list[tuple[str, str]]:
    """Return what a part of this benchmark yields in a process of its own, whose memory is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.scale", what, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    rows: list[tuple[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sweep", n]:
            print(json.dumps(list(sweep(int(n)))))
        case ["costs"]:
            print(json.dumps(list(costs())))
        case ["blocks", place]:
            blocks(Path(place))
        case given:
            main([int(n) for n in given] or [100_000, 1_000_000])
