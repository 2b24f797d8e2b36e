"""SLURM's own commands, typed: submit, look, cancel. What they answer comes back as values, never as text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .errors import AwayError, ClusterError

SECONDS = 60.0
"""A command that has not answered after so long is given up."""
TRIES = 4
TRY_SECONDS = 30.0
"""A busy controller is asked again so often, and not after so long."""
BUSY = ("temporarily unable", "temporarily unavailable", "Socket timed out", "Unable to contact", "try again")
"""What SLURM's commands say of a controller that is merely busy."""
FIELDS = ("JobID", "State", "RestartCnt", "exit_code", "StartTime", "NodeList", "Reason")
SEPARATOR = ";"

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
RUNNING = frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
ENDING = frozenset({"COMPLETING"})
"""The job's processes are being ended; why is known a moment later."""


@dataclass(frozen=True)
class Job:
    """A job as SLURM describes it.

    Parameters
    ----------
    state
        SLURM's word, such as ``RUNNING`` or ``OUT_OF_MEMORY``.
    reason
        Why it waits, or more about its end; empty where SLURM says None.
    exit_code, signal
        Of the job's script, 0 where it ended well or has not ended.
    node
        Where it runs or ran.
    restarts
        How often it was put back into the queue after it had begun.
    start
        When it began, or is expected to (s since the epoch); None: not known.
    """

    id: int
    state: str
    reason: str = ""
    exit_code: int = 0
    signal: int = 0
    node: str = ""
    restarts: int = 0
    start: float | None = None

    @property
    def waits(self) -> bool:
        """Whether it has yet to begin."""
        return self.state in WAITING

    @property
    def runs(self) -> bool:
        """Whether its processes live."""
        return self.state in RUNNING

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, and SLURM says how."""
        return not (self.waits or self.runs or self.state in ENDING)


def available() -> bool:
    """Whether this machine has SLURM's commands."""
    return all(shutil.which(name) for name in ("sbatch", "squeue", "scancel", "scontrol"))


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def submit(script: str, extra: Sequence[str] = (), pause: Callable[[float], object] = _sleep) -> int:
    """Submit a job script and return the job's id.

    A busy controller is asked again a few times. Whether a call that timed out made a job after all is seen by
    :func:`jobs` of the name that the caller gave the job in ``extra``.

    Parameters
    ----------
    pause
        Waits between two tries (s); true where there is no use in another.

    Raises
    ------
    AwayError
        The controller stays busy.
    ClusterError
        With what sbatch said.
    """
    done = _asked(["sbatch", "--parsable", *extra], pause, script)
    if _is_busy(done):
        raise AwayError(f"sbatch cannot submit now: {one_line(done.stderr)}. Wait until the batch system is back.")
    if done.returncode:
        raise ClusterError(
            f"sbatch refused the job: {one_line(done.stderr)}. "
            "Compare the profile with the site's limits (`neq cluster check`, `scontrol show partition`)."
        )
    return int(done.stdout.strip().split("\n")[-1].partition(";")[0])


