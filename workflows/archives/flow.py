"""What `neq fetch` does with any archive: look what is there, tell what it costs, fetch the rest, tell what failed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from rich.console import Console

from neq.errors import ConfigError
from workflows.archives import download
from workflows.archives.asking import Client
from workflows.archives.transfer import length
from workflows.archives.wanted import (
    Wanted,
    begun,
    free_space,
    is_file,
    is_here,
    require_space,
    survey,
    to_come,
    was_right,
)
from workflows.guard import EXIT_FAILED
from workflows.progress import ByteMeter, Meter, say, size


@dataclass(frozen=True)
class Item:
    """One thing to fetch.

    Parameters
    ----------
    name
        What the archive calls it, such as the id of a session.
    facts
        What else to say of it, by title.
    wanted
        Its file.
    """

    name: str
    facts: Mapping[str, Any]
    wanted: Wanted


@dataclass(frozen=True)
class Order:
    """How to fetch.

    Parameters
    ----------
    folder
        Where to.
    again
        Returns the command that fetches the items of these names.
    jobs
        Files at once.
    dry_run
        Only tell what there is.
    """

    folder: Path
    again: Callable[[Sequence[str]], str]
    jobs: int = download.JOBS
    dry_run: bool = False


@contextlib.contextmanager
def connected(source: str, example: str, console: Console) -> Iterator[Client]:
    """Give what asks an archive while the block runs; its pauses are told on the console.

    Parameters
    ----------
    source
        URL that is asked in place of the archive's; "" for none.
    example
        What it should be, for the message.
    console
        Where to print.

    Raises
    ------
    ConfigError
        It is no URL.
    """
    if source and urlsplit(source).scheme not in ("http", "https"):
        raise ConfigError(f"--from needs the URL of {example}, found {source}.")
    client = Client(note=lambda text: say(console, text))
    with client.session:
        yield client


def carry_out(items: Sequence[Item], order: Order, client: Client, console: Console) -> int:
    """Fetch what is missing, or tell what it would be, and return the exit code.

    Raises
    ------
    FetchError
        The server is not to be reached.
    StoreError
        The files do not fit on the disk.
    """
    right = _right(items, order, console)
    items = _measured(items, right, client)
    by_path = {item.wanted.path: item.wanted for item, known in zip(items, right, strict=True) if not known}
    missing = list(by_path.values())
    if order.dry_run:
        say(console, _table(items, [_state(item.wanted, order.folder) for item in items]))
    say(console, _cost(items, missing, order))
    if order.dry_run or not missing:
        return 0
    require_space(missing, order.folder)
    with ByteMeter(console, "fetch") as meter:
        errors = download.fetch(missing, order.folder, client, meter, order.jobs)
    return _tell(items, dict(zip([one.path for one in missing], errors, strict=True)), order, console)


def _right(items: Sequence[Item], order: Order, console: Console) -> list[bool]:
    """Whether each item is here; what has not been hashed yet is, but not for a dry run."""
    known = {item.wanted.path: was_right(item.wanted, order.folder) for item in items}
    unsure = {item.wanted.path: item.wanted for item in items if is_file(item.wanted.path)}
    unsure = {path: wanted for path, wanted in unsure.items() if not known[path] and not order.dry_run}
    with Meter(console, "check", "files") as meter:
        for done, (path, wanted) in enumerate(unsure.items(), 1):
            known[path] = is_here(wanted, order.folder)
            meter(done, len(unsure))
    return [known[item.wanted.path] for item in items]


def _measured(items: Sequence[Item], right: Sequence[bool], client: Client) -> list[Item]:
    """Return the items with the sizes of their files: on the disk, or as the server says."""
    asked = iter(survey([item.wanted for item, known in zip(items, right, strict=True) if not known], client))
    return [
        dataclasses.replace(item, wanted=_of_disk(item.wanted) if known else next(asked))
        for item, known in zip(items, right, strict=True)
    ]


def _of_disk(wanted: Wanted) -> Wanted:
    return dataclasses.replace(wanted, size=length(wanted.path))


def _state(wanted: Wanted, folder: Path) -> str:
    """Return what is there of a file, in words."""
    if was_right(wanted, folder):
        return "here"
    if is_file(wanted.path):
        return "here, not checked yet" if _may_be_right(wanted) else "damaged, to fetch again"
    return f"to fetch, {size(begun(wanted))} of it here" if begun(wanted) else "to fetch"


def _may_be_right(wanted: Wanted) -> bool:
    """Whether a file is here that a dry run does not hash, but that has the size it should have."""
    return is_file(wanted.path) and wanted.size in (None, length(wanted.path))


def _cost(items: Sequence[Item], missing: Sequence[Wanted], order: Order) -> str:
    total = sum(item.wanted.size or 0 for item in items)
    unchecked = [one for one in missing if order.dry_run and _may_be_right(one)]
    missing = [one for one in missing if one not in unchecked]
    left = sum(map(to_come, missing))
    unknown = sum(one.size is None for one in missing)
    parts = [f"{len(items)} files, {size(total)}"]
    parts += [f"here but not checked yet {len(unchecked)}"] if unchecked else []
    parts += [f"to fetch {len(missing)}, {size(left)}" if missing else "all here"]
    parts += [f"{unknown} of unknown size"] if unknown else []
    return f"{'; '.join(parts)}; free in {order.folder} {size(free_space(order.folder))}"


def _tell(items: Sequence[Item], errors: Mapping[Path, str], order: Order, console: Console) -> int:
    """Print how each item ended, and the command to give again; return the exit code."""
    ends = [errors.get(item.wanted.path) for item in items]
    say(console, _table(items, ["here" if end is None else "failed" if end else "fetched" for end in ends]))
    failed = [(item, end) for item, end in zip(items, ends, strict=True) if end]
    for item, end in failed:
        say(console, f"{item.name}: {end}")
    if not failed:
        say(console, f"all {len(items)} files are in {order.folder}")
        return 0
    say(console, f"{len(failed)} of {len(items)} files failed; again: {order.again([item.name for item, _ in failed])}")
    return EXIT_FAILED


def _table(items: Sequence[Item], states: Sequence[str]) -> str:
    columns = list(dict.fromkeys(title for item in items for title in item.facts))
    rows = [
        [item.name, *(item.facts.get(title, "") for title in columns), _shown_size(item.wanted), state]
        for item, state in zip(items, states, strict=True)
    ]
    return pd.DataFrame(rows, columns=["", *columns, "size", "state"]).to_string(index=False)


def _shown_size(wanted: Wanted) -> str:
    return "?" if wanted.size is None else size(wanted.size)
