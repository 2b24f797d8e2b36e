"""Make a folder or a file whole before it has its name: written beside, renamed last."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

ENDING = ".part"


@contextlib.contextmanager
def staged(final: Path) -> Iterator[Path]:
    """Give a path beside ``final`` to write a folder at; rename it to ``final`` when the block ends without an error.

    Every file is on the disk before the rename. Where another process was faster, its folder stays and ours is deleted;
    where ``final`` was there before (damaged, or the caller would not write it again), it is replaced.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with staged(Path(folder) / "a") as part:
    ...         part.mkdir()
    ...     [path.name for path in Path(folder).iterdir()]
    ['a']
    """
    part, there = beside(final), _identity(final)
    try:
        yield part
        _sync(part)
        if there is not None and _identity(final) == there:
            old = beside(final)
            final.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        try:
            part.rename(final)
        except OSError:
            # A folder is never renamed onto a full one: another process has put its own there meanwhile.
            if not final.exists():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def beside(final: Path) -> Path:
    """Return a hidden name beside ``final`` that no other process has and that says whose it is.

    Examples
    --------
    >>> beside(Path("a/b")).parent.name, beside(Path("a/b")) == beside(Path("a/b"))
    ('a', False)
    """
    mark = f"{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(4)}"
    return final.with_name(f".{final.name}~{mark}{ENDING}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside ``path`` and rename it, so that nobody finds half of it."""
    part = beside(path)
    part.write_bytes(content)
    part.replace(path)


def sweep(folder: Path) -> None:
    """Delete what dead processes of this host left unfinished in ``folder``.

    Those of other hosts stay: nobody can tell here whether they live. They are in nobody's way.
    """
    for part in folder.glob(f".*~*~*~*{ENDING}"):
        _, host, pid, _ = part.name.rsplit("~", 3)
        if host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _sync(folder: Path) -> None:
    """Bring every file and folder below ``folder`` to the disk."""
    for parent, _, names in os.walk(folder):
        for path in [*(Path(parent) / name for name in names), Path(parent)]:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
