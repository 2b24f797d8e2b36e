"""Keeps jobs and workers in step: submits what is missing, learns why each job ended, says how they stand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .decide import Decision, Failures, Limits, Record, decide
from .ends import End, Kind, of_job, place, requeued
from .errors import ClusterError
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
        self._jobs: dict[int, Job] = {}
        self._levels: dict[int, int] = {}
        self._ends: dict[tuple[int, int], End] = {}
        self._seen: dict[tuple[int, int], float] = {}
        self._begun: dict[tuple[int, int], float] = {}
        self._connected: dict[tuple[int, int], int] = {}
        self._cancelled: set[int] = set()
        self._failures, self._failed = 0, (0.0, "")
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
            return self._looked > self._raised and all(
                self._levels.get(number, 0) >= self.level for number, _ in self._connected
            )

    def alive(self) -> bool:
        """Whether a job waits or runs, so that workers may still come."""
        with self._lock:
            return bool(self._jobs) or not self.problem

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
            if run in self._ends:
                return self._ends[run]
            if self._looked < time.monotonic() - WAKE_SECONDS or self._looked < died:
                self._wake.set()
        return None

    def runs(self, worker: str) -> bool:
        """Whether the job of a worker was running, with that worker connected, when we last looked."""
        run = run_of(worker)
        with self._lock:
            return run is not None and run not in self._ends and bool(self._connected.get(run))

    def look(self) -> None:
        """Compare jobs with workers once, and do what has to be done."""
        begin = time.monotonic()
        found = self._found()
        names = list(self._workers())
        with self._lock:
            self._digest(found, names)
            decision = self._decide()
            self._cancelled.update(decision.cancel)
            self._looked = begin
            self.problem = decision.stop
            lost = [f"neq-{number}-{restart}" for number, restart in self._connected if (number, restart) in self._ends]
        self._say(decision.note)
        if decision.cancel:
            self.system.cancel(ids=decision.cancel)
        if lost:
            self._dismiss(lost)
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
        gone = set(self._jobs) - found.keys()
        found |= self.system.ended(gone) if gone else {}
        return found | {number: Job(number, "UNKNOWN") for number in gone - found.keys()}

    def _digest(self, found: Mapping[int, Job], names: Iterable[str]) -> None:
        """Note what has become of jobs and workers since the last look."""
        now = time.monotonic()
        self._connected = Counter(filter(None, map(run_of, names)))
        if self._connected.keys() - self._seen.keys():
            self._failures = 0
        self._seen |= dict.fromkeys(self._connected, now)
        for job in found.values():
            self._follow(job)

    def _follow(self, job: Job) -> None:
        """Note what has become of a job since the last look."""
        for restart in range(job.restarts):
            if (job.id, restart) not in self._ends:
                self._note_end((job.id, restart), requeued(job))
        run = (job.id, job.restarts)
        if job.ended:
            self._jobs.pop(job.id, None)
            if run not in self._ends:
                self._note_end(run, self._end(job))
        else:
            self._jobs[job.id] = job
            self._levels.setdefault(job.id, self.level)

    def _end(self, job: Job) -> End:
        end = of_job(job, self._stderr(job))
        if job.id in self._cancelled and job.state == "CANCELLED":
            return End(Kind.OUTSIDE, f"CANCELLED: it was no longer of use {place(job)}")
        never_came = (job.id, job.restarts) not in self._seen
        if never_came and (end.kind is not Kind.OUTSIDE or job.state == "TIMEOUT"):
            self._failures += 1
            last = self._stderr(job).strip().split("\n")[-1][-300:]
            text = f"{end.text}{': ' if last else ''}{last}"
            self._failed = (time.monotonic(), text)
        return end

    def _note_end(self, run: tuple[int, int], end: End) -> None:
        self._ends[run] = end
        self._tell(f"job {run[0]} ended: {end.text}")

    def _decide(self) -> Decision:
        now = time.monotonic()
        records = []
        for job in self._jobs.values():
            run = (job.id, job.restarts)
            records.append(
                Record(job, self._connected.get(run, 0), self._silence(job, now), self._levels.get(job.id, 0))
            )
        when, text = self._failed
        return decide(records, self._limits(), Failures(self._failures, now - when, text))

    def _silence(self, job: Job, now: float) -> float:
        """Return for how long a job has run without a worker."""
        run = (job.id, job.restarts)
        if not job.runs:
            self._begun.pop(run, None)
            return 0.0
        return now - self._seen.get(run, self._begun.setdefault(run, now))

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
                self._levels[job] = level
                self._jobs.setdefault(job, Job(job, "PENDING"))
            self._tell(f"job {job} submitted")

    def _refused(self, error: ClusterError, level: int) -> None:
        """Live with what is there, where there is something; else this is the end."""
        self._tell(str(error))
        with self._lock:
            if level:
                self.level = self._most_level = level - 1
            elif not self._jobs:
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


def run_of(worker: str) -> tuple[int, int] | None:
    """Return job and restart of a worker from its name, None for a worker that is not ours.

    Examples
    --------
    >>> run_of("neq-12-1"), run_of("neq-12-0-3"), run_of("tcp://127.0.0.1:5")
    ((12, 1), (12, 0), None)
    """
    parts = str(worker).split("-")
    if parts[0] != "neq" or len(parts) < 3 or not all(part.isdecimal() for part in parts[1:3]):
        return None
    return int(parts[1]), int(parts[2])
