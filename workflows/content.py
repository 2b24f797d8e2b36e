"""Hashes of what recordings and spikes stores hold: what decides whether two are the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neq.errors import RecordingError
from neq.spikes.recording import Recording
from workflows import staging


def _short() -> Any:
    return hashlib.blake2b(digest_size=16)


Identities = Mapping[str, tuple[int, int, int] | None]
"""Path -> inode, size and time of change of a file, None where it is not there: another file or content has others."""

Algorithm = str | Callable[[], Any]
"""What ``hashlib.file_digest`` takes: a name, or what makes an empty hash."""


def of_json(value: Any) -> str:
    """Return the hash of plain values, whatever the order of their keys.

    Examples
    --------
    >>> of_json({"a": 1, "b": 2}) == of_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_source(recording: Recording, cache: Path) -> str:
    """Return the hash of what a recording was made from.

    The bytes of the file, or of the files of a folder that ``source["files"]`` names; ``source["content"]`` where the
    reader has one; the recording itself where there is no file.

    Parameters
    ----------
    recording
        What was read.
    cache
        JSON file that keeps hashes by path, size and time of change, so that a source of gigabytes is read once.
    """
    source = recording.source
    if source.get("content"):
        return str(source["content"])
    if not source.get("path"):
        return _of_recording(recording)
    path = Path(source["path"])
    if not source.get("files"):
        return of_file(path, cache)
    return of_json([[str(name), of_file(path / name, cache)] for name in sorted(source["files"])])


def files_of(recording: Recording, cache: Path) -> dict[str, dict[str, Any]]:
    """Return size, time of change and hash of each file that a recording was made from, by absolute path."""
    source = recording.source
    if source.get("content") or not source.get("path"):
        return {}
    path = Path(source["path"]).absolute()
    names = sorted(source["files"]) if source.get("files") else [""]
    return {str(path / name): stamped(path / name, cache) for name in names}


def of_file(path: Path, cache: Path, algorithm: Algorithm = _short) -> str:
    """Return the hash of the bytes of a file, from ``cache`` where the file has not changed since.

    A cache holds hashes of one algorithm.
    """
    return str(stamped(path, cache, algorithm)["content"])


def stamped(path: Path, cache: Path, algorithm: Algorithm = _short) -> dict[str, Any]:
    """Return ``size``, ``mtime_ns`` and ``content`` (hash) of a file; see :func:`of_file`.

    Raises
    ------
    RecordingError
        The file is gone, cannot be read, or changes meanwhile.
    """
    try:
        return _stamped(path, cache, algorithm)
    except FileNotFoundError as error:
        raise RecordingError(f"Recording {str(path)!r} does not exist any more; put it back.") from error
    except OSError as error:
        raise RecordingError(f"Recording {str(path)!r} cannot be read ({error.strerror}); copy it again.") from error


def recall(path: Path, cache: Path) -> dict[str, Any] | None:
    """Return what ``cache`` holds of a file, None where it holds nothing or the file has changed since."""
    known = _load(cache).get(str(path.resolve()), {})
    return dict(known) if still_is(path, known) and isinstance(known.get("content"), str) else None


def still_is(path: Path, stamp: Mapping[str, Any]) -> bool:
    """Whether a file has the size and the time of change that :func:`stamped` found."""
    try:
        found = path.stat()
    except OSError:
        return False
    return (stamp.get("size"), stamp.get("mtime_ns")) == (found.st_size, found.st_mtime_ns)


def identities(path: str | Path | None) -> Identities:
    """Return what tells a file, and each entry of a folder, from others; by absolute path."""
    if path is None:
        return {}
    place = Path(path).absolute()
    return {str(one): _identity(one) for one in (place, *place.glob("*"))}


def refuse_changed(seen: Identities) -> None:
    """Refuse files that are not any more what they were.

    Parameters
    ----------
    seen
        Their earlier :func:`identities`.

    Raises
    ------
    RecordingError
        One of them is another file, or has another content.
    """
    for path, identity in seen.items():
        if _identity(Path(path)) != identity:
            raise RecordingError(f"Recording {path!r} changes while it is read; wait until it is complete.")


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def remember(path: Path, cache: Path, known: str) -> None:
    """Keep the hash of a file that was hashed elsewhere, for :func:`of_file`."""
    _keep(cache, path, path.stat(), known)


def _stamped(path: Path, cache: Path, algorithm: Algorithm) -> dict[str, Any]:
    before = identities(path)
    if (known := recall(path, cache)) is not None:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    after = path.stat()
    refuse_changed(before)
    return _keep(cache, path, after, digest)


def of_table(table: xr.Dataset, bin_size: float) -> Any:
    """Return a hash, to be continued by :func:`add_block`, of everything in a spikes Dataset but the spikes."""
    digest = hashlib.blake2b(repr(float(bin_size)).encode(), digest_size=16)
    for name in sorted(map(str, table.variables)):
        values = table[name].values
        text = values.dtype.kind in "OUT"
        kind = "str" if text else values.dtype.newbyteorder("<").str
        digest.update(json.dumps([name, kind, list(map(str, table[name].dims)), values.shape]).encode())
        little = (
            json.dumps([str(value) for value in values.ravel()]).encode() if text else values.astype(kind).tobytes()
        )
        digest.update(little)
    return digest


def add_block(digest: Any, first_row: int, block: np.ndarray, n_unit: int) -> None:
    """Add the True entries of ``block`` (bin, unit), whose first bin is ``first_row``, by their place in the matrix.

    The hash does not depend on how the matrix is cut into blocks.
    """
    place = np.flatnonzero(block) + first_row * n_unit
    digest.update(place.astype("<i8", copy=False).data)


def _of_recording(recording: Recording) -> str:
    frames = (recording.units.reset_index(), recording.epochs)
    tables = [frame.to_json(orient="split", double_precision=15) for frame in frames]
    digest = hashlib.blake2b(json.dumps([tables, recording.bin_size]).encode(), digest_size=16)
    for times in recording.trains():
        digest.update(np.int64(len(times)).tobytes())
        digest.update(times.astype("<f8").tobytes())
    return digest.hexdigest()


def _load(cache: Path) -> dict[str, Any]:
    """Return what the cache holds; a missing or damaged one holds nothing."""
    try:
        found = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(cache: Path, path: Path, found: os.stat_result, digest: str) -> dict[str, Any]:
    """Add one entry; of two processes that do so at once one may lose its entry, which costs a second reading only."""
    entry = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "content": digest}
    part = staging.beside(cache)
    with contextlib.suppress(OSError):  # a cache: where it cannot be kept the file is read again
        part.write_text(json.dumps({**_load(cache), str(path.resolve()): entry}, indent=1, sort_keys=True))
        part.replace(cache)
    return entry
