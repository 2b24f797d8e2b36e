"""What could not be read, told once for all sources that fail alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from workflows.labels import cell_text
from workflows.studies.base import Label, Prepared

MOST_NAMED = 3
"""Sources of a group that are named; of the others their number is told."""
_COMMAND = re.compile(r"`[^`]*`")


def complaint(prepared: Prepared) -> str:
    """Return which source cannot be read, and why.

    Examples
    --------
    >>> complaint(Prepared({"session": "s1"}, error_type="RecordingError", error="there is no file s1.npz"))
    'session s1: there is no file s1.npz'
    """
    return f"{cell_text(prepared.labels)}: {prepared.error}"


def complaints(prepared: Sequence[Prepared]) -> list[str]:
    """Return which sources cannot be read, and why; those whose messages differ in their labels alone in one line.

    Examples
    --------
    >>> errors = {name: f"There is no file {name}.npz; `neq fetch {name}`." for name in ("s1", "s2", "s3", "s4")}
    >>> broken = [Prepared({"session": name}, error_type="E", error=error) for name, error in errors.items()]
    >>> complaints([*broken, Prepared({"session": "s5"}, path="spikes/s5.zarr")])
    ['4 recordings (session s1, s2, s3 and 1 more): There is no file {session}.npz; `neq fetch s1,s2,s3,s4`.']
    """
    return [
        complaint(group[0]) if len(group) == 1 else f"{len(group)} recordings ({named(group)}): {told(group)}"
        for group in grouped(prepared)
    ]


def grouped(prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """Return the sources that cannot be read, those together whose messages differ in their labels alone."""
    groups: dict[str, list[Prepared]] = {}
    for one in prepared:
        if one.error_type:
            groups.setdefault(alike(one.error, one.labels), []).append(one)
    return list(groups.values())


def told(group: Sequence[Prepared]) -> str:
    """Return the message of sources that fail alike, with commands that are for all of them."""
    first = group[0]
    if all(one.error == first.error for one in group):
        return first.error
    return _for_all(alike(first.error, first.labels), [one.labels for one in group])


def named(group: Sequence[Prepared]) -> str:
    """Return the names of the first of some sources, and how many more there are.

    Examples
    --------
    >>> named([Prepared({"session": name}) for name in "abcde"])
    'session a, b, c and 2 more'
    """
    texts = [cell_text(one.labels) for one in group[:MOST_NAMED]]
    if len(group[0].labels) == 1:
        texts[1:] = [text.partition(" ")[2] for text in texts[1:]]
    more = len(group) - len(texts)
    return ("; " if len(group[0].labels) > 1 else ", ").join(texts) + (f" and {more} more" if more else "")


def alike(message: str, labels: Mapping[str, Label]) -> str:
    """Return a message with the name of an axis in braces in place of its label.

    Examples
    --------
    >>> alike("There is no file data/s1.npz of s1 (s10 is there).", {"session": "s1"})
    'There is no file data/{session}.npz of {session} (s10 is there).'
    """
    for name, label in labels.items():
        # digits and letters beside it would make it another label
        message = re.sub(rf"(?<![^\W_]){re.escape(str(label))}(?![^\W_])", f"{{{name}}}", message)
    return message


def _for_all(message: str, labels: Sequence[Mapping[str, Label]]) -> str:
    """Return what :func:`alike` made with all labels, joined by commas, where one is a word of a command."""
    for name in labels[0]:
        every = ",".join(dict.fromkeys(str(one[name]) for one in labels))
        word = re.compile(rf"(?<=[\s']){re.escape(f'{{{name}}}')}(?=[\s'`])")
        message = _COMMAND.sub(lambda found, word=word, every=every: word.sub(lambda _: every, found[0]), message)
    return message
