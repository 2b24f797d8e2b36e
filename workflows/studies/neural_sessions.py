"""Which sessions the section ``recordings`` names, and where each of them is."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from neq import readers
from neq.commands import command
from neq.errors import RecordingError
from neq.readers import allen_cache

from .neural_sections import Recordings

Sessions = list[tuple[str, str | None]]
"""Name and path of each session."""


def chosen(recordings: Recordings) -> Sessions:
    """Return name and path of every session that the section names, in the order of the config or of a cache's table.

    Raises
    ------
    neq.errors.RecordingError
        A cache cannot be read, or does not have the sessions named.
    """
    if (folder := _cache_folder(recordings)) is not None:
        cache = allen_cache.open_cache(folder)
        # downloaded or not: a session that is missing fails by itself, and says so
        return [(str(one), str(_file_of(cache, one))) for one in _chosen_ids(recordings, cache)]
    wanted = recordings.sessions
    return [pair for pair in _found(recordings) if wanted is None or pair[0] in wanted]


def problems(recordings: Recordings) -> Iterator[str]:
    """Say what is wrong with the names of sessions: two of one name, or one that no source has."""
    if (folder := _cache_folder(recordings)) is not None:
        yield from _cache_problems(recordings, folder)
        return
    if isinstance(recordings.sessions, str) and not _is_cache_to_come(recordings):
        yield f"recordings.sessions: rows such as {recordings.sessions} are of an Allen cache's table; give a list"
        return
    found = [name for name, _ in _found(recordings)]
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        yield (
            f"recordings.path: two sources would be session {', '.join(twice)}; "
            "give names, as in path: {a: FILE, b: FILE}"
        )
    for key, names in (("sessions", recordings.sessions or []), ("subjects", recordings.subjects)):
        absent = [name for name in names if name not in found]
        if found and absent:
            yield f"recordings.{key}: no source is session {', '.join(absent)}; there are {', '.join(found)}"


def _cache_problems(recordings: Recordings, folder: Path) -> Iterator[str]:
    try:
        cache = allen_cache.open_cache(folder)
        _chosen_ids(recordings, cache)
        counted, known = cache.sessions().index, set(map(str, cache.sessions(abnormal=True).index))
    except RecordingError as error:
        yield f"recordings: {error}"
        return
    if absent := [name for name in recordings.subjects if name not in known]:
        there = f"there are {len(counted)} sessions, {counted[0]} to {counted[-1]}"
        yield f"recordings.subjects: the cache has no session {', '.join(absent)}: {there}"


def option_problems(recordings: Recordings, conditions: Sequence[str]) -> Iterator[str]:
    """Say what the reader would not take, and which conditions it would not find, where its kind is known by now."""
    kind = recordings.kind or _kind_found(recordings)
    if kind is None:
        return
    try:
        options: Any = readers.check_options(kind, recordings.options)
    except RecordingError as error:
        yield f"recordings.options: {error}"
        return
    known: Collection[str] = ()
    if kind == "synthetic":
        known = options.conditions
    elif kind == "allen" and not options.names_epochs:
        from neq.readers.allen_epochs import CONDITIONS as known  # here: it takes h5py along
    if known and (absent := [name for name in conditions if name not in known]):
        yield f"conditions: no session has {', '.join(absent)}; there are: {', '.join(known)}. Name some of these."


def _kind_found(recordings: Recordings) -> str | None:
    """Return the kind of the first source, None where it cannot be told."""
    paths = [recordings.path] if _cache_folder(recordings) is not None else [path for _, path in _found(recordings)]
    try:
        return readers.detect_kind(Path(str(paths[0]))) if paths else None
    except RecordingError:  # to be told of this session alone, when it is read
        return None


def nothing_found(recordings: Recordings) -> str:
    """Say why there is no session, and what to do."""
    path = recordings.path
    if _is_cache_to_come(recordings):
        remedy = command("fetch", "allen-vbn", options={"--to": path})
        return (
            f"There is no cache of the Allen release at recordings.path {path}; name yours, or make it with `{remedy}`."
        )
    return f"No file matches recordings.path {path}; name at least one, relative to $NEQ_DATA."


def expand(pattern: str) -> list[str]:
    """Return the sorted paths that match a pattern; a path without wildcards is returned as it is."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]


def _found(recordings: Recordings) -> Sessions:
    """Return name and path of every source that the path names."""
    path = recordings.path
    if path is None:
        return [(name, None) for name in recordings.sessions or []]
    if isinstance(path, dict):
        return list(path.items())
    patterns = [path] if isinstance(path, str) else path
    if _is_cache_to_come(recordings):
        return []
    return [(allen_cache.session_name(Path(one)), one) for pattern in patterns for one in expand(pattern)]


def _cache_folder(recordings: Recordings) -> Path | None:
    """Return the path where it is the folder of an Allen cache."""
    path = recordings.path
    return Path(path) if isinstance(path, str) and allen_cache.is_cache(Path(path)) else None


def _chosen_ids(recordings: Recordings, cache: allen_cache.AllenCache) -> list[int]:
    return allen_cache.choose_sessions(cache.sessions(), recordings.sessions, cache.sessions(abnormal=True))


def _file_of(cache: allen_cache.AllenCache, session_id: int) -> Path:
    """Return the file of a session, or the cache where its release lists none: the reader then says so."""
    try:
        return cache.session_file(session_id)
    except RecordingError:
        return cache.folder


def _is_cache_to_come(recordings: Recordings) -> bool:
    """Whether the path names a cache that is not here yet, so that its sessions are not known."""
    path = recordings.path
    return recordings.kind == "allen" and isinstance(path, str) and not Path(path).suffix and not glob.has_magic(path)
