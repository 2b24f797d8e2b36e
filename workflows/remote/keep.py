"""What a driver does about the URL of its run: take the lease there, catch up, keep the copy, complete it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from workflows import config as run_config
from workflows import lease as local
from workflows.progress import Meter, say
from workflows.remote import catch_up, fetch, lease
from workflows.remote.mirror import Mirror
from workflows.remote.place import Place


@contextlib.contextmanager
def kept(config: run_config.RunConfig, console: Console) -> Iterator[Callable[[], None]]:
    """Keep the copy of a run at its URL while the block runs; does nothing for a run that has none.

    Gives a function that raises :class:`neq.errors.LeaseLostError` once another driver has taken the URL over.

    Raises
    ------
    neq.errors.ConfigError, neq.errors.StoreError, neq.errors.LeaseHeldError
        The work folder belongs to another URL, the place cannot be used, or another driver works there.
    neq.errors.CopyError
        The run is done, its copy is not complete.
    """
    folder = config.run_folder.absolute()
    url = config.url or catch_up.url_of(folder)
    if not url:
        yield lambda: None
        return
    catch_up.refuse_another(folder, url)
    place = Place(url)
    with lease.acquire(place, str(folder)) as held:
        held.progress = lambda: (local.current(folder) or {}).get("progress", {})
        _bring(place, folder, held, console)
        with _mirrored(Mirror(place, folder, held, lambda text: say(console, text))):
            yield held.check


def fetch_run(url: str, folder: Path, console: Console) -> int:
    """Bring the run at a URL into a folder, or a folder that has it up to date; return the number of cells it gave."""
    catch_up.refuse_another(folder.absolute(), url)
    place = Place(url)
    fetch.refuse_nothing(place)
    with local.acquire(folder):
        pass
    with Meter(console, "fetch", "objects") as meter:
        n_new = catch_up.catch_up(place, folder.absolute(), 0, meter)
    # under no lease: the next driver in this folder compares again
    catch_up.note(folder, place, 0)
    return n_new


def _bring(place: Place, folder: Path, held: lease.Lease, console: Console) -> None:
    """Bring the work folder up to what is at the URL."""
    with local.acquire(folder):
        # nobody drives the folder without its URL
        pass
    with Meter(console, "fetch", "objects") as meter:
        n_new = catch_up.catch_up(place, folder, held.before, meter)
    catch_up.note(folder, place, held.epoch)
    if n_new:
        say(console, f"{n_new} cells came from {place} into {folder}")


@contextlib.contextmanager
def _mirrored(mirror: Mirror) -> Iterator[Any]:
    mirror.start()
    try:
        yield
    except BaseException:
        mirror.leave()
        raise
    mirror.finish()
