"""Files of an archive brought into a folder: resumed, checked against their hashes, and only then given their names."""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pooch

from neq.errors import FetchError
from workflows.archives import dandi_etag, disk, transfer
from workflows.archives.asking import Client, Halted
from workflows.archives.transfer import length
from workflows.archives.wanted import Wanted, begun, box, boxes, remember

JOBS = 2
"""Files fetched at once."""


def fetch(
    files: Sequence[Wanted],
    folder: Path,
    client: Client,
    meter: Callable[[int, int, int], None],
    jobs: int = JOBS,
) -> list[str]:
    """Bring files here and return, for each, why it is not: "" where it is.

    A file is written beside its place, and has its name only when its hash is right; an older one of that name stays
    until then. One that fails does not keep the others from coming, but a full disk does. Killed at any time, the same
    call goes on.

    Parameters
    ----------
    files
        What to fetch.
    folder
        Where hashes are remembered.
    client
        How to ask.
    meter
        Called with bytes there, bytes in all, and files that failed.
    jobs
        Files at once.
    """
    errors, reached = [""] * len(files), [begun(one) for one in files]
    total = sum(one.size or 0 for one in files)
    with contextlib.closing(_in_threads(client, files, reached, jobs)) as endings:
        for index, error in endings:
            if index is not None:
                errors[index] = error
                if not error:
                    remember(files[index], folder)
            meter(sum(reached), total, sum(map(bool, errors)))
    return errors


def read(url: str, client: Client) -> bytes:
    """Return the bytes of a small file; see :func:`~workflows.archives.transfer.receive`."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        transfer.receive(client, url, part, None, "", lambda count: None)
        return part.read_bytes()


def _in_threads(
    client: Client, files: Sequence[Wanted], reached: list[int], jobs: int
) -> Iterator[tuple[int | None, str]]:
    """Yield the index and error of each file as it ends, and (None, "") now and then.

    The threads are daemons: an interrupted command does not wait for a server, and loses no more than if killed.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    for index in range(len(files)):
        waiting.put(index)
    threads = [
        threading.Thread(target=_work, args=(client, files, reached, waiting, ended), name="neq-fetch", daemon=True)
        for _ in range(min(jobs, len(files)))
    ]
    left = len(files)
    try:
        for thread in threads:
            thread.start()
        while left:
            with contextlib.suppress(queue.Empty):
                yield ended.get(timeout=0.2)
                left -= 1
                continue
            yield None, ""
    finally:
        if left:
            client.stop.set()
        for thread in threads:
            thread.join(2.0)


def _work(
    client: Client, files: Sequence[Wanted], reached: list[int], waiting: queue.SimpleQueue, ended: queue.SimpleQueue
) -> None:
    """Fetch files until none waits."""
    with contextlib.suppress(queue.Empty):
        while True:
            index = waiting.get_nowait()
            ended.put((index, _try(client, files[index], partial(reached.__setitem__, index))))


def _try(client: Client, wanted: Wanted, tell: Callable[[int], None]) -> str:
    """Fetch one file and return why it is not here, "" where it is; a disk that takes no file stops all."""
    try:
        if client.stop.is_set():
            raise Halted
        _bring(client, wanted, tell)
    except Halted:
        return "not fetched, because another one could not be written"
    except FetchError as error:
        return str(error)
    except OSError as error:
        if disk.stops_all(error):
            client.stop.set()
        return disk.why(error, wanted.path)
    except Exception as error:  # a thread has nobody to tell
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def _bring(client: Client, wanted: Wanted, tell: Callable[[int], None]) -> None:
    """Fetch one file by way of a hidden folder beside it, which holds what has come so far."""
    disk.require_place(wanted.path)
    place, name = box(wanted), wanted.path.name
    place.mkdir(parents=True, exist_ok=True)
    part = _beginning(wanted, place)
    pooch.get_logger().setLevel(logging.WARNING)
    keeper = pooch.create(
        place,
        "",
        registry={name: None if wanted.hash.startswith(dandi_etag.NAME) else wanted.hash or None},
        urls={name: wanted.url},
        retry_if_failed=1 if wanted.hash else 0,
    )

    def download(url: str, temporary: str, keeper: Any) -> None:
        transfer.receive(client, url, part, wanted.size, wanted.etag, tell)
        part.replace(temporary)
        dandi_etag.check(Path(temporary), wanted.hash)

    try:
        kept = Path(keeper.fetch(name, downloader=download))
    except ValueError as error:
        # pooch's sentence names both hashes; it has deleted what came
        raise FetchError(f"{wanted.url}: wrong content, twice: {str(error).split('. ')[0]}") from error
    kept.replace(wanted.path)
    for old in boxes(wanted):
        shutil.rmtree(old, ignore_errors=True)


def _beginning(wanted: Wanted, place: Path) -> Path:
    """Return the file to go on with, made of what a killed process left or of a file that is not whole.

    Where neither hash nor ETag says that it is the same file, nothing is gone on with.
    """
    part = place / "bytes"
    left = sorted((path for path in place.iterdir() if path != part), key=length)
    if not (wanted.hash or wanted.etag):
        left.append(part)
    elif left and length(left[-1]) > length(part):
        left.pop().replace(part)
    for path in left:
        path.unlink(missing_ok=True)
    if not part.exists() and _may_begin(wanted):
        # a copy: if the hash tells that it was another version, that one is still there
        shutil.copyfile(wanted.path, part)
    return part


def _may_begin(wanted: Wanted) -> bool:
    """Whether the file at the place of a new one may be its beginning, of which only a hash can judge.

    A link leads to the file of another release.
    """
    there = wanted.path
    if not wanted.hash or there.is_symlink() or not there.exists():
        return False
    return there.stat().st_nlink == 1 and length(there) < (wanted.size or 0)
