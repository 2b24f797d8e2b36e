"""Compiled kernels that one worker makes and others are given."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from cluster import kernels, local, preload
from workflows import warm_up

KERNEL = """
import os, pathlib, sys
import numba

@numba.njit(cache=True)
def thrice(x):
    return 3 * x

if __name__ == "__main__":
    import tiny_kernel
    pathlib.Path(__file__).parents[1].joinpath(f"compiled-for-{os.getppid()}").touch()
    for one in map(eval, sys.argv[1:]):
        print(tiny_kernel.thrice(one), sum(tiny_kernel.thrice.stats.cache_misses.values()))
"""
ROOT = Path(kernels.__file__).parents[1]
COMMAND = ("-m", "tiny_kernel", "2")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A node on which nothing has ever run, for this process and those that it starts."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "tiny_kernel.py").write_text(KERNEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "source"))
    monkeypatch.syspath_prepend(tmp_path / "source")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    new_node(tmp_path, monkeypatch, "node")
    return tmp_path


def new_node(home, monkeypatch, name):
    (home / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(home / name))
    monkeypatch.setattr(preload.tempfile, "tempdir", str(home / name))


def called(cache, *arguments):
    """Values of the kernel in a fresh process, each with the number of compilations so far."""
    done = subprocess.run(
        [sys.executable, "-m", "tiny_kernel", *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_compiled__clears_what_a_killed_worker_left(home, monkeypatch):
    folder = home / "0"
    (folder / f"{kernels.COMPILING}old").mkdir(parents=True)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    with zipfile.ZipFile(io.BytesIO(kernels.compiled(COMMAND))) as bundle:
        assert [Path(name).suffix for name in bundle.namelist()] == [".nbc", ".nbi"]
    assert list(folder.iterdir()) == []


def fake(path, stamp, n_overload):
    """Write a cache of two functions, whose index names the code that belongs to it."""
    for function in ("f", "g"):
        (path / "kernels_1").mkdir(parents=True, exist_ok=True)
        names = [f"{function}.{i}.nbc" for i in range(n_overload)]
        for name in names:
            (path / "kernels_1" / name).write_text(stamp)
        (path / "kernels_1" / f"{function}.nbi").write_text(json.dumps([stamp, names]))


KILLED = """
import os, signal, sys
from pathlib import Path
from cluster import kernels
packed, replace = Path(sys.argv[1]).read_bytes(), os.replace
for n_file, folder in enumerate(sys.argv[2:]):
    def dying(part, path):
        global n_file
        n_file -= 1
        if n_file < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(part, path)
    os.replace = dying
    if not (child := os.fork()):
        kernels.unpack(packed, Path(folder))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_unpack__killed_at_any_moment_leaves_no_index_of_other_code(tmp_path):
    new, folders = tmp_path / "new", [tmp_path / str(n_file) for n_file in range(8)]
    fake(new, "new", 2)
    for folder in folders:
        fake(folder, "old", 3)
    bundle = tmp_path / "bundle"
    bundle.write_bytes(kernels.pack(new))
    command = [sys.executable, "-c", KILLED, *map(str, [bundle, *folders])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * 7 + ["0"]
    for folder in folders:
        for index in folder.glob("*/*.nbi"):
            stamp, names = json.loads(index.read_text())
            assert {(index.parent / name).read_text() for name in names} == {stamp}
        # the next process that takes the folder finishes it; the last has nothing left to do
        assert kernels.unpack(bundle.read_bytes(), folder) == (folder is not folders[-1])
        assert [json.loads(index.read_text())[0] for index in folder.glob("*/*.nbi")] == ["new", "new"]


def test_unpack__killed_in_a_cache_of_older_code(home):
    source, folders, bundle = home / "source" / "tiny_kernel.py", [home / "0", home / "1"], home / "bundle"
    source.write_text(KERNEL.replace("3 * x", "2 * x"))
    for folder in folders:
        folder.mkdir()
    assert called(folders[1], "2") == ["4", "1"]
    source.write_text(KERNEL)
    bundle.write_bytes(kernels.compiled(COMMAND))
    # in the second folder new code is in place, and no index
    command = [sys.executable, "-c", KILLED, *map(str, [bundle, *folders])]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() == ["-9", "-9"]
    assert called(folders[1], "2") == ["6", "1"]


@pytest.mark.parametrize("fault", ["damaged", "half", "writable by others"])
def test_kept__only_what_is_whole_and_ours(home, fault):
    path = kernels._kept("stamp", "kind")
    kernels._keep(b"packed", path)
    assert kernels._load(path) == b"packed"
    if fault == "damaged":
        path.write_bytes(path.read_bytes().replace(b"p", b"q"))
    elif fault == "half":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.parent.chmod(0o777)
    assert kernels._load(path) == b""


def test_kept__forgets_the_oldest(home, monkeypatch):
    monkeypatch.setattr(kernels, "N_KEPT", 2)
    paths = [kernels._kept("stamp", str(number)) for number in range(3)]
    for number, path in enumerate(paths):
        kernels._keep(b"packed", path)
        os.utime(path, (number, number))
    assert [path.exists() for path in paths] == [False, True, True]


def test_kept__a_cache_that_cannot_be_written_is_no_harm(home):
    (home / "cache").touch()
    kernels._keep(b"packed", kernels._kept("stamp", "kind"))
    assert kernels._load(kernels._kept("stamp", "kind")) == b""


def misses():
    """Value of the kernel on a worker, and how often it was compiled there."""
    import tiny_kernel

    return tiny_kernel.thrice(2), sum(tiny_kernel.thrice.stats.cache_misses.values())


def test_share__no_worker_compiles(home, monkeypatch):
    told = []
    with local.start(1, "1GiB", dashboard=False) as client:
        assert kernels.share(client, COMMAND, home / "source", told.append)
    new_node(home, monkeypatch, "another")
    with local.start(1, "1GiB", dashboard=False) as client:
        assert kernels.share(client, COMMAND, home / "source", told.append)
        # a worker that comes later is given them as well
        client.cluster.scale(2)
        client.wait_for_workers(2)
        assert list(client.run(misses).values()) == [(6, 0)] * 2
    # the second time they were in the cache of the user
    assert len(told) == 1


@pytest.mark.parametrize("fault", ["command", "folder"])
def test_share__its_failure_fails_no_worker(home, caplog, fault):
    if fault == "folder":
        # the place of the folder in which the kernel's index belongs is taken by a file
        packed = kernels.compiled(COMMAND)
        with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
            taken = bundle.namelist()[0].split("/")[0]
        folder = preload.cache_root() / "0"
        folder.mkdir(parents=True)
        preload.cache_root().chmod(0o700)
        (folder / taken).touch()
    command = COMMAND if fault == "folder" else ("-c", "raise ValueError('no')")
    with local.start(1, "1GiB", dashboard=False) as client:
        assert kernels.share(client, command, home / "source") == (fault == "folder")
        if fault == "command":
            assert list(client.run(misses).values()) == [(6, 1)]
            assert "ValueError: no" in caplog.text
        assert client.submit(abs, -1).result() == 1


def first_cell():
    """Compute a cell of fifty units on a worker that has done nothing yet."""
    start = time.perf_counter()
    import importlib
    import pkgutil

    import numpy as np

    import neq.kernels
    from neq.estimators.maxent import MaxEnt
    from neq.spikes.transitions import Transitions

    spikes = np.random.default_rng(1).random((5000, 50)) < 0.05
    value = MaxEnt().fit(Transitions.from_spikes(spikes), seed=1).entropy_production
    modules = [importlib.import_module(f"neq.kernels.{one.name}") for one in pkgutil.iter_modules(neq.kernels.__path__)]
    stats = [one.stats for module in modules for one in vars(module).values() if hasattr(one, "stats")]
    hits, misses = (sum(sum(getattr(one, name).values()) for one in stats) for name in ("cache_hits", "cache_misses"))
    return value, hits, misses, time.perf_counter() - start


@pytest.mark.long
def test_share__first_cell_of_a_cold_worker(home):
    from workflows.studies.neural_recordings import NeuralRecordings

    config = NeuralRecordings.Config.model_validate(
        {"study": "neural_recordings", "recordings": {"kind": "synthetic", "sessions": ["a"]}, "sizes": [50]}
    )
    with local.start(2, "2GiB", dashboard=False) as client:
        warm_up.share(client, NeuralRecordings(config))
        found = list(client.run(first_cell).values())
    assert len({value for value, *_ in found}) == 1
    for _, n_hit, n_miss, seconds in found:
        assert n_hit > 5
        assert n_miss == 0
        assert seconds < 5


def test_share__a_worker_lost_while_it_compiles_holds_nobody_up(home, monkeypatch, caplog):
    monkeypatch.setattr(kernels, "WORKER_SECONDS", 0.5)
    slow = ("-c", "import os, signal, time; time.sleep(1); os.kill(os.getppid(), signal.SIGKILL); time.sleep(1)")
    with local.start(workers=2, dashboard=False) as client:
        begun = time.monotonic()
        assert not kernels.share(client, slow, home / "source")
        assert time.monotonic() - begun < 60
    assert "compiles its kernels itself" in caplog.text


def test_share__each_kind_of_machine_compiles_its_own(home, monkeypatch):
    with local.start(workers=2, dashboard=False) as client:
        kinds = {address: f"kind {number}" for number, address in enumerate(client.nthreads())}
        monkeypatch.setattr(client, "run", lambda function: kinds)
        assert kernels.share(client, COMMAND, home / "source")
        workers = client.run_on_scheduler(
            lambda dask_scheduler: [one.address for one in dask_scheduler.workers.values()]
        )
    stamp = kernels._stamp(COMMAND, home / "source")
    assert all(kernels._load(kernels._kept(stamp, kind)) for kind in kinds.values())
    # each on its own machine: a bundle that was compiled elsewhere would serve nobody
    assert len(list(home.glob("compiled-for-*"))) == len(workers) == 2
