"""The table of sessions of the Visual Behavior Neuropixels release, and which of them are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neq.errors import RecordingError

from .rows import rows

ABNORMAL = ("abnormal_histology", "abnormal_activity")
"""Columns that are empty for the sessions that the AllenSDK gives by default."""


def read_sessions(path: Path, remedy: str, abnormal: bool = False) -> pd.DataFrame:
    """Return the table of sessions in a file, indexed by their id.

    Parameters
    ----------
    path
        The file.
    remedy
        Command that fetches it anew, for messages.
    abnormal
        Also sessions with abnormal histology or activity.

    Raises
    ------
    RecordingError
        The file is missing, unreadable, without a column that is needed, or does not give each session an id.
    """
    try:
        table = pd.read_csv(path, dtype={"mouse_id": str})
    except FileNotFoundError as error:
        raise RecordingError(f"The table of sessions {str(path)!r} is missing; fetch it: `{remedy}`.") from error
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"The table of sessions {str(path)!r} cannot be read ({str(error).strip()}); delete it and `{remedy}`."
        ) from error
    needed = ["ecephys_session_id", "file_id", *(() if abnormal else ABNORMAL)]
    if missing := [name for name in needed if name not in table]:
        raise RecordingError(
            f"The table of sessions {str(path)!r} has no column {', '.join(missing)}; "
            "use the newest release (0.5.0), whose rows the numbers of published results refer to."
        )
    table = _with_whole_ids(table, path, remedy)
    kept = table if abnormal else table[table[list(ABNORMAL)].isna().all(axis=1)]
    return kept.set_index("ecephys_session_id")


def _with_whole_ids(table: pd.DataFrame, path: Path, remedy: str) -> pd.DataFrame:
    """Return the table with its ids as integers; a session may have no file, but no session is without id."""
    try:
        whole = table.assign(**{name: table[name].astype("Int64") for name in ("ecephys_session_id", "file_id")})
        if whole["ecephys_session_id"].duplicated().any():
            raise ValueError("an id occurs twice")
        return whole.astype({"ecephys_session_id": "int64"})
    except (TypeError, ValueError) as error:
        raise RecordingError(
            f"The table of sessions {str(path)!r} does not give each session an ecephys_session_id of its own and a "
            f"file_id ({error}); delete it and `{remedy}`."
        ) from error


def choose_sessions(
    table: pd.DataFrame, wanted: str | Sequence[str | int] | None, listed: pd.DataFrame | None = None
) -> list[int]:
    """Return the ids of the sessions that are wanted, each once, in the order in which they are named.

    Parameters
    ----------
    table
        Sessions there are.
    wanted
        Ids and slices of rows as Python writes them, also as one text with commas; None: all.
    listed
        Sessions that may be named by their id, though rows do not count them; by default those of ``table``.

    Raises
    ------
    RecordingError
        There is no such id, or a slice names no row.

    Examples
    --------
    >>> table = pd.DataFrame(index=[901, 905, 903])
    >>> choose_sessions(table, "0:2"), choose_sessions(table, "903,0:2"), choose_sessions(table, [905])
    ([901, 905], [903, 901, 905], [905])
    """
    if wanted is None:
        return [int(known) for known in table.index]
    parts = wanted.split(",") if isinstance(wanted, str) else [str(one) for one in wanted]
    known = table if listed is None else listed
    chosen = [session for part in parts for session in _named(table, part.strip(), known)]
    return list(dict.fromkeys(chosen))


def _named(table: pd.DataFrame, part: str, listed: pd.DataFrame) -> list[int]:
    """Return the ids that one id or slice of rows names."""
    there = f"there are {len(table)} sessions"
    there += f", {table.index[0]} to {table.index[-1]}" if len(table) else ""
    if ":" in part:
        return [int(table.index[row]) for row in rows(part, len(table), "the table of sessions", there)]
    if not re.fullmatch(r"\d+", part):
        raise RecordingError(f"Expected the id of a session or rows such as 0:103, found {part!r}; {there}.")
    if int(part) not in listed.index:
        raise RecordingError(f"There is no session {part}: {there}; `neq fetch allen-vbn --dry-run` lists them.")
    return [int(part)]
