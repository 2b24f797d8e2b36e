"""Rows of a list, named as Python slices it."""

from __future__ import annotations

import re

from neq.errors import RecordingError

_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")


def rows(text: str, count: int, of: str, there: str) -> list[int]:
    """Return the numbers of the rows that a slice names, from 0.

    Parameters
    ----------
    text
        The slice, such as 0:103.
    count
        Rows there are.
    of
        What they are rows of, for messages.
    there
        What there is, for messages.

    Raises
    ------
    RecordingError
        It is no slice, or names no row.

    Examples
    --------
    >>> rows("-2:", 5, "the table of sessions", "there are 5 sessions")
    [3, 4]
    """
    found = _SLICE.fullmatch(text)
    if not found:
        raise RecordingError(f"Expected rows of {of} such as 0:103, found {text!r}; {there}.")
    step = slice(*(int(number) if number else None for number in found.groups()))
    chosen = [] if step.step == 0 else list(range(count)[step])
    if not chosen:
        raise RecordingError(f"Rows {text} of {of} are none: {there}; choose rows among them.")
    return chosen
