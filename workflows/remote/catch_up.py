"""A work folder and the run at its URL brought together before a driver goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neq.errors import ConfigError, StoreError, StudyMismatchError
from workflows import layout, staging
from workflows.commands import merge
from workflows.remote import fetch
from workflows.remote.copies import MARK
from workflows.remote.place import Place
from workflows.store import STORE_NAME, Store, problems


def url_of(folder: Path) -> str:
    """Return the URL at which a run folder has its copy, "" where it has none."""
    return str(_mark(folder).get("url", ""))


def refuse_another(folder: Path, url: str) -> None:
    """Raise :class:`neq.errors.ConfigError` where a work folder belongs to another URL."""
    known = url_of(folder)
    if known and known != url.rstrip("/"):
        raise ConfigError(
            f"The work folder {folder} belongs to {known}, not to {url}: "
            "choose another with `--set work=FOLDER`, or the URL that it belongs to."
        )


def note(folder: Path, place: Place, epoch: int) -> None:
    """Note in a work folder where its copy is, and the number of the lease under which both were brought together."""
    with problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        staging.write_whole(folder / MARK, json.dumps({"url": place.url, "epoch": epoch}).encode())


def catch_up(
    place: Place,
    folder: Path,
    last_epoch: int,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> int:
    """Bring what is at the URL and not in the work folder into the work folder; return how many cells that gave.

    Nothing is compared where the last driver at the URL worked in this folder: then it has all that is there.

    Parameters
    ----------
    last_epoch
        Number of the newest lease at the URL before ours.

    Raises
    ------
    neq.errors.StoreError
        Folder and URL hold different runs.
    """
    store = folder / STORE_NAME
    if (store.exists() and last_epoch and _mark(folder).get("epoch") == last_epoch) or not fetch.holds_run(place):
        return 0
    with _staging(folder) as part:
        if not store.exists():
            fetch.whole(place, part / "run", progress)
        else:
            fetch.light(place, part / "light")
            ours, theirs = Store.open(store), Store.open(part / "light" / STORE_NAME)
            _refuse_different(ours, theirs, place)
            if _extends(ours, theirs) and not _is_ahead(theirs, ours):
                return 0
            fetch.whole(place, part / "run", progress)
            if _is_ahead(ours, theirs):
                _merge(folder, part, place)
        n_before = _n_done(store)
        fetch.move_in(part / "run", folder)
    return _n_done(store) - n_before


def _merge(folder: Path, part: Path, place: Place) -> None:
    """Put a store with the cells of both in the place of the fetched one, whose chunks keep their meaning."""
    theirs = Store.open(part / "run" / STORE_NAME)
    merge.merge([part / "run", folder], part / "both", block=theirs.chunk)
    both = Store.open(part / "both" / STORE_NAME)
    if any(both.array(name).chunks != theirs.array(name).chunks for name in theirs.outputs):
        raise StoreError(
            f"The work folder {folder} and {place} have grown in different ways: move the work folder away to go on "
            "from what is at the URL."
        )
    shutil.rmtree(part / "run" / STORE_NAME)
    (part / "both" / STORE_NAME).rename(part / "run" / STORE_NAME)


def _refuse_different(ours: Store, theirs: Store, place: Place) -> None:
    try:
        merge.refuse_unlike(ours, theirs)
    except StudyMismatchError as error:
        difference = str(error).replace(str(theirs.path.parent), str(place)).partition(": ")[2]
        raise StoreError(
            f"The work folder {ours.path.parent} and {place} hold different runs ({difference.rstrip('.')}): "
            "choose another work folder or another URL."
        ) from error


def _extends(one: Store, two: Store) -> bool:
    """Whether the chunks of a store mean the same cells as those of another one that it has grown from."""
    labels = all(one.labels(name)[: len(two.labels(name))] == two.labels(name) for name in two.names)
    return labels and one.chunk == two.chunk


def _is_ahead(one: Store, two: Store) -> bool:
    """Whether a store has labels or done cells that another one has not."""
    places = []
    for name in one.names:
        where = {label: i for i, label in enumerate(two.labels(name))}
        if any(label not in where for label in one.labels(name)):
            return True
        places.append([where[label] for label in one.labels(name)])
    there = two.status()[np.ix_(*places)]
    return bool(((one.status() != layout.PENDING) & (there == layout.PENDING)).any())


def _n_done(store: Path) -> int:
    return int((Store.open(store).status() != layout.PENDING).sum()) if store.exists() else 0


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Give a hidden folder on the disk of the run folder, deleted at the end."""
    with problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        staging.sweep(folder)
        part = staging.beside(folder / "fetched")
        part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _mark(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / MARK}, which names the URL of the copy, cannot be read ({error}).") from error
    return found
