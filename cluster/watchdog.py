"""Keeps jobs and workers in step: submits what is missing, learns why each job ended, says how they stand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .decide import Limits, decide
from .ends import End
from .errors import ClusterError
from .ledger import Ledger, run_of
from .profile import Profile
from .slurm import Job

MEMORY_FACTOR = 2.0
MOST_RAISES = 2
"""So often memory is raised, by the factor each time, for cells that ran out of it."""
WAKE_SECONDS = 1.0
"""Least time between two looks at the batch system."""


class System(Protocol):
    """What a watchdog asks of a batch system; the module :mod:`cluster.slurm` is one."""

    def submit(self, script: str, extra: tuple[str, ...]) -> int:
        """Submit a script and return the job's id."""

    def jobs(self, ids: Iterable[int], name: str) -> Mapping[int, Job]:
        """Return the jobs with these ids or this name."""

    def ended(self, ids: Iterable[int]) -> Mapping[int, Job]:
        """Return what is on record of jobs that are no longer listed."""

    def cancel(self, ids: Iterable[int] = (), name: str = "") -> None:
        """Cancel jobs."""


class Watchdog:
    """Watches the jobs of one driver; :meth:`look` is one round, :meth:`start` lets a thread do them.

    Parameters
    ----------
    system
        The batch system.
    profile
        Pace, cap and number of jobs.
    name
        Of all jobs of this driver and of no others.
    script
        From factor of the memory and margin (s, or None) to the text of a job.
    workers
        Returns the names of the connected workers.
    dismiss
        Called with names of workers whose jobs have ended though they still count as connected.
    log_folder
        Where the jobs' logs and our record of events are.
    n_worker
        Workers wanted.
    """

    def __init__(
        self,
        system: System,
        profile: Profile,
        name: str,
        script: Callable[[float, float | None], str],
        workers: Callable[[], Iterable[str]],
        dismiss: Callable[[list[str]], Any],
        log_folder: Path,
        n_worker: int,
    ) -> None:
        self.system, self.profile, self.name = system, profile, name
        self.note, self.problem = "no job yet", ""
        self.level = 0
        self._script, self._workers, self._dismiss, self._logs = script, workers, dismiss, log_folder
        self._wanted = self._useful = n_worker
        self._margin: float | None = None
        self._most_level = MOST_RAISES
        self._lock, self._wake, self._stop = threading.RLock(), threading.Event(), threading.Event()
        self._ledger = Ledger(self._stderr, self._tell)
        self._looked = self._raised = -math.inf
        self._thread = threading.Thread(target=self._keep, name="neq-watchdog", daemon=True)

    def start(self) -> None:
        """Look for the first time, then go on in a thread.

        Raises
        ------
        ClusterError
            The batch system refuses the first job.
        """
        self.look()
        if self.problem:
            raise ClusterError(self.problem)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and cancel all jobs, those too whose submission was not answered."""
        self._stop.set()
        self._wake.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join()
        with contextlib.suppress(ClusterError):
            self.system.cancel(name=self.name)

    @property
    def ended(self) -> str:
        """How many jobs have ended and why the last did, in words."""
        return str(self._ledger)

    def need(self, n_worker: int) -> None:
        """Say how many workers the work that is left can use: no more are submitted."""
        self._useful = n_worker

    def cell_seconds(self, longest: float) -> None:
        """Say how long cells take: workers that start from now on leave early enough before their walltime."""
        self._margin = 2 * longest + 0.05 * self.profile.walltime_seconds + 10.0

    def raise_memory(self) -> bool:
        """Give the next jobs more memory and cancel the others; False where that has been done often enough."""
        with self._lock:
            if self.level >= self._most_level:
                return False
            self.level += 1
            self._raised = time.monotonic()
            self._tell(f"memory raised to {self.memory_factor:g} times that of the profile")
        self._wake.set()
        return True

    @property
    def memory_factor(self) -> float:
        """Memory of the next jobs over that of the profile."""
        return MEMORY_FACTOR**self.level

    def has_memory(self) -> bool:
        """Whether no worker with less memory than is wanted now is left."""
        with self._lock:
            levels = [self._ledger.levels.get(job, 0) for job, _ in self._ledger.connected]
            return self._looked > self._raised and all(level >= self.level for level in levels)

    def end_of(self, worker: str, died: float) -> End | None:
        """Return how the job of a worker ended; None while that is not known.

        Parameters
        ----------
        died
            When the worker was lost (monotonic clock, s).
        """
        run = run_of(worker)
        if run is None:
            return None
        with self._lock:
            if run in self._ledger.ends:
                return self._ledger.ends[run]
            if self._looked < time.monotonic() - WAKE_SECONDS or self._looked < died:
                self._wake.set()
        return None

    def runs(self, worker: str, since: float) -> bool:
        """Whether the job of a worker runs, with that worker connected, as far as was seen after a moment."""
        run = run_of(worker)
        with self._lock:
            if run is None or run in self._ledger.ends:
                return False
            return self._looked > since and self._ledger.connected[run] > 0

    def look(self) -> None:
        """Compare jobs with workers once, and do what has to be done."""
        now = time.monotonic()
        found = self._found()
        names = list(self._workers())
        with self._lock:
            self._ledger.update(found, names, self.level, now)
            decision = decide(self._ledger.records(now), self._limits(), self._ledger.failures(now))
            self._ledger.cancelled(decision.cancel)
            self._looked, self.problem = now, decision.stop
            stale = self._ledger.stale_workers()
        self._say(decision.note)
        if decision.cancel:
            self.system.cancel(ids=decision.cancel)
        if stale:
            self._dismiss(stale)
        self._submit(decision.submit)

    def _keep(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self.profile.watch_interval)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self.look()
            except Exception as error:
                # a batch system out of reach is no reason to give up what runs
                self._say(f"not known ({' '.join(str(error).split())})")
            self._stop.wait(WAKE_SECONDS)

    def _found(self) -> dict[int, Job]:
        """Return what the batch system says of our jobs, those that it has forgotten too."""
        found = dict(self.system.jobs((), self.name))
        gone = self._ledger.jobs.keys() - found.keys()
        found |= self.system.ended(gone) if gone else {}
        return found | {number: Job(number, "UNKNOWN") for number in gone - found.keys()}

    def _limits(self) -> Limits:
        jobs = math.ceil(min(self._wanted, self._useful) / self.profile.processes)
        return Limits(min(jobs, self.profile.most_jobs), self.level)

    def _submit(self, number: int) -> None:
        """Submit jobs one after another, with a pause between."""
        for count in range(number):
            if self._stop.wait(self.profile.submit_pause if count else 0.0):
                return
            level = self.level
            try:
                job = self.system.submit(self._script(MEMORY_FACTOR**level, self._margin), (f"--job-name={self.name}",))
            except ClusterError as error:
                self._refused(error, level)
                return
            with self._lock:
                self._ledger.submitted(job, level)
            self._tell(f"job {job} submitted")

    def _refused(self, error: ClusterError, level: int) -> None:
        """Live with what is there, where there is something; else this is the end."""
        self._tell(str(error))
        with self._lock:
            if level:
                self.level = self._most_level = level - 1
            elif not self._ledger.jobs:
                self.problem = str(error)

    def _stderr(self, job: Job) -> str:
        folder = Path(self.profile.log_directory or self._logs).expanduser()
        try:
            return (folder / f"neq-{job.id}.err").read_text(errors="replace")[-2000:]
        except OSError:
            return ""

    def _say(self, note: str) -> None:
        if note != self.note:
            self._tell(note)
        self.note = note

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError), (self._logs / "events.log").open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
