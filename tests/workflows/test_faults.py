"""Faults made for real: processes killed and stopped, disks full and read-only."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from cluster import local
from neq.errors import StoreError
from workflows import engine, layout, lease, owners, task
from workflows.store import Store

ROOT = Path(__file__).parents[2]
BITS = ("value", "n_unit", "reason", "drawn_unit", "theta", "status", "quality", "error_type", "error")
CELLS = {
    "sessions": ("a", "bad", "c"),
    "sizes": (2, 4, 13),
    "repetitions": 8,
    "big": True,
    "sweep": {"block": {"repetition": 4}},
}
SLOW = {"seconds": 0.02, "flush_seconds": 0.1, "slow_flush": 0.01}


def environment():
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


@contextlib.contextmanager
def driver(folder, workers=2, **keys):
    command = [sys.executable, str(ROOT / "tests" / "toy_driver.py"), str(folder), str(workers), json.dumps(keys)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(folder, **keys):
    """Run a driver to its end and return the line it ended with."""
    with driver(folder, **keys) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split("\n")[-2]


def workers_of(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return []


def bits(folder):
    store = Store.open(folder / "sweep.zarr")
    return {name: store.read(name) for name in BITS}


def assert_same_bits(one, other):
    for name in BITS:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def half_written(folder):
    """Whether a cell has its value and not its status: a kill has landed inside a flush."""
    if not (folder / "sweep.zarr").exists():
        return False
    store = Store.open(folder / "sweep.zarr")
    return bool((~np.isnan(store.read("value")) & (store.status() == layout.PENDING)).any())


def kill_again_and_again(folder, rng, n_kill, worker_kills):
    """Start drivers and kill workers and drivers at random moments; return how often a kill landed inside a flush."""
    inside = killed = 0
    while killed < n_kill:
        with driver(folder, **CELLS, **SLOW) as process:
            process.stdout.readline()
            for _ in range(worker_kills):
                time.sleep(rng.uniform(0.1, 0.7))
                alive = workers_of(process)
                if process.poll() is not None or not alive:
                    break
                with contextlib.suppress(psutil.NoSuchProcess):
                    rng.choice(alive).kill()
                    killed += 1
            time.sleep(rng.uniform(0.0, 0.5))
            if process.poll() is None:
                process.kill()
                killed += 1
        inside += half_written(folder)
        if process.poll() == 0:
            break
    return inside, killed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert finish(folder, **CELLS) == "end 64 32 0"
    return bits(folder)


def test_kills__same_bits_as_uninterrupted(tmp_path, uninterrupted):
    inside, killed = kill_again_and_again(tmp_path, random.Random(1), n_kill=20, worker_kills=4)
    finish(tmp_path, **CELLS, **SLOW)
    assert_same_bits(bits(tmp_path), uninterrupted)
    print(f"{killed} kills, {inside} runs ended inside a flush")
