"""The hash that the DANDI archive has of every file: the ETag of an object store to which it was sent in parts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from workflows.content import Algorithm

NAME = "dandi-etag"
PART = 64 * 2**20
"""Bytes of a part."""
LARGEST = 9_999 * PART
"""Bytes of the largest file that is sent in such parts; a larger one has larger parts."""


class DandiETag:
    """MD5 of the MD5s of the parts, and how many there are; used as those of hashlib.

    Examples
    --------
    >>> hasher = DandiETag()
    >>> hasher.update(b"spikes")
    >>> hasher.hexdigest()
    'cba3899ad9856e3817d73d3f580bda1f-1'
    """

    def __init__(self) -> None:
        self._ended: list[bytes] = []
        self._part, self._room = _md5(), PART

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes at the end."""
        left = memoryview(data).cast("B")
        while len(left):
            taken = left[: self._room]
            self._part.update(taken)
            self._room -= len(taken)
            left = left[len(taken) :]
            if not self._room:
                self._ended.append(self._part.digest())
                self._part, self._room = _md5(), PART

    def hexdigest(self) -> str:
        """Return the hash of what was added so far."""
        parts = [*self._ended, *([self._part.digest()] if self._room < PART else [])]
        return f"{_md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def hasher(algorithm: str) -> Algorithm:
    """Return what ``hashlib.file_digest`` takes for an algorithm: its name, but for this one."""
    return DandiETag if algorithm == NAME else algorithm


def check(path: Path, known: str) -> None:
    """Raise where a file does not have a known hash of this kind; hashes of other kinds are not looked at.

    Raises
    ------
    ValueError
        It does not, said as pooch says it of the hashes that it knows.
    """
    algorithm, _, expected = known.partition(":")
    if algorithm != NAME:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, DandiETag).hexdigest()
    if found != expected:
        raise ValueError(f"{NAME} of what came does not match the known one: expected {expected} but got {found}")


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)
