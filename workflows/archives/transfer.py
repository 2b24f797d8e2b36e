"""One file over HTTP, from where the last transfer stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import requests

from neq.errors import FetchError
from workflows.archives.asking import Client, Halted, Later, ask, patiently, problem

CHUNK = 1 << 16
"""Bytes that are written at once, and lost where a connection is cut."""


def receive(client: Client, url: str, part: Path, size: int | None, etag: str, tell: Callable[[int], None]) -> None:
    """Bring the bytes of a URL into ``part``, from where it ends.

    Parameters
    ----------
    client
        How to ask.
    url, size, etag
        The file; size and ETag where they are known. A server whose file has another ETag by now sends it whole.
    part
        Where to; what is there is the beginning.
    tell
        Called with the bytes there are.

    Raises
    ------
    FetchError, OSError
        The server, or the disk, gives up.
    """
    patiently(client, url, lambda: _once(client, url, part, size, etag, tell), lambda: length(part))


def length(path: Path) -> int:
    """Return how long a file is, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:  # also a path that cannot be one
        return 0


def _once(client: Client, url: str, part: Path, size: int | None, etag: str, tell: Callable[[int], None]) -> None:
    start = length(part)
    if start and start == size:
        return
    if size is not None and start > size:
        part.unlink()
        start = 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and etag and not etag.startswith("W/"):
        headers["If-Range"] = etag
    with ask(client, "GET", url, **headers) as answer:
        goes_on = _goes_on(answer, part, start)
        if size is not None and (total := _total(answer)) not in (None, size):
            raise FetchError(f"{url}: the server has {total} bytes, {_announced(size)}")
        _write(client, answer, part, "ab" if goes_on else "wb", tell)
    if size is not None and (came := length(part)) != size:
        if came < size:
            raise Later(f"the answer ended after {came} of {size} bytes")
        part.unlink()
        raise FetchError(f"{url}: {came} bytes came, {_announced(size)}")


def _total(answer: requests.Response) -> int | None:
    """Return how long the whole file is, where the server tells it."""
    if answer.status_code == 206:
        told = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdigit() else None


def _announced(size: int) -> str:
    return f"{size} were announced; give the command again, which asks anew"


def _goes_on(answer: requests.Response, part: Path, start: int) -> bool:
    """Whether the answer begins where the part ends, and not at the beginning of the file."""
    if start and (answer.status_code == 416 or answer.status_code == 206):
        if answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return True
        part.unlink()
        raise Later("the server cannot go on where the last transfer stopped")
    return False


def _write(client: Client, answer: requests.Response, part: Path, mode: str, tell: Callable[[int], None]) -> None:
    with part.open(mode) as file:
        try:
            for piece in answer.iter_content(CHUNK):
                if client.stop.is_set():
                    raise Halted
                file.write(piece)
                tell(file.tell())
            file.flush()
            os.fsync(file.fileno())
        except requests.RequestException as error:
            raise problem(answer.url, error) from error
