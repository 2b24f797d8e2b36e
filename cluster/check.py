"""Does a profile work here? One trial job, and what its worker sees of the node."""

from __future__ import annotations

import contextlib
import platform
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import distributed

from . import ends, limits, network, probe, script, slurm, trial
from .decide import HOPELESS
from .errors import ClusterError
from .local import silence
from .profile import Profile

OK, NOTE, PROBLEM = "ok", "note", "problem"
PROBE_SECONDS = 60.0
UNREACHED_SECONDS = 30.0
"""A job that lived so long began its worker, which gave up when nobody answered."""
TAIL = 6
"""Lines of a job's log that are shown."""


class Finding(NamedTuple):
    """One line of the report: ``ok``, ``note`` or ``problem``, what was found, and what mends it."""

    kind: str
    text: str
    remedy: str = ""


def check(
    profile: Profile, folder: Path, patience: float = 300.0, tell: Callable[[str], Any] = lambda text: None
) -> Iterator[Finding]:
    """Yield what is right and wrong with a profile on this machine; its one job is cancelled in the end.

    Parameters
    ----------
    profile
        Of SLURM.
    folder
        Where results are written, which the nodes must see; a folder of the trial's own is made there and removed.
    patience
        Longest time in the queue (s).
    tell
        Called with how the job stands.

    Raises
    ------
    ClusterError
        This machine has no sbatch, the profile is of another batch system, or the folder cannot be written.
    """
    if profile.scheduler != "slurm":
        raise ClusterError(
            f"Only profiles of SLURM can be tried, this one is of {profile.scheduler}: compare `neq cluster show` with "
            "a job script that works at your site."
        )
    if not slurm.available():
        limits.require(profile)
    given, found = limits.fitting(profile)
    yield from (Finding(PROBLEM, *text.split(": ", 1)) for text in found)
    if found:
        return
    for one in given:
        most = "without limit" if one.most_seconds is None else f"at most {limits.clock(one.most_seconds)}"
        yield Finding(OK, f"partition {one.name} is up, {one.n_node} nodes, walltime {most}")
    try:
        with own_folder(folder) as own, _scheduler(profile, own) as client:
            yield from _try(profile, client, own, patience, tell)
    except ClusterError as error:
        yield Finding(PROBLEM, str(error))


def _try(
    profile: Profile, client: distributed.Client, own: Path, patience: float, tell: Callable[[str], Any]
) -> Iterator[Finding]:
    """Yield what one job shows."""
    address = str(client.scheduler_info(n_workers=0)["address"])
    yield Finding(OK, f"the scheduler listens at {address} on {platform.node()}{_through(address)}")
    nonce = uuid.uuid4().hex
    (own / "note").write_text(nonce)
    logs = script.make_log_folder(profile, own)
    number = slurm.submit(script.job_script(profile, address, own))
    try:
        tried = trial.follow(number, _job, lambda one: _worker(client, one), patience, tell, profile.start_patience)
        yield from judge_job(tried, profile, address, log_tail(logs, number))
        if tried.worker:
            yield from judge_node(_look(client, tried.worker, own / "note"), tried.worker, nonce, own.parent)
    finally:
        slurm.cancel([number])
        for log in logs.glob(f"{script.JOB_NAME}-{number}.*"):
            log.unlink(missing_ok=True)


def judge_job(tried: trial.Trial, profile: Profile, address: str, log: str) -> Iterator[Finding]:
    """Yield what the way of a trial job to its worker says."""
    job, waited = tried.job, f"{tried.waited:.0f} s in the queue"
    shown = f"; its log ends: {log}" if log else ""
    if tried.worker:
        yield Finding(OK, f"job {job.id} began on {job.node or 'a node'} after {waited}")
        yield Finding(OK, f"its worker was connected {tried.connected:.0f} s later")
    elif job.waits:
        hopeless = HOPELESS.get(job.reason)
        why = f"{job.reason or 'no reason given'}{f', {hopeless}' if hopeless else ''}"
        remedy = "mend the profile" if hopeless else "ask for less, try another partition, or wait longer (--wait)"
        yield Finding(PROBLEM if hopeless else NOTE, f"job {job.id} has not begun, {waited} ({why})", remedy)
    elif job.ended and ends.NO_LOG in (job.signal, job.exit_code):
        where = profile.log_directory or "the results folder"
        text = f"the node {job.node} could not open the job's log: it does not see {where}"
        option = "as log_directory of the profile" if profile.log_directory else "(--results)"
        yield Finding(PROBLEM, text, f"name a folder on a shared disk {option}")
    elif job.ended and tried.connected < UNREACHED_SECONDS:
        text = f"job {job.id} ended on {job.node or 'a node'} without a worker: {_end(job)}{shown}"
        yield Finding(PROBLEM, text, "mend the prologue or python of the profile")
    else:
        text = f"on {job.node} no worker has reached {address} in {tried.connected:.0f} s (job {job.id}){shown}"
        listed = ", ".join(f"{name} ({one})" for name, one in network.interfaces().items())
        yield Finding(PROBLEM, text, f"set interface or scheduler_host in the profile; this machine has {listed}")