def _asked(
    command: Sequence[str], pause: Callable[[float], object], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command, and again while the controller is busy."""
    end = time.monotonic() + TRY_SECONDS
    done = run(command, text)
    for attempt in range(TRIES - 1):
        if not _is_busy(done) or time.monotonic() > end or pause(2.0**attempt):
            break
        done = run(command, text)
    return done


def _is_busy(done: subprocess.CompletedProcess[str]) -> bool:
    return bool(done.returncode) and any(word in done.stderr for word in BUSY)


def jobs(ids: Iterable[int] = (), name: str = "") -> dict[int, Job]:
    """Return the jobs of this user, those that ended a short while ago too, with these ids or this name.

    SLURM forgets ended jobs (after 5 minutes, as a rule); see :func:`ended`.

    Raises
    ------
    ClusterError
        SLURM does not answer.
    """
    listed = ",".join(map(str, ids))
    if not (listed or name):
        return {}
    chosen = [*([f"--name={name}"] if name else []), *([f"--jobs={listed}"] if listed else [])]
    form = ",".join(f"{field}:{SEPARATOR}" for field in FIELDS)
    done = run(["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", *chosen, f"--Format={form}"])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise AwayError(f"squeue does not answer: {one_line(done.stderr)}. Wait until the batch system is back.")
    found = [parse(line) for line in done.stdout.splitlines() if line.strip()]
    return {job.id: job for job in found}


def parse(line: str) -> Job:
    """Return the job in a line of squeue.

    Examples
    --------
    >>> parse("2;FAILED;0;768;2026-11-21T18:34:58;n1;NonZeroExitCode;").exit_code
    3
    >>> parse("5;PENDING;0;0;N/A;;PartitionTimeLimit;").reason
    'PartitionTimeLimit'
    """
    number, state, restarts, code, start, node, reason = line.strip().split(SEPARATOR)[: len(FIELDS)]
    waited = int(code)
    return Job(
        id=int(number),
        state=state.split()[0],
        reason="" if reason == "None" else reason,
        exit_code=waited >> 8,
        signal=waited & 127,
        node=node,
        restarts=int(restarts),
        start=_moment(start),
    )


def ended(ids: Iterable[int]) -> dict[int, Job]:
    """Return what SLURM's records say of jobs that it no longer shows; those that it never noted are left out.

    Elements of an array have ids of their own, as everywhere here; their places in the array, ``12_3``, are not ids.
    """
    listed = ",".join(map(str, ids))
    if not listed or shutil.which("sacct") is None:
        return {}
    for mode, fields in ((["-X"], "JobIDRaw,State,NodeList,ExitCode"), (["-c"], "JobIDRaw,State,NodeList")):
        done = run(["sacct", *mode, "--noheader", "--parsable2", f"--format={fields}", f"--jobs={listed}"])
        if not done.returncode and done.stdout.strip():
            records = [line.split("|") for line in done.stdout.splitlines()]
            return {job.id: job for job in map(_recorded, records) if job.ended}
    return {}


def _recorded(fields: Sequence[str]) -> Job:
    number, state, node, *code = fields
    exit_code, _, signal = (code[0] if code else "0:0").partition(":")
    return Job(int(number), state.split()[0], node=node, exit_code=int(exit_code), signal=int(signal or 0))


def cancel(ids: Iterable[int] = (), name: str = "", pause: Callable[[float], object] = _sleep) -> None:
    """Cancel jobs by their ids, or all of this user's with a name; those that have ended are left as they are.

    Raises
    ------
    AwayError
        The controller stays busy; jobs may be left.
    """
    listed = [str(one) for one in ids]
    chosen = [listed] if listed else []
    chosen += [[f"--user={os.getuid()}", f"--name={name}"]] if name else []
    for options in chosen:
        done = _asked(["scancel", "--quiet", *options], pause)
        if _is_busy(done):
            raise AwayError(f"scancel cannot cancel now: {one_line(done.stderr)}. Wait until the batch system is back.")


def requeue(job: int) -> bool:
    """End a running job and put it back into the queue under its own id; return whether SLURM does so."""
    return not run(["scontrol", "requeue", str(job)]).returncode


def seconds(time_limit: str) -> int:
    """Return the seconds of a time as SLURM writes it.

    Examples
    --------
    >>> seconds("1-00:00:00"), seconds("10:00"), seconds("2-12")
    (86400, 600, 216000)
    """
    days, dash, rest = time_limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    units = (3600, 60, 1) if dash else (60, 1) if len(parts) == 2 else (3600, 60, 1) if len(parts) == 3 else (60,)
    return int(days or 0) * 86400 + sum(unit * part for unit, part in zip(units, parts, strict=False))


def environment() -> dict[str, str]:
    """Return this process's variables without those that change what SLURM's commands do or show.

    Those of a job in which this process may itself run would pass into its jobs.
    """
    kept = {"SLURM_CONF"}
    ours = re.compile(r"(SLURM|SLURMD|SBATCH|SRUN|SQUEUE|SACCT|SINFO|SCANCEL|SCONTROL|PMI|PMIX)_")
    return {name: value for name, value in os.environ.items() if name in kept or not ours.match(name)}


def run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM's with ``text`` as its input; its exit code is the caller's to judge.

    Raises
    ------
    ClusterError
        This machine has no such command, or it does not answer.
    """
    try:
        return subprocess.run(
            command, input=text, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"This machine has no {command[0]}: give the command on a login node of the cluster, "
            "or take another profile."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise AwayError(f"{command[0]} has not answered for {SECONDS:.0f} s: wait until it does.") from error


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def one_line(text: str) -> str:
    """Return what a command printed as one clause of a sentence."""
    lines = [line.removeprefix("sbatch: error: ").strip() for line in text.strip().splitlines()]
    return "; ".join(line.rstrip(".") for line in lines if line) or "no message"
