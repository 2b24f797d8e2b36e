"""A real SLURM for the tests in this folder, and drivers to run on it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cluster import slurm as commands
from workflows import layout
from workflows.store import Store

ROOT = Path(__file__).parents[2]
TESTBED = ROOT / "cluster" / "testbed" / "start.sh"
REQUIRED = "NEQ_REQUIRE_SLURM"
"""Environment variable: 1 turns a SLURM that cannot be had from a skip into a failure."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm():
    """Make sure that SLURM runs here; the testbed stays up, as other runs may use it."""
    reason = None
    if os.getuid() != 0 and not commands.available():
        reason = "there is no SLURM here, and only root can start the testbed"
    elif os.getuid() == 0:
        done = subprocess.run(["bash", str(TESTBED)], capture_output=True, text=True, timeout=240)
        if done.returncode:
            reason = f"the testbed does not start: {done.stderr.strip()[-500:]}"
        else:  # its last line; /etc/slurm may name another SLURM's
            os.environ["SLURM_CONF"] = done.stdout.strip().rpartition("SLURM_CONF=")[2]
    if reason is None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Sweep:
    """A config, its profile, its run folder, and what `neq` does with them."""

    def __init__(self, folder):
        self.folder, self.run = folder, folder / "run"
        self.processes = []

    def configure(self, profile=None, **keys):
        """Write config and profile; ``keys`` of the study."""
        keys = {"study": "toy_study:Toy", "results": str(self.run), "repetitions": 10, "seconds": 0.1} | keys
        keys.setdefault("sweep", {"block": {"repetition": 1, "condition": 1}})
        made = {
            "scheduler": "slurm",
            "partition": "normal",
            "walltime": "00:10:00",
            "cores": 4,  # a node has four: one job on each
            "memory": "300MiB",
            "workers": 4,
            "interface": "lo",
            "scheduler_host": "127.0.0.1",
            "submit_pause": 0.05,
            "watch_interval": 2,
        } | (profile or {})
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump(keys))
        (self.folder / "here.yaml").write_text(yaml.safe_dump(made))
        return self

    def start(self, cluster=None):
        """Start `neq run` and return its process."""
        command = [sys.executable, "-m", "workflows.cli", "run", str(self.folder / "sweep.yaml")]
        command += ["--cluster", cluster or str(self.folder / "here.yaml")]
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.processes.append(process)
        return process

    def end(self, process, seconds=200):
        """Wait for a driver and return its exit code, output and errors."""
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err

    def finish(self, **options):
        """Run to the end."""
        return self.end(self.start(**options))

    @property
    def store(self):
        return Store.open(self.run / "sweep.zarr")

    def n_done(self):
        """Return how many cells have a status, 0 before there is a store."""
        with contextlib.suppress(Exception):
            return int((self.store.status() != layout.PENDING).sum())
        return 0

    def status(self):
        """Return what `neq status` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "workflows.cli", "status", str(self.run)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    def events(self):
        """Return what the watchdog has written down."""
        path = self.run / "jobs" / "events.log"
        return path.read_text() if path.exists() else ""

    def jobs(self):
        """Return the jobs of this run that have not ended."""
        names = self.run / "jobs" / "names.jsonl"
        found = {}
        for line in names.read_text().splitlines() if names.exists() else ():
            found |= commands.jobs(name=json.loads(line)["name"])
        return {number: job for number, job in found.items() if job.waits or job.runs}

    def running(self):
        return [job for job in self.jobs().values() if job.runs]

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
                process.kill()
        commands.cancel(self.jobs())


@pytest.fixture
def sweep(slurm, tmp_path):
    made = Sweep(tmp_path)
    yield made
    made.close()


@pytest.fixture
def until():
    """Wait until something is so."""

    def wait(condition, seconds=60):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.2)
        return found

    return wait


@pytest.fixture(scope="session")
def local_store(slurm, tmp_path_factory):
    """Return the store of the same cells, computed on this machine without SLURM."""
    made = Sweep(tmp_path_factory.mktemp("local")).configure(seconds=0.0)
    code, _, err = made.finish(cluster="local")
    assert code == 0, err
    return made.store
