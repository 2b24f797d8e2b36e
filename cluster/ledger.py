"""What a watchdog knows of its jobs: how they stand, which workers they have, how each of their runs ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from .decide import Failures, Record
from .ends import End, Kind, of_job, place, requeued
from .slurm import Job

Run = tuple[int, int]
"""A job and how often it was started again before."""
MISSING_LOOKS = 3
"""A job that is missing in so many looks, and for so many of their intervals, is one that nobody knows any more."""


class Ledger:
    """The jobs of one driver; times are those of one clock, in s.

    Parameters
    ----------
    stderr
        Returns the last lines that a job printed.
    tell
        Called with a line for each run that ended.
    """

    def __init__(self, stderr: Callable[[Job], str], tell: Callable[[str], Any]) -> None:
        self.jobs: dict[int, Job] = {}
        """Those that have not ended."""
        self.levels: dict[int, int] = {}
        """How often memory had been raised when a job was submitted."""
        self.ends: dict[Run, End] = {}
        self.connected: Counter[Run] = Counter()
        """Workers that are connected."""
        self._stderr, self._tell = stderr, tell
        self._cancelled: dict[int, str] = {}
        self._missing: dict[int, list[float]] = {}
        self._seen: dict[Run, float] = {}
        self._begun: dict[Run, float] = {}
        self._n_failure, self._failed, self._failure = 0, 0.0, ""

    def submitted(self, job: int, level: int) -> None:
        """Note a new job."""
        self.levels[job] = level
        self.jobs.setdefault(job, Job(job, "PENDING"))

    def cancelled(self, jobs: Iterable[int], failed: Iterable[int], seconds: float) -> None:
        """Note jobs that we cancel ourselves; those that failed have had no worker for so many seconds."""
        self._cancelled |= dict.fromkeys(jobs, "") | dict.fromkeys(failed, f"no worker after {seconds:g} s")

    def came(self, run: Run, now: float) -> None:
        """Note a worker that was there, even if it came and went between two looks."""
        if run not in self._seen:
            self._seen[run] = now
            self._n_failure = 0

    def missing(self, jobs: Iterable[int], now: float, interval: float) -> dict[int, Job]:
        """Return those of the jobs of which there is no hope to hear again, after several looks without them."""
        self._missing = {number: [*self._missing.get(number, ()), now] for number in jobs}
        return {
            number: replace(self.jobs[number], state="UNKNOWN")
            for number, looks in self._missing.items()
            if len(looks) >= MISSING_LOOKS and now - looks[0] >= MISSING_LOOKS * interval
        }

    def update(self, found: Mapping[int, Job], workers: Iterable[str], level: int, now: float) -> None:
        """Note what has become of jobs and workers; ``level`` is that of jobs whose submission was not answered."""
        self.connected = Counter(filter(None, map(run_of, workers)))
        for run in self.connected:
            self.came(run, now)
        self._seen |= dict.fromkeys(self.connected, now)
        for job in found.values():
            self.levels.setdefault(job.id, level)
            self._follow(job, now)

    def records(self, now: float) -> list[Record]:
        """Return the jobs that have not ended."""
        return [
            Record(
                job,
                connected=self.connected[job.id, job.restarts],
                silent=self._silence(job, now),
                level=self.levels[job.id],
                came=(job.id, job.restarts) in self._seen,
            )
            for job in self.jobs.values()
        ]

    def failures(self, now: float) -> Failures:
        """Return the jobs that failed at their start, since one last did not."""
        return Failures(self._n_failure, now - self._failed, self._failure)

    def stale_workers(self) -> list[str]:
        """Return the names of workers that count as connected though their job has ended."""
        return [f"neq-{job}-{restart}" for job, restart in self.connected if (job, restart) in self.ends]

    def __str__(self) -> str:
        """How many runs have ended and why the last did; empty where none has."""
        ends = list(self.ends.values())
        return f"{len(ends)} so far, the last: {ends[-1].text}" if ends else ""

    def _follow(self, job: Job, now: float) -> None:
        for restart in range(job.restarts):
            self._end((job.id, restart), requeued(job))
        if job.ended:
            self.jobs.pop(job.id, None)
            if (job.id, job.restarts) not in self.ends:
                self._end((job.id, job.restarts), self._cause(job, now))
        else:
            self.jobs[job.id] = job
            # it was missing for long, and is back
            self.ends.pop((job.id, job.restarts), None)

    def _end(self, run: Run, end: End) -> None:
        if run not in self.ends:
            self.ends[run] = end
            self._tell(f"job {run[0]} ended: {end.text}")

    def _cause(self, job: Job, now: float) -> End:
        ours = self._cancelled.get(job.id) if job.state == "CANCELLED" else None
        stderr = self._stderr(job)
        end = of_job(job, stderr)
        if ours is not None:
            end = End(Kind.OUTSIDE, f"CANCELLED: {ours or 'it was no longer of use'} {place(job)}")
        failed = ours or (ours is None and (end.kind is not Kind.OUTSIDE or job.state == "TIMEOUT"))
        if failed and (job.id, job.restarts) not in self._seen:
            last = stderr.strip().split("\n")[-1][-300:]
            self._n_failure += 1
            self._failed, self._failure = now, f"{end.text}{': ' if last else ''}{last}"
        return end

    def _silence(self, job: Job, now: float) -> float:
        """Return for how long a job has run without a worker."""
        run = (job.id, job.restarts)
        if not job.runs:
            self._begun.pop(run, None)
            return 0.0
        return now - self._seen.get(run, self._begun.setdefault(run, now))


def run_of(worker: str) -> Run | None:
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
