"""The lease on a run folder: one driver at a time, known by a number that only ever rises."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from neq.errors import LeaseHeldError, LeaseLostError
from workflows.store import problems

SILENCE_SECONDS = 60.0
"""A driver on another host that has not been heard of for so long is taken to be dead."""
HEARTBEAT_SECONDS = 5.0
FOLDER, RELEASED = "leases", ".released"


class Lease:
    """The right to write to a run folder; made by :func:`acquire`, given back on leaving the ``with`` block."""

    def __init__(self, path: Path, epoch: int, also: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self.epoch = epoch
        self._also = also
        self._offers = itertools.count(1)
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._keep, name="neq-lease", daemon=True)
        self._beat.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def check(self) -> None:
        """Raise :class:`neq.errors.LeaseLostError` where another driver has taken the run folder over."""
        self._also()
        newest = max(_epochs(self.path.parent), default=0)
        if newest != self.epoch or not self.path.exists():
            raise lost(self.path.parent.parent, newest, self.epoch)

    def token(self) -> str:
        """Return a name for one offer of a block, never used before in this run folder."""
        return f"{self.epoch}-{next(self._offers)}"

    def progress(self, state: Mapping[str, Any]) -> None:
        """Leave ``state`` where :func:`current` finds it; failing to is no reason to stop a sweep."""
        with contextlib.suppress(OSError):
            _replace(_progress_path(self.path.parent, self.epoch), dict(state))

    def release(self) -> None:
        """Give the lease back. A rename, because a full disk must not keep it."""
        self._stop.set()
        self._beat.join()
        with contextlib.suppress(OSError):
            self.path.rename(self.path.with_suffix(RELEASED))

    def _keep(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def lost(place: object, newest: int, ours: int) -> LeaseLostError:
    """Return the error for a driver that another one has followed."""
    return LeaseLostError(
        f"Another driver has taken {place} over (lease {newest}, ours was {ours}): "
        "this one stops; watch the other with `neq status`."
    )


def acquire(run_folder: str | Path, also: Callable[[], None] = lambda: None) -> Lease:
    """Take the lease of a run folder.

    A driver that is dead on this host is followed at once, a silent one on another host after 60 s.

    Parameters
    ----------
    run_folder
        Made where there is none.
    also
        Called by :meth:`Lease.check` too; raises where something else forbids to go on.

    Raises
    ------
    neq.errors.LeaseHeldError
        Another driver holds it; the message names host, process and since when.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, acquire(folder) as lease:
    ...     lease.epoch
    1
    """
    folder = Path(run_folder) / FOLDER
    with problems(Path(run_folder)):
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            epoch = _free_epoch(folder)
            if epoch is not None and _link(folder, epoch):
                break
        for old in _epochs(folder) - {epoch}:
            for path in (_lease_path(folder, old), _released_path(folder, old), _progress_path(folder, old)):
                path.unlink(missing_ok=True)
    return Lease(_lease_path(folder, epoch), epoch, also)


def current(run_folder: str | Path) -> dict[str, Any] | None:
    """Return who holds the lease (host, pid, job, since, epoch, progress), or None where no live driver does."""
    folder = Path(run_folder) / FOLDER
    newest = max(_epochs(folder), default=0)
    path = _lease_path(folder, newest)
    owner = _read(path)
    if owner is None or not _alive(path, owner):
        return None
    return {**owner, "epoch": newest, "progress": _read(_progress_path(folder, newest)) or {}}


def _free_epoch(folder: Path) -> int | None:
    """Return the number of the next lease; None where the newest vanished while we looked."""
    newest = max(_epochs(folder), default=0)
    path = _lease_path(folder, newest)
    if newest == 0 or _released_path(folder, newest).exists():
        return newest + 1
    owner = _read(path)
    if owner is None and not path.exists():
        return None
    if owner is not None and _alive(path, owner):
        raise held_by(folder.parent, owner)
    return newest + 1


def held_by(place: object, owner: Mapping[str, Any]) -> LeaseHeldError:
    """Return the error for a run that another driver works on."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
    return LeaseHeldError(
        f"{place} is in use: process {owner['pid']} on {owner['host']}{_job(owner)} works on it since "
        f"{since}. Wait for it or stop it; follow it with `neq status`."
    )


def _job(owner: Mapping[str, Any]) -> str:
    return f" (job {owner['job']})" if owner.get("job") else ""


def _link(folder: Path, epoch: int) -> bool:
    """Try to become the owner with this number: linking a finished file, so that exactly one wins."""
    staging = folder / f".{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    path = _lease_path(folder, epoch)
    try:
        job = os.environ.get("SLURM_JOB_ID", "")
        staging.write_text(json.dumps({**myself(), "since": time.time(), "job": job}))
        with contextlib.suppress(FileExistsError):
            os.link(staging, path)
        # a file server may carry the link out and report that it failed
        won = staging.stat().st_nlink == 2
    finally:
        staging.unlink(missing_ok=True)
    # the numbers below ours may have been cleaned away while we looked: then ours is not the newest
    if won and max(_epochs(folder)) != epoch:
        path.unlink()
        return False
    return won


def _alive(path: Path, owner: Mapping[str, Any]) -> bool:
    """Whether the owner of a lease lives: asked of this host where it ran here, else judged by its silence."""
    return not is_gone(owner) and _silence(path) < SILENCE_SECONDS


def is_gone(owner: Mapping[str, Any]) -> bool:
    """Whether an owner ran on this host and runs no more."""
    mine = myself()
    here = (owner["host"], owner["boot"]) == (mine["host"], mine["boot"])
    return here and not _runs(owner["pid"], owner["started"])


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _silence(path: Path) -> float:
    """Return the seconds since the last heartbeat by the file server's clock; infinite if the lease is gone."""
    probe = path.parent / f".probe.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    try:
        probe.touch()
        os.utime(probe)
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
    except OSError:
        # a reader who may not write here has only its own clock
        return time.time() - path.stat().st_mtime
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def myself() -> dict[str, Any]:
    """Return what tells this process from any other; two containers of one name differ in ``boot``."""
    boot = []
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        with contextlib.suppress(OSError):
            boot.append(read())
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "started": psutil.Process(pid).create_time(),
        "boot": " ".join(boot),
    }


def _epochs(folder: Path) -> set[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return set()
    ends = (".json", RELEASED)
    return {int(stem) for stem, end in map(os.path.splitext, names) if end in ends and stem.isdecimal()}


def _lease_path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch}.json"


def _released_path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch}{RELEASED}"


def _progress_path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch}.progress"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content


def _replace(path: Path, content: dict[str, Any]) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    staging.write_text(json.dumps(content))
    staging.replace(path)
