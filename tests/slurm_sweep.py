"""A sweep of a toy study on a real SLURM, driven by `neq` in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from cluster import slurm as commands
from workflows import layout
from workflows.store import Store

ROOT = Path(__file__).parents[1]


def neq(words, **options):
    """Start a command of `neq` that finds the studies of this folder, as its workers do."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-m", "workflows.cli", *words]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, text=True, **options)


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
        words = ["run", str(self.folder / "sweep.yaml"), "--cluster", cluster or str(self.folder / "here.yaml")]
        process = neq(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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

    @property
    def n_pending(self):
        """How many cells have none, None before there is a store or where it cannot be read."""
        with contextlib.suppress(Exception):
            return int((self.store.status() == layout.PENDING).sum())
        return None

    def status(self):
        """Return what `neq status` prints."""
        process = neq(["status", str(self.run)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return process.communicate()[0]

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
