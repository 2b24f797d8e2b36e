"""Keeps jobs and workers in step: submits what is missing, learns why each job ended, says how they stand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .decide import Limits, decide, note
from .ends import End
from .errors import AwayError, ClusterError
from .ledger import Ledger, run_of
from .memory import Memory
from .partition import Partition
from .patience import Patience
from .profile import Profile
from .slurm import Job, one_line
from .system import System

MEMORY_WORDS = ("mem", "node configuration")
"""By these one knows that the batch system refuses a job for what it asks for, not because it is busy."""
WAKE_SECONDS = 1.0
"""Least time between two looks at the batch system."""
MOST_SUBMITS = 20
"""Jobs submitted between two looks."""


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
        From memory of a worker (bytes) and margin (s, or None) to the text of a job.
    workers
        Returns the names of the connected workers.
    dismiss
        Called with names of workers whose jobs have ended though they still count as connected.
    log_folder
        Where the jobs' logs and our record of events are.
    n_worker
        Workers wanted.
    partition
        What jobs can have at most; None: not known.
    """

    def __init__(
        self,
        system: System,
        profile: Profile,
        name: str,
        script: Callable[[int, float | None], str],
        workers: Callable[[], Iterable[str]],
        dismiss: Callable[[list[str]], Any],
        log_folder: Path,
        n_worker: int,
        partition: Partition | None = None,
    ) -> None:
        self.system, self.profile, self.name = system, profile, name
        self.note, self.problem = "no job yet", ""
        self._script, self._workers, self._dismiss, self._logs = script, workers, dismiss, log_folder
        self._wanted = self._useful = n_worker
        self._margin: float | None = None
        self._lock, self._wake, self._stop = threading.RLock(), threading.Event(), threading.Event()
        self._ledger = Ledger(self._stderr, self._tell)
        self.memory = Memory(profile, partition, log_folder, self._tell)
        self._looked = self._raised = -math.inf
        self._refusal, self._patience = "", Patience()
        self._thread = threading.Thread(target=self._keep, name="neq-watchdog", daemon=True)

    def start(self) -> None:
        """Look for the first time and submit one job, then go on in a thread.

        Raises
        ------
        ClusterError
            The batch system refuses the first job.
        """
        self.look(most=1)
        if self.problem:
            raise ClusterError(self.problem)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and cancel all jobs, those too whose submission was not answered.

        Raises
        ------
        ClusterError
            Jobs may be left.
        """
        self._stop.set()
        self._wake.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join()
        try:
            self.system.cancel(name=self.name)
        except ClusterError as error:
            self._tell(str(error))
            raise ClusterError(
                f"Jobs may be left in the queue, `scancel --name={self.name}` cancels them: {error}"
            ) from error

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

    def has_memory(self) -> bool:
        """Whether no worker with less memory than is wanted is left; raises it first where a cell ran out of it."""
        with self._lock:
            if self.memory.short and self.memory.raise_():
                # jobs with less are cancelled at the next look
                self._raised = time.monotonic()
                self._wake.set()
            levels = [self._ledger.levels.get(job, 0) for job, _ in self._ledger.connected]
            return self._looked > self._raised and all(level >= self.memory.level for level in levels)

    def ran_short(self, worker: str, end: End) -> End:
        """Note that a worker ran out of memory; return its end with what memory it had."""
        run = run_of(worker)
        with self._lock:
            if run is not None:
                self._ledger.came(run, time.monotonic())
            level = self._ledger.levels.get(run[0], 0) if run else 0
            self.memory.run_short(level)
            return replace(end, text=f"{end.text}, of {self.memory.text(level)}")

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
            # what is asked after was there, though it may have gone before it was seen
            self._ledger.came(run, time.monotonic())
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

    def look(self, most: int = MOST_SUBMITS) -> None:
        """Compare jobs with workers once, and do what has to be done; submit no more jobs than ``most``."""
        now = time.monotonic()
        found = self._found(now)
        names = list(self._workers())
        with self._lock:
            self._ledger.update(found, names, self.memory.level, now)
            decision = decide(self._ledger.records(now), self._limits(), self._ledger.failures(now))
            self._ledger.cancelled(decision.cancel, decision.failed, self.profile.start_patience)
            self._looked, self.problem = now, decision.stop
            stale = self._ledger.stale_workers()
        if self._ledger.jobs or not decision.submit:
            self._stands(decision.note)
        if decision.cancel:
            self.system.cancel(ids=decision.cancel, pause=self._stop.wait)
        if stale:
            self._dismiss(stale)
        self._refusal = self._submit(min(decision.submit, most))
        with self._lock:
            stand = note(self._ledger.records(now))
        self._stands(stand)
        if self._ledger.jobs or not self._refusal:
            self._patience.restored()
        if decision.submit > most and not self._refusal:
            self._wake.set()

    def _stands(self, note: str) -> None:
        raised = f"memory raised to {self.memory.text()}" if self.memory.level else ""
        self._say("; ".join(part for part in (note, raised, self._refusal) if part))

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
                self._say(f"not known ({one_line(str(error))})")
                self.problem = self._patience.failed(error) or self.problem
            self._stop.wait(WAKE_SECONDS)

    def _found(self, now: float) -> dict[int, Job]:
        """Return what the batch system says of our jobs, those that it has forgotten too."""
        found = dict(self.system.jobs((), self.name))
        gone = self._ledger.jobs.keys() - found.keys()
        recorded = self.system.ended(gone) if gone else {}
        # records do not tell how often a job was started again
        found |= {n: replace(job, restarts=self._ledger.jobs[n].restarts) for n, job in recorded.items()}
        return found | self._ledger.missing(gone - recorded.keys(), now, self.profile.watch_interval)

    def _limits(self) -> Limits:
        jobs = math.ceil(min(self._wanted, self._useful) / self.profile.processes)
        jobs = min(jobs, self.profile.most_jobs)
        return Limits(jobs, self.memory.level, self.profile.start_patience, several=len(self.profile.partitions) > 1)

    def _submit(self, number: int) -> str:
        """Submit jobs one after another, with a pause between; return why there are no more for now."""
        for count in range(number):
            if self._stop.wait(self.profile.submit_pause if count else 0.0):
                return ""
            with self._lock:
                level, memory = self.memory.level, self.memory.bytes
            try:
                name = f"--job-name={self.name}"
                job = self.system.submit(self._script(memory, self._margin), (name,), self._stop.wait)
            except ClusterError as error:
                return self._refused(error, level)
            with self._lock:
                self._ledger.submitted(job, level)
            self._tell(f"job {job} submitted")
        return ""

    def _refused(self, error: ClusterError, level: int) -> str:
        """Live with what is there, where there is something; else this is the end, unless the batch system is away."""
        with self._lock:
            if level and any(word in str(error).lower() for word in MEMORY_WORDS):
                self._tell(str(error))
                self.memory.refused(level)
                return ""
            if not self._ledger.jobs:
                self.problem = self._patience.failed(error) if isinstance(error, AwayError) else str(error)
        return one_line(str(error))

    def _stderr(self, job: Job) -> str:
        try:
            return (self.profile.logs(self._logs) / f"neq-{job.id}.err").read_text(errors="replace")[-2000:]
        except OSError:
            return ""

    def _say(self, note: str) -> None:
        if note != self.note:
            self._tell(note)
        self.note = note

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError), (self._logs / "events.log").open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
