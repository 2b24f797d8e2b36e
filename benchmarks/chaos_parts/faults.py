"""Faults of all kinds, one at a time out of a shuffled deck; some are undone a while later."""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import slurm_faults as faults
from slurm_sweep import Sweep

from cluster import slurm
from cluster.errors import ClusterError

from .drivers import Drivers

PARTITION = "scavenge"
"""Of the workers: jobs of partition normal take their nodes."""
CONTROLLER = "controller"
MEND_SECONDS = 60.0
AGAIN_SECONDS = 3.0
Undo = tuple[float, Callable[[], object]]
"""Seconds until a fault is undone, and how."""
Injected = tuple[str, Undo | None]
"""What was done, in words, and how it is undone."""


class Faults:
    """Injects faults into one sweep and the SLURM of its own that it runs on.

    Parameters
    ----------
    sweep, drivers
        The sweep and what drives it.
    seed
        Of the order of faults, their victims and their lengths.
    """

    def __init__(self, sweep: Sweep, drivers: Drivers, seed: int) -> None:
        self.sweep, self.drivers = sweep, drivers
        self.testbed = faults.Testbed()
        self.injected: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._undo: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._deck: list[str] = []
        self._down: set[str] = set()
        self._running: list[slurm.Job] = []

    def inject(self) -> str:
        """Inject the next fault of the deck that can be injected now; return what was done."""
        for _ in range(len(KINDS)):
            kind = self._draw()
            try:
                text, undo = KINDS[kind][1](self)
            except (LookupError, OSError, ClusterError, psutil.Error, subprocess.SubprocessError):
                # no job runs, no driver lives, or the controller is down: this one's turn comes again
                continue
            self.injected[kind] += 1
            if undo is not None:
                heapq.heappush(self._undo, (time.monotonic() + undo[0], next(self._number), undo[1]))
            return f"{kind} ({text})"
        return "nothing to break now"

    def mend(self, everything: bool = False) -> None:
        """Undo the faults whose time is over, or all of them; what cannot be undone now is tried again later."""
        end = time.monotonic() + MEND_SECONDS
        while self._undo and (everything or self._undo[0][0] < time.monotonic()):
            _, number, undo = heapq.heappop(self._undo)
            try:
                undo()
            except (psutil.NoSuchProcess, FileNotFoundError):
                pass
            except (OSError, subprocess.SubprocessError) as error:
                # the controller may be down: what brings it back is due before this comes again
                if everything and time.monotonic() > end:
                    raise
                heapq.heappush(self._undo, (time.monotonic() + AGAIN_SECONDS, number, undo))
                print(f"tried again later: {error}", flush=True)
                time.sleep(0.5)

    def _cancel_job(self) -> Injected:
        job = self._job()
        faults.scancel(job.id)
        return f"job {job.id}", None

    def _end_walltime(self) -> Injected:
        job = self._job()
        faults.cut_short(job.id)
        return f"job {job.id}", None

    def _requeue_job(self) -> Injected:
        job = self._job()
        if not slurm.requeue(job.id):
            raise LookupError(job.id)
        return f"job {job.id}", None

    def _preempt_job(self) -> Injected:
        job = self._job()
        seconds = self._random.uniform(3, 15)
        urgent = faults.preempt(job.node, seconds)
        return f"job {job.id} on {job.node}, {seconds:.0f} s", (60.0, lambda: slurm.cancel([urgent]))

    def _kill_worker(self) -> Injected:
        worker = self._worker()
        if worker.process is None:
            raise LookupError(worker.job)
        worker.process.kill()
        return f"job {worker.job}", None

    def _kill_nanny(self) -> Injected:
        worker = self._worker()
        worker.nanny.kill()
        return f"job {worker.job}", None

    def _kill_step(self) -> Injected:
        worker = self._worker()
        worker.shell.kill()
        return f"job {worker.job}", None

    def _stop_worker(self) -> Injected:
        worker = self._worker()
        process, seconds = worker.process, self._random.uniform(5, 90)
        if process is None:
            raise LookupError(worker.job)
        process.send_signal(signal.SIGSTOP)
        return f"job {worker.job}, {seconds:.0f} s", (seconds, lambda: process.send_signal(signal.SIGCONT))

    def _exhaust_memory(self) -> Injected:
        worker = self._worker()
        if worker.memory_group() is None:
            raise LookupError("no control group limits memory here")
        balloon = worker.exhaust_memory()
        return f"job {worker.job}", (20.0, balloon.kill)

    def _node_down(self) -> Injected:
        node, seconds = self._job().node, self._random.uniform(3, 30)
        faults.set_down(node)
        return f"{node}, {seconds:.0f} s", (seconds, lambda: faults.resume(node))

    def _kill_controller(self) -> Injected:
        self._once(CONTROLLER)
        seconds = self._random.uniform(1, 40)
        self.testbed.kill_controller()
        return f"{seconds:.0f} s", (seconds, lambda: self._again(CONTROLLER, self.testbed.start_controller))

    def _kill_daemon(self) -> Injected:
        node = self._random.choice(self.testbed.nodes)
        self._once(node)
        seconds = self._random.uniform(1, 40)
        self.testbed.kill_daemon(node)
        return f"{node}, {seconds:.0f} s", (seconds, lambda: self._again(node, lambda: self.testbed.start_daemon(node)))

    def _kill_driver(self) -> Injected:
        return f"process {self.drivers.kill()}", None

    def _stop_driver(self) -> Injected:
        if self.drivers.stopped is not None or self.sweep.n_pending is None:
            raise LookupError("one is stopped already, or has not begun")
        # another may follow after a minute of silence
        seconds = self._random.uniform(70, 100)
        return f"process {self.drivers.stop()}, {seconds:.0f} s", (seconds, self.drivers.wake)

    def _partition_down(self) -> Injected:
        self._controller()
        self._once(PARTITION)
        seconds = self._random.uniform(5, 40)
        faults.set_partition(PARTITION, "DOWN")
        up = lambda: faults.set_partition(PARTITION, "UP")  # noqa: E731
        return f"{seconds:.0f} s", (seconds, lambda: self._again(PARTITION, up))

    def _disk_full(self) -> Injected:
        if not self.sweep.run.is_mount():
            raise LookupError("the results are on a disk that others use")
        self._once("disk")
        seconds = self._random.uniform(1, 15)
        ballast: Path = faults.fill(self.sweep.run)
        return f"{seconds:.0f} s", (seconds, lambda: self._again("disk", ballast.unlink))

    def _draw(self) -> str:
        """Return the next kind: every kind comes, the more often the more it weighs."""
        if not self._deck:
            self._deck = [kind for kind, (weight, _) in KINDS.items() for _ in range(weight)]
            self._random.shuffle(self._deck)
            if not self.injected:
                # each kind once at first, so that a short run has all of them
                self._deck = [*self._random.sample(list(KINDS), len(KINDS)), *self._deck]
        return self._deck.pop(0)

    def _job(self) -> slurm.Job:
        """Return a job that runs, as the controller says."""
        self._controller()
        self._running = self.sweep.running()
        return self._random.choice(sorted(self._running, key=lambda job: job.id))

    def _worker(self) -> faults.Worker:
        """Return a worker of a job that ran when the controller was last asked."""
        if CONTROLLER not in self._down:
            self._running = self.sweep.running()
        found = faults.workers({job.id for job in self._running})
        return self._random.choice(sorted(found, key=lambda worker: worker.job))

    def _controller(self) -> None:
        if CONTROLLER in self._down:
            raise LookupError(CONTROLLER)

    def _once(self, what: str) -> None:
        """Note that something is down, which must not be so yet."""
        if what in self._down:
            raise LookupError(what)
        self._down.add(what)

    def _again(self, what: str, up: Callable[[], object]) -> None:
        up()
        self._down.discard(what)


KINDS: dict[str, tuple[int, Callable[[Faults], Injected]]] = {
    "a job cancelled": (6, Faults._cancel_job),
    "a job's walltime over": (4, Faults._end_walltime),
    "a job put back into the queue": (4, Faults._requeue_job),
    "a node taken by a job of higher priority": (4, Faults._preempt_job),
    "a worker killed": (8, Faults._kill_worker),
    "a nanny killed": (4, Faults._kill_nanny),
    "a job's shell killed": (4, Faults._kill_step),
    "a worker stopped for a while": (8, Faults._stop_worker),
    "a job out of memory": (4, Faults._exhaust_memory),
    "a node set down": (4, Faults._node_down),
    "the controller killed and started again": (4, Faults._kill_controller),
    "a node's daemon killed and started again": (4, Faults._kill_daemon),
    "the driver killed": (2, Faults._kill_driver),
    "the driver stopped until another took over": (1, Faults._stop_driver),
    "the partition closed for a while": (1, Faults._partition_down),
    "the disk full for a while": (1, Faults._disk_full),
}
"""Each kind with its weight."""
