"""The Visual Behavior Neuropixels release of the Allen Institute, fetched into a folder as the AllenSDK keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
from rich.console import Console

from neq.commands import command
from neq.errors import FetchError, RecordingError, StoreError
from neq.readers.allen_cache import (
    PROJECT,
    SESSION_TABLE,
    AllenCache,
    ListedFile,
    choose_sessions,
    manifests,
    open_cache,
    parse_manifest,
)
from workflows import staging
from workflows.archives import download, flow
from workflows.archives.asking import Client, Refused
from workflows.archives.flow import Item, Order
from workflows.archives.lock import claimed
from workflows.archives.wanted import Wanted, is_here
from workflows.progress import say

BUCKET = "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com"
NEWEST = "0.5.0"
COLUMNS = {"mouse": "mouse_id", "experience": "experience_level", "session type": "session_type", "units": "unit_count"}
"""Title -> column of the session table that is told of a session."""


@dataclass(frozen=True)
class Choice:
    """Which part of the release to fetch, and where from.

    Parameters
    ----------
    sessions
        Ids and rows, see :func:`~neq.readers.allen_cache.choose_sessions`; None: all; "": none.
    release
        Version; None: that of the folder, else the newest.
    abnormal
        Count and take also the sessions with abnormal histology or activity.
    source
        URL of a mirror; "" for the public bucket.
    """

    sessions: str | None = None
    release: str | None = None
    abnormal: bool = False
    source: str = ""


def fetch(choice: Choice, folder: Path, jobs: int, dry_run: bool, console: Console) -> int:
    """Fetch tables and sessions into a cache folder, or tell what it would be; return the exit code.

    Raises
    ------
    ConfigError, StoreError
        The mirror is no URL; the folder cannot be used, or is too small.
    FetchError
        The manifest or the table of sessions cannot be fetched.
    RecordingError
        They are not what they should be, or there is no such session.
    """
    with flow.connected(choice.source, f"a mirror such as {BUCKET}", console) as client, claimed(folder, dry_run):
        cache = _release(choice, folder, client)
        say(console, f"{PROJECT} {cache.manifest.version}, manifest and table of sessions in {cache.folder}")
        _session_table(cache, choice, client)
        items = [*_tables(cache, choice), *_sessions(cache, choice)]
        order = Order(folder, partial(_again, choice, folder), jobs, dry_run)
        return flow.carry_out(items, order, client, console)


def _release(choice: Choice, folder: Path, client: Client) -> AllenCache:
    """Return the cache in a folder, its manifest fetched where it is missing or damaged."""
    there = manifests(folder)
    version = choice.release or (list(there)[-1] if there else NEWEST)
    if version in there:
        try:
            return open_cache(folder, version)
        except RecordingError as error:
            client.note(str(error))
    path = there.get(version, folder / f"{PROJECT}_project_manifest_v{version}.json")
    url = f"{(choice.source or BUCKET).rstrip('/')}/{PROJECT}/manifests/{path.name}"
    try:
        text = download.read(url, client)
    except Refused as error:
        raise FetchError(f"{error}: is there a release {version}? Those known are 0.1.0 to {NEWEST}.") from error
    if (found := parse_manifest(text, url).version) != version:
        raise RecordingError(f"Expected at {url} the manifest of release {version}, found that of {found}.")
    _write(path, text)
    return open_cache(folder, version)


def _write(path: Path, text: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.write_whole(path, text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); choose another folder with --to.") from error


def _session_table(cache: AllenCache, choice: Choice, client: Client) -> None:
    """Fetch the table of sessions where it is not there."""
    wanted = next((item.wanted for item in _tables(cache, choice) if item.name == SESSION_TABLE), None)
    if wanted is None or is_here(wanted, cache.folder):
        return
    (error,) = download.fetch([wanted], cache.folder, client, lambda *counts: None)
    if error:
        raise FetchError(f"The table of sessions cannot be fetched: {error}.")


def _tables(cache: AllenCache, choice: Choice) -> list[Item]:
    return [Item(name, {}, _wanted(cache, one, choice)) for name, one in cache.manifest.tables.items()]


def _sessions(cache: AllenCache, choice: Choice) -> list[Item]:
    if choice.sessions == "":
        return []
    table = cache.sessions(choice.abnormal)
    chosen = choose_sessions(table, choice.sessions, cache.sessions(abnormal=True))
    if left_out := [one for one in chosen if not choice.abnormal and cache.leaves_out(one)]:
        remedy = _again(replace(choice, abnormal=True), cache.folder, list(map(str, chosen)))
        raise RecordingError(
            f"Session {', '.join(map(str, left_out))} is left out (abnormal histology or activity); to have it all the "
            f"same: `{remedy}`."
        )
    return [Item(str(one), _facts(table.loc[one]), _wanted(cache, cache.listed(one), choice)) for one in chosen]


def _facts(row: pd.Series) -> dict[str, str]:
    return {title: _plain(row[column]) for title, column in COLUMNS.items() if column in row}


def _plain(value: Any) -> str:
    """Return a value as text; columns with gaps hold whole numbers as floats."""
    return "" if pd.isna(value) else f"{value:.0f}" if isinstance(value, float) else str(value)


def _wanted(cache: AllenCache, listed: ListedFile, choice: Choice) -> Wanted:
    url = urlsplit(listed.url)
    base = choice.source.rstrip("/") or f"{url.scheme}://{url.netloc}"
    version = f"?versionId={quote(listed.version_id, safe='')}" if listed.version_id else ""
    return Wanted(f"{base}{url.path}{version}", cache.root / listed.path, hash=f"blake2b:{listed.file_hash.lower()}")


def _again(choice: Choice, folder: Path, names: Sequence[str]) -> str:
    """Return the command that fetches sessions and tables of these names; tables are fetched always."""
    sessions = ",".join(name for name in names if name.isdigit())
    options = {
        "--to": folder,
        "--from": choice.source,
        "--release": choice.release,
        "--abnormal": choice.abnormal,
        "--sessions": sessions,
        "--tables-only": not sessions,
    }
    return command("fetch", "allen-vbn", options=options)
