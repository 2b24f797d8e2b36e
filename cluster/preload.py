"""What a worker does first: leave Ctrl-C to the driver, and take a folder for its compiled kernels."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import math
import os
import signal
import stat
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from . import leaving

_held: list[int] = []
"""Open lock files of this process, never closed: a lock lives as long as its descriptor."""


def dask_setup(worker: Any) -> None:
    """Prepare a worker process; called by Dask when it starts, and with None by what computes without Dask.

    A terminal sends Ctrl-C to all processes of a command; only the driver answers it, and ends the workers.
    numba's cache mixes up kernels when two processes write one index at once. So each worker takes the first folder
    on this node that nobody holds and locks it until it dies, and finds there what earlier workers compiled.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = take(cache_root())
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    if worker is not None and leaving.leave_at() < math.inf:
        worker.loop.add_callback(leaving.leave, worker)


def cache_root() -> Path:
    """Return the folder on this node's own disk that holds the caches of this user."""
    return Path(tempfile.gettempdir()) / f"neq-numba-{os.getuid()}"


def take(root: Path) -> Path:
    """Return the first free folder under ``root``, ours until this process ends.

    Where somebody else made ``root`` or may write there, a new folder takes its place.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as root:
    ...     take(Path(root)).name, take(Path(root)).name
    ('0', '1')
    """
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700, parents=True)
    if not is_ours(root):
        root = Path(tempfile.mkdtemp(prefix=f"{root.name}-"))
    for number in itertools.count():
        lock = os.open(root / f"{number}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _held.append(lock)
        folder = root / str(number)
        folder.mkdir(exist_ok=True)
        return folder
    raise AssertionError("unreachable")


def is_ours(folder: Path) -> bool:
    """Whether nobody else can put kernels there: the folder for temporary files is everybody's."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
