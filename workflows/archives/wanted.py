"""Files of an archive that are to be had: how large they are, which are there, whether the others fit on the disk."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from neq.errors import StoreError
from workflows import content
from workflows.archives import asking, dandi_etag
from workflows.archives.asking import Client, Refused
from workflows.archives.transfer import length
from workflows.progress import size as shown

LONGEST = 200
"""Bytes of a name that leaves room for what is put around it; disks take 255."""
MARK = 12
"""Characters that tell one content from another."""


@dataclass(frozen=True)
class Wanted:
    """One file to have.

    Parameters
    ----------
    url, path
        Where from, where to.
    size
        Its bytes, where they are known.
    hash
        "blake2b:HEX", "sha256:HEX", "dandi-etag:HEX-PARTS" ...; "" where the archive gives none.
    etag
        What the server calls this version of the file; see :func:`survey`.
    """

    url: str
    path: Path
    size: int | None = None
    hash: str = ""
    etag: str = ""


def survey(files: Sequence[Wanted], client: Client) -> list[Wanted]:
    """Return the files with their size and ETag, asked of the server, where it tells them.

    Not asked for a file of which the archive's list has said size and hash.

    Raises
    ------
    FetchError
        The server is not to be reached.
    """
    return asking.at_once(client, partial(_asked, client), files)


def is_file(path: Path) -> bool:
    """Whether there is a file that may be read; none has a name that the disk does not take."""
    return os.path.isfile(path) and os.access(path, os.R_OK, effective_ids=True)


def is_here(wanted: Wanted, folder: Path) -> bool:
    """Whether a file is there with the right content; hashed once, and remembered in ``folder``.

    Without hash, one of the right size is.
    """
    if not is_file(wanted.path):
        return False
    if not wanted.hash:
        return wanted.size in (None, length(wanted.path))
    algorithm, _, expected = wanted.hash.partition(":")
    return content.of_file(wanted.path, _memory(folder, algorithm), dandi_etag.hasher(algorithm)) == expected


def was_right(wanted: Wanted, folder: Path) -> bool:
    """Whether a file is known to have the right content, without reading it."""
    if not wanted.hash:
        return is_here(wanted, folder)
    algorithm, _, expected = wanted.hash.partition(":")
    known = content.recall(wanted.path, _memory(folder, algorithm)) if is_file(wanted.path) else None
    return bool(known) and known["content"] == expected


def remember(wanted: Wanted, folder: Path) -> None:
    """Keep in ``folder`` that a file that has just been fetched has the right hash."""
    if wanted.hash:
        algorithm, _, known = wanted.hash.partition(":")
        content.remember(wanted.path, _memory(folder, algorithm), known)


def box(wanted: Wanted) -> Path:
    """Return the hidden folder in which the beginning of a file lies: another one for another content.

    Examples
    --------
    >>> box(Wanted("https://a/b.nwb", Path("b.nwb"), hash="md5:1")).name
    '.b.nwb.edf35bc5bc35.part'
    """
    version = wanted.hash or f"{wanted.url} {wanted.etag}"
    mark = hashlib.blake2b(version.encode(), digest_size=MARK // 2).hexdigest()
    return wanted.path.with_name(f".{_label(wanted)}.{mark}.part")


def boxes(wanted: Wanted) -> list[Path]:
    """Return the hidden folders that there are of a file, one for each content that was begun."""
    return list(wanted.path.parent.glob(f".{glob.escape(_label(wanted))}.{'?' * MARK}.part"))


def begun(wanted: Wanted) -> int:
    """Return how many bytes of a file an earlier transfer left."""
    try:
        return max((length(part) for part in box(wanted).glob("*")), default=0)
    except OSError:  # a path that the disk does not take: to be told when the file is fetched
        return 0


def to_come(wanted: Wanted) -> int:
    """Return how many bytes of a file are yet to be fetched, 0 where its size is not known."""
    return max(0, (wanted.size or 0) - begun(wanted))


def require_space(files: Sequence[Wanted], folder: Path) -> None:
    """Raise where files do not fit on the disk, with the older ones that stay until they are replaced.

    Raises
    ------
    StoreError
        They need more than is free.
    """
    needed, free = sum(map(to_come, files)), free_space(folder)
    if needed > free:
        older = sum(is_file(one.path) for one in files)
        beside = f" beside {older} that they replace" if older else ""
        raise StoreError(
            f"{len(files)} files need {shown(needed)}{beside}, and {folder} has {shown(free)} free: make room there, "
            "choose fewer with --sessions, or another folder with --to."
        )


def free_space(folder: Path) -> int:
    """Return the free bytes of the disk on which a folder is, or will be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _asked(client: Client, wanted: Wanted) -> Wanted:
    if wanted.size is not None and wanted.hash:
        return wanted

    def once() -> Any:
        with asking.ask(client, "HEAD", wanted.url) as answer:
            return answer.headers

    try:
        headers = asking.patiently(client, wanted.url, once)
    except Refused:
        return wanted  # the transfer itself says what is wrong
    count = headers.get("Content-Length", "")
    size = int(count) if count.isdigit() and int(count) else wanted.size  # 0: made as it is sent
    return dataclasses.replace(wanted, size=size, etag=headers.get("ETag", ""))


def _memory(folder: Path, algorithm: str) -> Path:
    return folder / f".neq-{algorithm}.json"


def _label(wanted: Wanted) -> str:
    """Return the name of a file, a hash of it where there is no room for more beside it."""
    name = wanted.path.name
    if len(name.encode()) <= LONGEST:
        return name
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
