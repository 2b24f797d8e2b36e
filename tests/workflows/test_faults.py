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

from workflows import engine, layout, lease, stop
from workflows.blocks import owners
from workflows.config import StopConfig
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
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a suite that was itself started in the background ignores SIGINT, and what it starts would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
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


def kill_again_and_again(folder, rng, n_kill, worker_kills, **keys):
    """Start drivers with their clusters, and kill workers and drivers at random moments; return the kills."""
    killed = 0
    while killed < n_kill:
        with driver(folder, **CELLS | SLOW | keys) as process:
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
            if process.poll() is not None:
                break
            process.kill()
            killed += 1
    return killed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert finish(folder, **CELLS) == "end 64 32 0"
    return bits(folder)


def test_kills__many_at_any_moment_of_driver_and_task(tmp_path, uninterrupted):
    # one cell at a time takes 0.2 s with its flush: the kills come before the work is done
    keys = CELLS | {"seconds": 0.02, "flush_seconds": 0.05, "slow_flush": 0.01}
    command = [sys.executable, str(ROOT / "tests" / "toy_killer.py"), str(tmp_path), json.dumps(keys), "3", "24"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    killed, inside = map(int, done.stdout.split())
    assert killed >= 20
    assert inside >= 5
    assert not np.array_equal(bits(tmp_path)["status"], uninterrupted["status"])
    finish(tmp_path, **CELLS)
    assert_same_bits(bits(tmp_path), uninterrupted)


@pytest.mark.parametrize("n_kill", [5, pytest.param(25, marks=pytest.mark.long)])
def test_kills__drivers_and_dask_workers(tmp_path, uninterrupted, n_kill):
    assert kill_again_and_again(tmp_path, random.Random(n_kill), n_kill, worker_kills=4) >= n_kill
    finish(tmp_path, **CELLS)
    assert_same_bits(bits(tmp_path), uninterrupted)


def test_kills__the_stop_rule_ends_at_the_same_repetitions(tmp_path, uninterrupted):
    rule = {"absolute_sem": 0.4, "at_least": 3}
    keys = CELLS | {"sweep": {"block": {"repetition": 3}, "stop": rule}}
    assert kill_again_and_again(tmp_path, random.Random(5), n_kill=2, worker_kills=1, **keys) >= 2
    finish(tmp_path, **keys)
    found = bits(tmp_path)
    status, values = (np.moveaxis(uninterrupted[name], 3, -1) for name in ("status", "value"))
    wanted = stop.judged(status, stop.prefix(status, values, StopConfig(**rule)))
    np.testing.assert_array_equal(found["status"], wanted)
    ok = wanted == layout.OK
    assert 12 < ok.sum() < (status == layout.OK).sum()
    for name in BITS:
        np.testing.assert_array_equal(found[name][ok], uninterrupted[name][ok])
    # what was computed and masked comes back as it would have been without a rule
    finish(tmp_path, **CELLS)
    assert_same_bits(bits(tmp_path), uninterrupted)


STOPPED = """
import json, os, sys
import toy_study
from workflows.blocks import task
for pair in sys.argv[2:]:
    if not os.fork():
        result = task.run_block(sys.argv[1], *pair.split())
        os.write(1, json.dumps(result).encode() + b"\\n")
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def snapshot(folder):
    files = [path for name in ("sweep.zarr", "owners") for path in (folder / name).rglob("*")]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino, path.stat().st_size) for path in files}


def test_stop__woken_tasks_write_nothing_once_their_blocks_are_given_away(tmp_path, toy, uninterrupted):
    study = toy(**CELLS, seconds=0.05, flush_seconds=0.1, slow_flush=0.02)
    with lease.acquire(tmp_path) as held:
        store = engine.prepare_store(tmp_path, study, [], held)
        pairs = [(block, held.token()) for block in list(store.blocks.ids())[:8]]
        folders = [owners.grant(tmp_path, block, token) for block, token in pairs]
    command = [sys.executable, "-c", STOPPED, str(tmp_path), *(" ".join(pair) for pair in pairs)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        while not all(map(owners.read_marks, folders)):
            time.sleep(0.01)
        tasks = psutil.Process(process.pid).children()
        for one in tasks:
            time.sleep(0.05)
            one.suspend()
        assert (Store.open(tmp_path / "sweep.zarr").status() == layout.PENDING).any()
        finish(tmp_path, **CELLS)
        before = snapshot(tmp_path)
        for one in tasks:
            one.resume()
        out, _ = process.communicate(timeout=60)
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["state"] for result in results] == ["fenced"] * 8
    assert snapshot(tmp_path) == before
    assert_same_bits(bits(tmp_path), uninterrupted)


@pytest.mark.long
def test_stop__woken_dask_workers_of_a_dead_driver(tmp_path, uninterrupted):
    with driver(tmp_path, **CELLS, **SLOW) as process:
        process.stdout.readline()
        time.sleep(1.0)
        workers = workers_of(process)
        for worker in workers:
            worker.suspend()
        process.kill()
        process.wait()
    finish(tmp_path, **CELLS)
    before = snapshot(tmp_path)
    for worker in workers:
        worker.resume()
    psutil.wait_procs(workers, timeout=60)
    assert snapshot(tmp_path) == before
    assert_same_bits(bits(tmp_path), uninterrupted)


def test_two_drivers__the_second_refuses(tmp_path):
    with driver(tmp_path, 1, **CELLS, seconds=0.5) as first:
        assert first.stdout.readline() == "begin\n"
        with driver(tmp_path, 1, **CELLS) as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert err.startswith(f"LeaseHeldError: {tmp_path} is in use: process {first.pid} on ")
        assert first.poll() is None


def test_ctrl_c__ends_the_command_without_noise(tmp_path):
    with driver(tmp_path, **CELLS, seconds=0.2) as process:
        process.stdout.readline()
        time.sleep(1.5)
        # as a terminal does: to the driver and to its workers
        for one in [psutil.Process(process.pid), *workers_of(process)]:
            one.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "stopped\n")
    assert lease.current(tmp_path) is None


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 8 MiB, which only root may."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", disk], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fails(folder, **keys):
    """Run a driver that is expected to stop with an error and return what it says."""
    with driver(folder, 1, **keys) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    return err


def test_disk__full_then_freed(small_disk, uninterrupted):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(7 * 2**20 + 2**19))
    error = fails(small_disk / "run", **CELLS)
    assert error.startswith("StoreError: ")
    assert error.endswith("No space left on device. Free some space and give the same command again.\n")
    done = Store.open(small_disk / "run" / "sweep.zarr").status() != layout.PENDING
    assert 0 < done.sum() < done.size
    ballast.unlink()
    assert finish(small_disk / "run", **CELLS) == "end 64 32 0"
    assert_same_bits(bits(small_disk / "run"), uninterrupted)


def test_disk__read_only(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    error = fails(small_disk / "run", **CELLS)
    assert "Read-only file system. Choose a folder that can be written" in error
    assert error.count("\n") == 1
