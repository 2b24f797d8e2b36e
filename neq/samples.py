"""What the errors of a summary are taken over: animals where they are known, else sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

SUBJECT = "session_subject"
"""Coordinate on ``session`` of a summary: the animal of each session, "" where it is not known."""


@dataclass(frozen=True)
class Sample:
    """What is taken to be independent.

    Parameters
    ----------
    dim
        ``"subject"`` or ``"session"``.
    note
        Why it is sessions, where it is.
    """

    dim: str
    note: str = ""

    @property
    def one(self) -> str:
        """What one of it is called."""
        return "animal" if self.dim == "subject" else "session"

    @property
    def many(self) -> str:
        """What several of it are called."""
        return f"{self.one}s"

    def of(self, by_session: xr.DataArray) -> xr.DataArray:
        """Return the values of the sample: as they are, or the mean of each animal's sessions that have one.

        Examples
        --------
        >>> by_session = xr.DataArray([1.0, 3.0, 7.0], dims="session", coords={SUBJECT: ("session", ["a", "a", "b"])})
        >>> Sample("subject").of(by_session).values.tolist(), Sample("session").of(by_session).values.tolist()
        ([2.0, 7.0], [1.0, 3.0, 7.0])
        """
        if self.dim == "session":
            return by_session
        subjects = by_session[SUBJECT].values.tolist()
        known = list(dict.fromkeys(name for name in subjects if name))
        rows = [np.flatnonzero([one == name for one in subjects]) for name in known]
        means = [by_session.isel(session=row).mean("session") for row in rows]
        whole = xr.concat(
            means, xr.Variable("subject", np.array(known, dtype=str)), coords="minimal", compat="override"
        )
        return whole.transpose(*("subject" if dim == "session" else dim for dim in by_session.dims))


def with_subjects(dataset: xr.Dataset) -> xr.Dataset:
    """Return a run with the animals of its sessions under the name they have in a summary, "" where they are unknown.

    Examples
    --------
    >>> with_subjects(xr.Dataset(coords={"session": ["s1"], "subject": ("session", ["m1"])}))[SUBJECT].values.tolist()
    ['m1']
    """
    found = dataset["subject"].values if "subject" in dataset.coords else ""
    names = np.broadcast_to(np.array(found, dtype=str), dataset.sizes["session"])
    return dataset.drop_vars("subject", errors="ignore").assign_coords({SUBJECT: ("session", names)})


def find(cells: Iterable[xr.DataArray]) -> Sample:
    """Say what the sample is: animals where every session with a value has one and they are not all of one animal.

    Parameters
    ----------
    cells
        What is summarised, NaN where there is no value, with the coordinate :data:`SUBJECT`.

    Examples
    --------
    >>> def sample(*names):
    ...     return find([xr.DataArray([1.0, 2.0], dims="session", coords={SUBJECT: ("session", list(names))})])
    >>> sample("m1", "m2"), sample("m1", "")
    (Sample(dim='subject', note=''), Sample(dim='session', note='not all have animal ids'))
    >>> sample("m1", "m1"), sample("", "")
    (Sample(dim='session', note='of one animal'), Sample(dim='session', note='no animal ids'))
    """
    subjects: set[str] = set()
    for one in cells:
        there = one.notnull().any([dim for dim in one.dims if dim != "session"])
        subjects |= set(one[SUBJECT].values[there.values].tolist())
    if "" in subjects or not subjects:
        return Sample("session", "not all have animal ids" if subjects - {""} else "no animal ids")
    return Sample("subject") if len(subjects) > 1 else Sample("session", "of one animal")


def of_summary(summary: xr.Dataset) -> Sample:
    """Return the sample of a summary, which its attributes tell."""
    return Sample(summary.attrs.get("sample", "session"), summary.attrs.get("sample_note", ""))


def size(summary: xr.Dataset, name: str) -> xr.DataArray:
    """Return how many of the sample have a value ``name``, at each point of a summary."""
    return summary[f"{name}_n_{of_summary(summary).dim}"]


def counted(summary: xr.Dataset, name: str) -> str:
    """Say how many animals and sessions the points of a summary are means over.

    Examples
    --------
    >>> counts = {"ep_n_session": ("size", [5, 3]), "ep_n_subject": ("size", [2, 2])}
    >>> counted(xr.Dataset(counts, attrs={"sample": "subject"}), "ep")
    '2 animals (3 to 5 sessions)'
    >>> counted(xr.Dataset(counts, attrs={"sample": "session", "sample_note": "no animal ids"}), "ep")
    '3 to 5 sessions (no animal ids)'
    """
    sample, held = of_summary(summary), (summary[f"{name}_n_session"] > 0).values
    sessions = _number(summary[f"{name}_n_session"].values[held], "session")
    if sample.dim == "subject":
        return f"{_number(summary[f'{name}_n_subject'].values[held], 'animal')} ({sessions})"
    return f"{sessions} ({sample.note})" if sample.note and sessions != "1 session" else sessions


def span(low: np.ndarray, high: np.ndarray | None = None) -> str:
    """Write the range of a count.

    Examples
    --------
    >>> span(np.array([3, 5])), span(np.array([4, 4]))
    ('3 to 5', '4')
    """
    first, last = int(np.min(low)), int(np.max(low if high is None else high))
    return str(first) if first == last else f"{first} to {last}"


def _number(counts: np.ndarray, what: str) -> str:
    """Write a range of counts with what is counted."""
    return f"{span(counts)} {what}{'' if np.max(counts) == 1 else 's'}"
