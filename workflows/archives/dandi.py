"""NWB files of a dandiset of the DANDI archive, fetched into a folder under their paths there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath

from rich.console import Console

from neq.commands import command
from neq.errors import ConfigError, RecordingError
from neq.readers.rows import rows
from workflows.archives import dandi_api, flow
from workflows.archives.dandi_api import API, DRAFT, Asset
from workflows.archives.flow import Item, Order
from workflows.archives.lock import claimed
from workflows.archives.wanted import Wanted
from workflows.progress import say

_NAME = re.compile(r"dandi:(\d{6})(?:[@/](draft|\d+\.\d+\.\d+))?", re.IGNORECASE)
_CHECKED = {"sha256": "sha2-256", "dandi-etag": "dandi-etag", "": "size only"}
"""Algorithm -> what is said to be checked."""


@dataclass(frozen=True)
class Choice:
    """Which files of which dandiset to fetch, and where from.

    Parameters
    ----------
    dandiset
        Its six digits.
    version
        Such as 0.240702.1725, or draft; "": the newest published one, else draft.
    sessions
        See :func:`choose`; None: all.
    all_files
        Also NWB files without units.
    source
        URL of another DANDI API; "" for the public archive.
    """

    dandiset: str
    version: str = ""
    sessions: str | None = None
    all_files: bool = False
    source: str = ""


def is_name(what: str) -> bool:
    """Whether something to fetch is meant to be a dandiset."""
    return what.lower().startswith("dandi:")


def parse_name(what: str) -> tuple[str, str]:
    """Return the number of a dandiset and the version that is named with it, "" where none is.

    Raises
    ------
    ConfigError
        It is no name of a dandiset.

    Examples
    --------
    >>> parse_name("dandi:000713"), parse_name("DANDI:000713/0.240702.1725"), parse_name("dandi:000713@draft")
    (('000713', ''), ('000713', '0.240702.1725'), ('000713', 'draft'))
    """
    found = _NAME.fullmatch(what)
    if not found:
        raise ConfigError(f"Expected a dandiset such as dandi:000713 or dandi:000713@0.240702.1725, found {what}.")
    return found[1], (found[2] or "").lower()


def fetch(choice: Choice, folder: Path, jobs: int, dry_run: bool, console: Console) -> int:
    """Fetch NWB files of a dandiset into a folder, or tell what it would be; return the exit code.

    Raises
    ------
    ConfigError, StoreError
        The address of the archive is no URL; the folder cannot be used, or is too small.
    FetchError
        The archive is not to be reached, or answers something else.
    RecordingError
        There is no such dandiset, version or file, or it is embargoed.
    """
    api = choice.source.rstrip("/") or API
    with flow.connected(choice.source, f"a DANDI API such as {API}", console) as client:
        version = choice.version or dandi_api.newest_version(client, api, choice.dandiset)
        name = f"dandi:{choice.dandiset}@{version}"
        say(console, f"{name}{', a draft, which may change' if version == DRAFT else ''}: listed by {api}")
        files = dandi_api.nwb_files(client, api, choice.dandiset, version)
        say(console, f"{len(files)} NWB files, {sum(asset.holds_units for asset in files)} of them with units")
        chosen = dandi_api.with_hashes(client, api, choose(files, choice.sessions, choice.all_files, name))
        items = [_item(asset, api, folder) for asset in chosen]
        order = Order(folder, partial(_again, choice, name, folder), jobs, dry_run)
        with claimed(folder, dry_run):
            return flow.carry_out(items, order, client, console)


def choose(files: Sequence[Asset], wanted: str | None, all_files: bool, name: str) -> list[Asset]:
    """Return the files that are wanted, each once, in the order in which they are named.

    Parameters
    ----------
    files
        NWB files there are.
    wanted
        Rows of the list as Python slices them, subjects, sessions, names or paths of files, patterns of them, all with
        commas between; None: all.
    all_files
        Also those that have no units by what the archive knows of them.
    name
        Of the dandiset, for messages.

    Raises
    ------
    RecordingError
        Something names no file.

    Examples
    --------
    >>> paths = ["sub-5/sub-5_ses-1.nwb", "sub-5/sub-5_ses-2.nwb", "sub-6/sub-6_ses-3.nwb"]
    >>> files = [Asset(asset_id="a", path=path, size=1) for path in paths]
    >>> [asset.part("ses") for asset in choose(files, "sub-6,0:1", False, "dandi:000713")]
    ['3', '1']
    >>> [asset.part("ses") for asset in choose(files, "sub-5/*2.nwb", False, "dandi:000713")]
    ['2']
    """
    there = [asset for asset in files if all_files or asset.holds_units]
    if not there:
        without = f" with units, only {len(files)} without; --all-files takes them" if files else ""
        raise RecordingError(f"{name} has no NWB file{without}.")
    parts = [":"] if wanted is None else [part.strip() for part in wanted.split(",")]
    chosen = [asset for part in parts for asset in _named(there, part, files, name)]
    return list({asset.path: asset for asset in chosen}.values())


def _named(there: Sequence[Asset], part: str, files: Sequence[Asset], name: str) -> list[Asset]:
    """Return the files that one part of what is wanted names."""
    span = f"{there[0].path} to {there[-1].path}"
    if ":" in part:
        known = f"there are {len(there)} files, {span}"
        return [there[row] for row in rows(part, len(there), f"the list of files of {name}", known)]
    if found := [asset for asset in there if _is_named(asset, part)]:
        return found
    without = sum(_is_named(asset, part) for asset in files)
    remedy = f"`{command('fetch', name, options={'--dry-run': True})}` lists them"
    if without:
        remedy = f"{without} without units are; --all-files takes them too"
    raise RecordingError(f"None of the {len(there)} files of {name}, {span}, is {part!r}: {remedy}.")


def _is_named(asset: Asset, part: str) -> bool:
    path = PurePosixPath(asset.path)
    names = {asset.path, path.name, path.stem}
    names |= {name for key in ("sub", "ses") if (value := asset.part(key)) for name in (value, f"{key}-{value}")}
    return part in names or fnmatchcase(asset.path, part) or fnmatchcase(path.name, part)


def _item(asset: Asset, api: str, folder: Path) -> Item:
    facts = {
        "subject": asset.part("sub"),
        "session": asset.part("ses"),
        "checked by": _CHECKED[asset.hash.partition(":")[0]],
    }
    url = f"{api}/assets/{asset.asset_id}/download/"
    return Item(asset.path, facts, Wanted(url, folder / asset.path, asset.size, asset.hash))


def _again(choice: Choice, name: str, folder: Path, paths: Sequence[str]) -> str:
    """Return the command that fetches the files of these paths."""
    options = {
        "--to": folder,
        "--from": choice.source,
        "--all-files": choice.all_files,
        "--sessions": ",".join(paths),
    }
    return command("fetch", name, options=options)
