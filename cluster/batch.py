"""A Dask cluster whose workers are jobs of a batch system."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import distributed

from . import autopsy, limits, slurm
from .ends import UNKNOWN, End, Kind
from .errors import ClusterError
from .ledger import Run, run_of
from .local import silence
from .partition import Partition
from .profile import Profile
from .script import job_script, make_cluster, make_log_folder
from .settings import SETTINGS
from .watchdog import Watchdog

PATIENCE_SECONDS = 90.0
"""A lost worker whose end is not known after so long is taken to have been cut off."""
NANNY_SECONDS = 4.0
"""A job that runs so long after its worker was lost has lost the worker process only."""
UNWATCHED = "the batch system has the jobs: those without a worker wait in its queue or start"
"""How the jobs stand where there is no watchdog."""
NAMES = "names.jsonl"
"""File in the log folder with the job names of all drivers: what a killed one left in the queue is found by them."""


class BatchClient(distributed.Client):
    """A client that knows its jobs; its ``watchdog`` is None where dask-jobqueue keeps them up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.watchdog: Watchdog | None = None
        self._kills: dict[Run, int] = {}
        super().__init__(*arguments, **options)

    @property
    def coming(self) -> bool:
        """Whether jobs may still bring workers; of jobs without a watchdog nothing else is known."""
        return self.watchdog is None or not self.watchdog.problem

    @property
    def note(self) -> str:
        """How the jobs stand, in words."""
        return UNWATCHED if self.watchdog is None else self.watchdog.note

    def wait_for_first(self, tell: Callable[[str], Any] = lambda note: None) -> None:
        """Return when a worker is there; ``tell`` hears how the jobs stand whenever that changes.

        Raises
        ------
        ClusterError
            No worker will come.
        """
        said = ""
        while not self.nthreads():
            if self.watchdog is not None and self.watchdog.problem:
                raise ClusterError(self.watchdog.problem)
            if self.note != said:
                said = self.note
                tell(said)
            time.sleep(0.5)

    def end_of(self, worker: str, address: str, died: float) -> End | None:
        """Return how a lost worker ended; None while that is not known.

        Parameters
        ----------
        worker, address
            Its name and address.
        died
            When it was lost (monotonic clock, s).
        """
        end = self._cause(worker, address, died)
        if end is not None and end.kind is Kind.MEMORY and self.watchdog is not None:
            return self.watchdog.ran_short(worker, end)
        return end

    def _cause(self, worker: str, address: str, died: float) -> End | None:
        waited = time.monotonic() - died
        if autopsy.memory_limit_met(self, address):
            return End(Kind.MEMORY, f"OUT_OF_MEMORY: it took more than its memory (worker {worker})")
        run = run_of(worker)
        if self.watchdog is None or run is None:
            return End(Kind.CRASH, UNKNOWN)
        end = self.watchdog.end_of(worker, died + NANNY_SECONDS)
        if end is None and waited > NANNY_SECONDS and self.watchdog.runs(worker, died + NANNY_SECONDS):
            said = autopsy.ask_nanny(self, worker, self._kills.get(run, 0))
            if said is not None:
                end, self._kills[run] = said
        if end is None and waited > PATIENCE_SECONDS:
            end = End(Kind.OUTSIDE, f"UNREACHABLE: its job goes on without it (worker {worker})")
        return end


@contextlib.contextmanager
def start(
    profile: Profile,
    workers: int | None = None,
    memory: str | None = None,
    log_folder: Path | str = "jobs",
    tell: Callable[[str], Any] = lambda text: None,
) -> Iterator[BatchClient]:
    """Run a scheduler here and workers in jobs for the length of a ``with`` block; the jobs end with it.

    Does not wait for a worker: see :meth:`BatchClient.wait_for_first`.

    Parameters
    ----------
    profile
        The batch system and what a job asks of it.
    workers, memory
        Instead of those of the profile.
    log_folder
        For the jobs' output and ``events.log``, the watchdog's record; seen by the nodes.
    tell
        Called with a line about jobs that an earlier driver left, or that may be left in the end.

    Yields
    ------
    BatchClient
        Its ``.watchdog`` is None where the batch system is not SLURM: there dask-jobqueue keeps up the jobs.

    Raises
    ------
    ClusterError
        The batch system refuses the job, or is not there, or the memory is no size.
    """
    if memory is not None:
        profile = profile.changed(memory=memory)
    logs = Path(log_folder).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    make_log_folder(profile, logs)
    partition = limits.require(profile)
    with dask.config.set(SETTINGS), silence(), contextlib.ExitStack() as stack:
        cluster = make_cluster(profile, logs)
        stack.callback(cluster.close)
        client = stack.enter_context(BatchClient(cluster))
        if profile.scheduler == "slurm":
            script = partial(_script, profile, cluster.scheduler_address, logs)
            watchdog = _watchdog(profile, partition, script, client, logs, workers or profile.workers)
            _cancel_left(logs, tell)
            _note_name(logs, watchdog.name)
            stack.callback(_close, watchdog, tell)
            client.watchdog = watchdog
            watchdog.start()
        else:
            _submit_first(cluster)
            jobs = -(-(workers or profile.workers) // profile.processes)
            cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        yield client


def _submit_first(cluster: Any) -> None:
    """Submit one job and wait for the answer: of the later ones dask-jobqueue tells in its log only."""
    cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(cluster._correct_state)
    except (RuntimeError, OSError) as error:
        for job in cluster.workers.values():
            job.status = distributed.Status.failed  # there is nothing to cancel
        cluster.worker_spec.clear()
        cluster.workers.clear()
        said = str(error).rpartition("stderr:")[2].strip() or "it does not say why"
        command = cluster.job_cls.submit_command
        raise ClusterError(
            f"{command} refuses the job: {said}. Mend the profile and give the command again."
        ) from error


def _watchdog(
    profile: Profile,
    partition: Partition | None,
    script: Callable[[int, float | None], str],
    client: BatchClient,
    logs: Path,
    n_worker: int,
) -> Watchdog:
    return Watchdog(
        system=slurm,
        profile=profile,
        name=f"neq-{uuid.uuid4().hex[:8]}",
        script=script,
        workers=lambda: client.run_on_scheduler(autopsy.worker_names),
        dismiss=lambda prefixes: client.run_on_scheduler(autopsy.dismiss, prefixes=prefixes),
        log_folder=logs,
        n_worker=n_worker,
        partition=partition,
    )


def _script(profile: Profile, address: str, logs: Path, memory: int, margin: float | None) -> str:
    return job_script(profile.model_copy(update={"memory": f"{memory}B"}), address, logs, margin)


def _close(watchdog: Watchdog, tell: Callable[[str], Any]) -> None:
    try:
        watchdog.close()
    except ClusterError as error:
        tell(str(error))


def _cancel_left(logs: Path, tell: Callable[[str], Any]) -> None:
    """Cancel the jobs of earlier drivers with this log folder, which nobody can use any more."""
    try:
        names = [json.loads(line)["name"] for line in (logs / NAMES).read_text().splitlines()]
    except (OSError, ValueError, KeyError):
        return
    for name in names[-20:]:
        left = [job.id for job in slurm.jobs(name=name).values() if not job.ended]
        if left:
            tell(f"{len(left)} jobs of an earlier driver cancelled")
            slurm.cancel(name=name)
    (logs / NAMES).unlink(missing_ok=True)


def _note_name(logs: Path, name: str) -> None:
    with (logs / NAMES).open("a") as file:
        file.write(json.dumps({"name": name}) + "\n")
