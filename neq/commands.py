"""Commands that messages tell the user to give: they can be copied into a shell as they are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def command(*words: object, options: Mapping[str, object] | None = None) -> str:
    """Return a command of ``neq``, quoted for the shell.

    Parameters
    ----------
    words
        What comes after ``neq``.
    options
        Name -> value; True for one that takes none. Those that are None, False or empty are left out.

    Examples
    --------
    >>> command("fetch", "allen-vbn", options={"--to": "my data", "--from": "", "--abnormal": True})
    "neq fetch allen-vbn --to 'my data' --abnormal"
    """
    given = {name: value for name, value in (options or {}).items() if value not in (None, False, "")}
    told = [word for name, value in given.items() for word in ((name,) if value is True else (name, value))]
    return shlex.join(["neq", *map(str, words), *map(str, told)])
