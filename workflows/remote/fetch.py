"""A run at a URL brought into a folder: each status before the values it tells of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neq.errors import StoreError
from workflows import layout
from workflows.remote import lease
from workflows.remote.place import Entry, Place, Pool
from workflows.store import STORE_NAME, problems

ROUNDS = 20
_METADATA = f"{STORE_NAME}/zarr.json"
_STATUS = f"{STORE_NAME}/{layout.STATUS}/"


def holds_run(place: Place) -> bool:
    """Whether there is a run at a URL."""
    return place.entry(_METADATA) is not None


def refuse_nothing(place: Place) -> None:
    """Raise :class:`neq.errors.StoreError` where there is no run at a URL."""
    if not holds_run(place):
        raise StoreError(f"There is no run at {place}: expected {STORE_NAME} there, as `neq run` makes it.")


def light(place: Place, into: Path) -> None:
    """Fetch what tells how far a run is: the attributes of its store, and the status of every cell."""
    refuse_nothing(place)
    keys = [_METADATA, *(key for key in place.list(_STATUS.rstrip("/")))]
    with Pool() as pool:
        _fetch(place, into, keys, pool)


def whole(place: Place, into: Path, progress: Callable[[int, int], Any] = lambda done, total: None) -> None:
    """Fetch everything of a run, also while it grows: done are only cells whose values came whole.

    A status that is fetched before its values says no more than these, as they go up before it. Cells that were made
    pending meanwhile show by a status that has changed since: then what has changed is fetched again.

    Raises
    ------
    neq.errors.StoreError
        There is no run, it cannot be read, or it changes faster than it can be fetched.
    """
    refuse_nothing(place)
    have: dict[str, Entry] = {}
    with Pool() as pool:
        for _ in range(ROUNDS):
            listed = {key: entry for key, entry in place.list().items() if not key.startswith(f"{lease.FOLDER}/")}
            changed = [key for key, entry in listed.items() if have.get(key) != entry]
            if have and not any(key.startswith(_STATUS) for key in changed):
                return
            # small parts, so that somebody who waits sees it move
            for part in _parts(sorted(changed, key=lambda key: not key.startswith(_STATUS)), listed):
                _fetch(place, into, part, pool)
                have |= {key: listed[key] for key in part}
                progress(len(have), len(listed))
    raise StoreError(f"{place} changes faster than it can be fetched: wait until the run there has ended.")


def move_in(fetched: Path, folder: Path) -> None:
    """Move a run that was fetched whole beside what is in its folder: the store last, in one step."""
    with problems(folder):
        for path in sorted(fetched.iterdir()):
            if path.name != STORE_NAME:
                _move(path, folder / path.name)
        store, old = folder / STORE_NAME, fetched / f"old-{STORE_NAME}"
        # younger than figures and report, so that these are made again
        (fetched / _METADATA).touch()
        if store.exists():
            store.rename(old)
        (fetched / STORE_NAME).rename(store)
        shutil.rmtree(fetched)


def _move(path: Path, target: Path) -> None:
    """Move a file, or a folder piece by piece; a store that is there stays, as its name says what is in it."""
    if not path.is_dir() or not target.exists():
        path.replace(target)
    elif target.suffix != ".zarr":
        for inner in sorted(path.iterdir()):
            _move(inner, target / inner.name)


def _parts(keys: Sequence[str], listed: Mapping[str, Entry]) -> list[list[str]]:
    """Cut keys into parts in their order; all status first, in a part of their own."""
    status = [key for key in keys if key.startswith(_STATUS)]
    others = [key for key in keys if not key.startswith(_STATUS)]
    return [status, *(others[i : i + 256] for i in range(0, len(others), 256))]


def _fetch(place: Place, into: Path, keys: Sequence[str], pool: Pool) -> None:
    def one(key: str) -> None:
        content = place.get(key)
        if content is not None:
            path = into / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    with problems(into):
        pool.each(one, list(keys))
