"""Faults that are put into a real SLURM and into the jobs of one sweep; each undoes itself or says how."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

BALLOON = """
import os, sys, time
open("/proc/self/oom_score_adj", "w").write("-900")
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
held, end = [], time.monotonic() + 15
while time.monotonic() < end and len(held) < 100:
    held.append(b"x" * 2**24)
    time.sleep(0.02)
"""
"""Takes the memory of a job, up to 1.6 GiB of it, and is the last of its processes that the kernel would end."""


SECONDS = 10.0
"""A controller that has not answered after so long is down."""


def scontrol(*words):
    """Give a command to the controller, which may refuse it, as of a node that is back by itself, but has to be there.

    Raises
    ------
    subprocess.SubprocessError
        It is not.
    """
    done = subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=SECONDS)
    if "Unable to contact" in done.stderr or "connect failure" in done.stderr:
        raise subprocess.CalledProcessError(done.returncode, words, stderr=done.stderr)


def scancel(job):
    subprocess.run(["scancel", str(job)], check=True, timeout=SECONDS)


def cut_short(job):
    """Let the walltime of a job be over: SLURM ends it within half a minute or so."""
    scontrol("update", f"jobid={job}", "timelimit=00:00:01")


def set_down(node):
    scontrol("update", f"nodename={node}", "state=down", "reason=test")


def resume(node):
    scontrol("update", f"nodename={node}", "state=resume")


def set_partition(name, state):
    scontrol("update", f"partitionname={name}", f"state={state}")


def preempt(node, seconds):
    """Submit a job that takes a whole node from jobs of partition scavenge; return its id."""
    words = ["sbatch", "--parsable", "-p", "normal", "-w", node, "-c", "4", "--mem", "100M", "-o", "/dev/null"]
    words += ["--wrap", f"sleep {seconds:.0f}"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=SECONDS)
    return int(done.stdout)


@dataclass(frozen=True)
class Worker:
    """The processes of a worker on a node: the job's shell, the nanny, and the worker itself where it lives."""

    job: int
    shell: psutil.Process
    nanny: psutil.Process
    process: psutil.Process | None

    def memory_group(self):
        """Return the folder of the control group that limits the job's memory; None where there is none."""
        for line in Path(f"/proc/{self.nanny.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory" and "/job_" in path:
                return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
        return None

    def exhaust_memory(self):
        """Fill the job's memory from outside, so that the kernel ends what the job itself runs."""
        return subprocess.Popen([sys.executable, "-c", BALLOON, str(self.memory_group())], stderr=subprocess.DEVNULL)


def workers(jobs):
    """Return the workers of these jobs of the present SLURM on this machine."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "distributed.cli.dask_worker" not in words:
            continue
        with contextlib.suppress(psutil.Error, KeyError):
            seen = process.environ()
            if seen.get("SLURM_CONF") == os.environ["SLURM_CONF"] and int(seen["SLURM_JOB_ID"]) in jobs:
                found.append(Worker(int(seen["SLURM_JOB_ID"]), process.parent(), process, _worker_of(process)))
    return found


def _worker_of(nanny):
    children = [child for child in nanny.children() if "spawn_main" in " ".join(child.cmdline())]
    return children[0] if children else None


class Testbed:
    """The daemons of the SLURM that ``cluster/testbed/start.sh`` runs, as SLURM_CONF names it."""

    __test__ = False

    def __init__(self):
        self.conf = Path(os.environ["SLURM_CONF"])
        self.folder = self.conf.parents[1]

    @property
    def nodes(self):
        return sorted(path.name.split(".")[1] for path in (self.folder / "run").glob("slurmd.*.pid"))

    def kill_controller(self):
        self._kill("slurmctld")

    def start_controller(self):
        subprocess.run(["slurmctld", "-f", str(self.conf)], check=True, timeout=60)

    def kill_daemon(self, node):
        """Kill the daemon of a node; its jobs go on."""
        self._kill(f"slurmd.{node}")

    def start_daemon(self, node):
        subprocess.run(["slurmd", "-N", node, "-f", str(self.conf)], check=True, timeout=60)

    def _kill(self, name):
        pid = int((self.folder / "run" / f"{name}.pid").read_text())
        process = psutil.Process(pid)
        # the number alone may be another program's by now
        if process.name() != name.partition(".")[0]:
            raise psutil.NoSuchProcess(pid)
        process.send_signal(signal.SIGKILL)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(10)


def fill(folder):
    """Write a file that takes what is left of a disk; return its path."""
    path = folder / "ballast"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**20))
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return path