def judge_node(seen: dict[str, Any], worker: str, nonce: str, folder: Path) -> Iterator[Finding]:
    """Yield what a worker saw of its node, against what is true here."""
    host = address_host(worker)
    name = next((key for key, one in seen["interfaces"].items() if one == host), "an interface without a name")
    yield Finding(OK, f"the worker on {seen['host']} reaches the scheduler from {host} ({name})")
    if seen["note"] == nonce:
        yield Finding(OK, f"the node reads what is written in {folder}")
    else:
        text = f"the node does not see what is written in {folder}"
        yield Finding(PROBLEM, text, "name a folder on a disk that all nodes share (--results)")
    yield disk("scratch", seen["scratch"], "set local_directory in the profile to a folder on the node's own disk")
    yield disk("numba's cache", seen["cache"], "export TMPDIR=FOLDER, on the node's own disk, in the prologue")
    yield compare(probe.versions(), seen["versions"])


def disk(what: str, seen: dict[str, Any], remedy: str) -> Finding:
    """Return what is to be said of a folder on the node."""
    if not seen["path"]:
        return Finding(PROBLEM, f"the worker has no folder for {what}", remedy)
    free = "" if seen["free"] is None else f", {seen['free'] / 2**30:.1f} GiB free"
    text = f"{what} in {seen['path']} ({seen['kind'] or 'unknown file system'}{free})"
    if seen["shared"]:
        return Finding(PROBLEM, f"{text} is on a disk that nodes share, where workers meet each other", remedy)
    return Finding(OK if seen["kind"] else NOTE, f"{text} is on the node's own disk" if seen["kind"] else text)


def compare(here: dict[str, str], there: dict[str, str]) -> Finding:
    """Return whether both sides have the same versions.

    Examples
    --------
    >>> compare({"dask": "2.0", "numpy": "2.4"}, {"dask": "1.0", "numpy": "2.4"}).text
    'versions differ: dask 2.0 here, 1.0 on the node'
    """
    differ = [
        f"{name} {version or 'missing'} here, {there.get(name) or 'missing'} on the node"
        for name, version in here.items()
        if version != there.get(name)
    ]
    if differ:
        return Finding(PROBLEM, f"versions differ: {'; '.join(differ)}", "name the same python in the profile")
    return Finding(OK, f"versions are equal on both sides (python {here['python']})" if "python" in here else "equal")


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Make a folder for the trial within ``folder``, removed at the end with what was made for it."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=".trial-", dir=folder)).absolute()
    except OSError as error:
        raise ClusterError(
            f"The results folder {folder} cannot be written ({error.strerror}): name another one (--results)."
        ) from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()


def log_tail(folder: Path, number: int) -> str:
    """Return the last lines that a job wrote, in one line; an ended job's log may be a moment late."""
    lines = [
        line.strip()
        for path in sorted(folder.glob(f"{script.JOB_NAME}-{number}.*"))
        for line in path.read_text(errors="replace").splitlines()
        if line.strip()
    ]
    return " | ".join(lines[-TAIL:])


def address_host(address: str) -> str:
    """Return the host of an address such as ``tcp://10.0.0.1:8786``."""
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]")


@contextlib.contextmanager
def _scheduler(profile: Profile, own: Path) -> Iterator[distributed.Client]:
    with silence():
        cluster = script.make_cluster(profile, own)
        try:
            with distributed.Client(cluster) as client:
                yield client
        finally:
            cluster.close()


def _job(number: int) -> slurm.Job | None:
    return slurm.jobs([number]).get(number)


def _worker(client: distributed.Client, number: int) -> str:
    """Return the address of a job's worker."""
    workers = {str(one["name"]): address for address, one in client.scheduler_info(n_workers=-1)["workers"].items()}
    return workers.get(trial.name_of(number, workers), "")


def _look(client: distributed.Client, worker: str, note: Path) -> dict[str, Any]:
    try:
        return client.submit(probe.look, str(note), workers=[worker], pure=False).result(timeout=PROBE_SECONDS)
    except Exception as error:
        raise ClusterError(
            f"The worker is connected but cannot run a task ({type(error).__name__}: {' '.join(str(error).split())}): "
            "install the same neq for the python of the profile."
        ) from error


def _through(address: str) -> str:
    name = network.interface_of(address_host(address))
    return f" ({name})" if name else ""


def _end(job: slurm.Job) -> str:
    code = f", exit code {job.exit_code}" if job.exit_code else f", signal {job.signal}" if job.signal else ""
    return f"{job.state}{code}"
