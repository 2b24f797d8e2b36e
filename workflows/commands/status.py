"""How far a run is, from its files alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflows import dashboard, layout, lease
from workflows.blocks import owners
from workflows.grid import Grid, shown_label
from workflows.progress import duration
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Axis, Label

RUNNING = "running"
STATES = ("ok", "failed", "impossible", "not_needed", RUNNING, "pending")
MOST_ROWS = 12
"""Longer axes are shown in ranges of labels."""
_NO_STATE = 255


@dataclass(frozen=True)
class Row:
    """The cells of one label of an axis, or of a range of them, by state."""

    axis: str
    label: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    Parameters
    ----------
    counts
        Cells by state; ``running`` are those a worker is in.
    rows
        The same along each axis.
    driver
        Who drives the run (host, pid, since, progress), None where nobody does.
    left_out
        Labels of the store that its present config leaves out, by axis; their cells are counted, but no figure has
        them.
    submitted
        Ids of the batch jobs that were submitted for it, and have not ended as far as they have told.
    tasks
        How many of them compute without a driver; 0: none.
    ended
        Why the jobs that were submitted for it go on no more, though it is not done; empty where there are none.
    begun
        Whether there are cells yet.
    """

    run_folder: Path | Any
    counts: dict[str, int]
    rows: list[Row]
    driver: dict[str, Any] | None
    left_out: dict[str, list[str]] = field(default_factory=dict)
    submitted: tuple[int, ...] = ()
    begun: bool = True
    tasks: int = 0
    ended: str = ""

    @property
    def n_left(self) -> int:
        """Cells without a result."""
        return self.counts["pending"] + self.counts[RUNNING]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.begun and not self.n_left


def look(run_folder: Path) -> Snapshot:
    """Return how a run stands now; reads one small array and the driver's notes.

    Raises
    ------
    neq.errors.StoreError
        There is no sweep in this folder, or its status cannot be read.
    """
    driver = lease.current(run_folder)
    path = run_folder / STORE_NAME
    submitted, tasks, ended = _submitted(run_folder)
    if (driver is not None or submitted) and not path.exists():
        return Snapshot(run_folder, dict.fromkeys(STATES, 0), [], driver, {}, submitted, False, tasks)
    opened = Store.open(path)
    codes = np.array([STATES.index(name) for name in layout.STATUS_NAMES], "u1")
    states = codes[opened.status()]
    if driver is not None or submitted:
        for place in running(opened, run_folder):
            if states[place] == STATES.index("pending"):
                states[place] = STATES.index(RUNNING)
    states[~opened.wanted & (states == STATES.index("pending"))] = _NO_STATE
    rows = list(_rows(opened.grid, states))
    return Snapshot(run_folder, _counts(states), rows, driver, opened.left_out, submitted, True, tasks, ended)


def running(opened: Store, run_folder: Path) -> Iterator[tuple[int, ...]]:
    """Yield the place in the grid of the cell that each owner of a block began last."""
    for block, number in owners.running(run_folder):
        region, local = opened.blocks.region(block), opened.blocks.local(number)
        yield tuple(part.start + i for part, i in zip(region, local, strict=True))


def show(snapshot: Snapshot) -> RenderableType:
    """Return what `neq status` prints."""
    text = Text("\n".join([headline(snapshot), *about(snapshot)]))
    return Group(text, table(snapshot)) if snapshot.rows else text


def about(snapshot: Snapshot, pace: str = "") -> list[str]:
    """Return who drives the run, how fast and from where to watch it, or how to go on.

    Parameters
    ----------
    pace
        How fast it goes and how long it will take, where that is known better than the driver's mean since its start.
    """
    left_out = [f"left out by the config: {axis} {', '.join(labels)}" for axis, labels in snapshot.left_out.items()]
    return [*_driver(snapshot, pace), *left_out]


def table(snapshot: Snapshot) -> Table:
    """Return the cells along each axis by state."""
    shown = [state for state in STATES if snapshot.counts[state] or state in ("ok", "failed", "pending")]
    made = Table(box=box.SIMPLE, pad_edge=False)
    made.add_column("axis")
    made.add_column("label")
    for state in shown:
        made.add_column(state.replace("_", " "), justify="right")
    last = ""
    for row in snapshot.rows:
        made.add_row("" if row.axis == last else row.axis, row.label, *(str(row.counts[state]) for state in shown))
        last = row.axis
    return made


