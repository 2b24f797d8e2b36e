"""What is known of the objects at a URL, and files put there only where they differ."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.blocks.owners import FOLDER as OWNERS
from workflows.lease import FOLDER as LEASES
from workflows.remote import lease
from workflows.remote.place import ABSENT, AwayError, ChangedError, Entry, Place

MARK = "remote.json"
"""In a run folder: the URL at which its copy is kept."""
_TRIES = 5
_NOT_COPIED = (LEASES, OWNERS, MARK, lease.FOLDER)

Identity = tuple[int, int, int]
"""Inode, size and time of change of a file: another one for each that takes its name."""


@dataclass(frozen=True)
class Content:
    """What was read of a file in one go.

    Parameters
    ----------
    key
        Name of its object.
    data
        Its bytes.
    identity
        Which file it was; None for bytes that no file has.
    """

    key: str
    data: bytes
    identity: Identity | None


@dataclass(frozen=True)
class _Known:
    entry: Entry
    identity: Identity | None = None


class Copies:
    """The objects at a URL as far as they are known.

    Parameters
    ----------
    place
        The URL, which is listed.
    folder
        The run folder whose files they are copies of.
    held
        The right to write there.
    """

    def __init__(self, place: Place, folder: Path, held: lease.Lease) -> None:
        self.place, self.folder, self.held = place, folder, held
        self._known = {key: _Known(entry) for key, entry in place.list().items()}
        self.n_put = 0

    def key(self, path: Path) -> str:
        """Return the name of the object of a file."""
        return path.relative_to(self.folder).as_posix()

    def is_current(self, path: Path) -> bool:
        """Whether the object of a file, if that is there, is known to be its copy."""
        known = self._known.get(self.key(path))
        try:
            return known is not None and known.identity == identity(path.stat())
        except FileNotFoundError:
            return True

    def read(self, path: Path) -> Content | None:
        """Read a file in one go, as it was under one identity; None where it is gone."""
        try:
            with path.open("rb") as file:
                return Content(self.key(path), file.read(), identity(os.fstat(file.fileno())))
        except FileNotFoundError:
            return None

    def there(self, key: str) -> Entry | None:
        """Return what is known of an object."""
        return self._known[key].entry if key in self._known else None

    def put_file(self, path: Path) -> None:
        """Put a file at the URL unless it is there as it is."""
        if not self.is_current(path) and (content := self.read(path)) is not None:
            self.put(content)

    def put(self, content: Content) -> None:
        """Put bytes at the URL unless they are there already.

        What is replaced must be what is known to be there, so that a driver that was followed by another one, and
        wakes, replaces nothing of the other's.

        Raises
        ------
        neq.errors.LeaseLostError
            Another driver has taken the URL over.
        neq.errors.StoreError
            The server is away, or does not allow it.
        """
        entry = self.there(content.key)
        if entry is None or entry.md5 != hashlib.md5(content.data, usedforsecurity=False).hexdigest():
            self.held.require()
            entry = self._replace(content, ABSENT if entry is None else entry.tag)
            self.n_put += 1
        self._known[content.key] = _Known(entry, content.identity)

    def unlike(self, paths: Iterator[Path]) -> list[Path]:
        """Return the files whose copies the server lists as missing, or as others; these are forgotten."""
        listed = self.place.list()
        found = []
        for path in paths:
            key = self.key(path)
            known = self._known.get(key)
            if known is not None and self.is_current(path) and _agree(known.entry, listed.get(key)):
                continue
            found.append(path)
            if key in listed:
                self._known[key] = _Known(listed[key])
            else:
                self._known.pop(key, None)
        return found

    def _replace(self, content: Content, tag: str) -> Entry:
        for _ in range(_TRIES):
            try:
                return self.place.put(content.key, content.data, match=tag)
            except ChangedError:
                # ours was overwritten or is gone: by a newer driver, unless the server still confirms us
                self.held.beat()
                there = self.place.entry(content.key)
                tag = ABSENT if there is None else there.tag
        raise AwayError(f"{self.place / content.key} changes all the time: something else writes there, end it.")


def _agree(one: Entry, two: Entry | None) -> bool:
    """Whether two entries may be of the same object; what a server does not tell is not compared."""
    if two is None or one.size != two.size:
        return False
    pairs = ((one.tag, two.tag), (one.md5, two.md5))
    # a server that encrypts lists tags that are no MD5, and gives the same tag on a put
    told = [mine == theirs for mine, theirs in pairs if mine and theirs]
    return not told or told[0]


def identity(found: os.stat_result) -> Identity:
    """Return what tells a file from any other that has had its name."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run folder, or of a part of it, that belong to its copy; no leases, nothing half made."""
    for parent, names, found in os.walk(folder):
        if Path(parent) == folder:
            names[:] = [name for name in names if name not in _NOT_COPIED]
            found = [name for name in found if name not in _NOT_COPIED]
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(found) if not name.startswith("."))
