"""One fetch into a folder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from neq.errors import StoreError

NAME = ".neq-fetch.lock"


@contextlib.contextmanager
def claimed(folder: Path, dry_run: bool = False) -> Iterator[None]:
    """Make a folder, and keep other processes, also of other users, from fetching into it meanwhile.

    Parameters
    ----------
    folder
        Where to fetch into. One that is read only may hold all that is wanted, and needs no lock.
    dry_run
        Do neither.

    Raises
    ------
    StoreError
        It cannot be made, or another process fetches into it.
    """
    if dry_run:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}); choose another folder with --to.") from error
    with contextlib.ExitStack() as held:
        lock = _opened(folder / NAME)
        if lock is not None and not _locked(held.enter_context(lock)):
            raise StoreError(f"Another neq fetch is at work in {folder}; wait until it has ended.")
        yield


def _opened(path: Path) -> IO[str] | None:
    """Open the file that is locked, for reading where another user has made it; None in a folder that is read only."""
    with contextlib.suppress(OSError):
        return path.open("a")
    try:
        return path.open("r")
    except OSError as error:
        if not os.access(path.parent, os.W_OK, effective_ids=True):
            return None
        raise StoreError(
            f"{path} cannot be opened ({error.strerror}); ask its owner for the right to read it, or choose another "
            "folder with --to."
        ) from error


def _locked(lock: IO[str]) -> bool:
    """Lock a file until it is closed; False where another process has it. Some file systems know no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