def headline(snapshot: Snapshot) -> str:
    """Return the counts of all cells in one line."""
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in snapshot.counts.items() if n)
    if not snapshot.begun:
        return f"{snapshot.run_folder}: no cells yet"
    return f"{snapshot.run_folder}: {sum(snapshot.counts.values())} cells{': ' if counts else ''}{counts}"


def _driver(snapshot: Snapshot, pace: str) -> list[str]:
    driver = snapshot.driver
    if driver is None:
        if snapshot.n_left and not isinstance(snapshot.run_folder, Path):
            return [f"nobody drives it; go on: neq fetch {snapshot.run_folder}, then neq run with the config in there"]
        config = snapshot.run_folder / "config.yaml"
        if snapshot.submitted and not snapshot.finished:
            ids = ",".join(map(str, snapshot.submitted))
            if snapshot.tasks and snapshot.counts[RUNNING]:
                return [f"tasks of jobs {ids} compute it, without a driver; see squeue -j {ids}"]
            return [f"jobs {ids} were submitted for it, none of them works on it now; see squeue -j {ids}"]
        if snapshot.finished:
            return ["finished"]
        why = f"its jobs have ended, {snapshot.ended}: see their logs in {config.parent / 'jobs'}\n"
        return [f"{why if snapshot.ended else ''}nobody drives it; go on: neq run {config}"]
    progress = driver["progress"]
    since = duration(max(0.0, time.time() - driver["since"]))
    lines = [f"driven by process {driver['pid']} on {driver['host']} for {since}"]
    if progress.get("stage") == "ingest":
        lines += [f"ingest: {progress['done']} of {progress['total']} recordings"]
    if "n_worker" in progress:
        workers = f"{progress['n_worker']} worker{'s' if progress['n_worker'] != 1 else ''}"
        lines += [", ".join(filter(None, [workers, pace or _pace(progress)]))]
    lines += [f"{name}: {progress[name]}" for name in ("jobs", "ended") if progress.get(name)]
    return [*lines, *dashboard.labelled(progress.get("dashboard") or [])]


def _pace(progress: Mapping[str, Any]) -> str:
    """Return the driver's mean rate, and how long the rest takes at it; empty while nothing is done."""
    rate = progress.get("rate") or 0.0
    if rate <= 0:
        return ""
    return f"{rate:.3g} cells/s, {duration((progress['n_cell'] - progress['n_done']) / rate)} left"


def _submitted(run_folder: Path) -> tuple[tuple[int, ...], int, str]:
    """Return the ids of the jobs that work on a run or wait to, how many are tasks of an array, and why they ended."""
    note = run_folder / "jobs" / "submitted.json"
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        ended = content.get("end", "")
        return () if ended else tuple(content["jobs"].values()), content.get("tasks", 0), ended
    except (OSError, ValueError, KeyError):
        return (), 0, ""


def _counts(states: np.ndarray) -> dict[str, int]:
    found = np.bincount(states.ravel(), minlength=256)
    return {name: int(found[code]) for code, name in enumerate(STATES)}


def _rows(grid: Grid, states: np.ndarray) -> Iterator[Row]:
    """Yield the counts along each axis with more than one label, long axes in ranges."""
    for position, axis in enumerate(grid.axes):
        if len(axis.labels) == 1:
            continue
        for part in np.array_split(_in_order(axis), min(MOST_ROWS, len(axis.labels))):
            ends = dict.fromkeys(shown_label(axis.name, axis.labels[i]) for i in (part[0], part[-1]))
            yield Row(axis.name, " to ".join(ends), _counts(states.take(part, axis=position)))


def _in_order(axis: Axis) -> np.ndarray:
    """Return the places of the labels: as the config has them, and where they are shown in ranges ascending.

    A store that has grown has new labels at its end, where no range of a reader's would look for them.
    """
    places = range(len(axis.labels))
    return np.array(places if len(places) <= MOST_ROWS else sorted(places, key=lambda i: _rank(axis.labels[i])))


def _rank(label: Label) -> tuple[Any, ...]:
    """Return what labels are sorted by: numbers as numbers, also within names.

    Examples
    --------
    >>> sorted(["s10", "s9", "t1"], key=_rank), sorted([10, 9], key=_rank)
    (['s9', 's10', 't1'], [9, 10])
    """
    if not isinstance(label, str):
        return (label,)
    parts = re.split(r"(\d+)", label)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))
