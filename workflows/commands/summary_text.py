"""What `neq run` says at its end."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from workflows import layout
from workflows.blocks.reset import INGEST_ERROR
from workflows.commands import complaints
from workflows.labels import cell_text
from workflows.progress import duration, say
from workflows.run_folder import CONFIG_NAME
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Label, Prepared, Study

MOST_ERRORS = 5


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    run_folder
        Where everything lies.
    counts
        Cells of the config by state.
    n_computed
        Cells this run computed.
    seconds
        Time it took.
    """

    run_folder: Path
    counts: dict[str, int]
    n_computed: int
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 where every cell is ok, impossible or not needed, else 1."""
        return int(bool(self.counts["failed"] or self.counts["pending"]))


def tell(outcome: Outcome, study: Study, console: Console) -> None:
    """Print the counts, why cells of the config have no value, and where everything is."""
    folder = outcome.run_folder
    took = f", {outcome.n_computed} computed in {duration(outcome.seconds)}" if outcome.n_computed else ""
    say(console, f"{counted(outcome.counts)}{took}")
    for state in ("failed", "impossible"):
        if outcome.counts[state]:
            for line in reasons(folder, study, state):
                say(console, line)
    figures = sorted((folder / "figures").glob("*.p[dn][fg]"))
    say(console, f"figures: {', '.join(str(path) for path in figures) or 'none'}")
    say(console, f"report:  {folder / 'report.html'}")
    say(console, f"dataset: {folder / STORE_NAME}")
    say(console, f'open it: import neq; ds = neq.open_run("{folder}")')
    say(console, f'     or: import xarray as xr; ds = xr.open_zarr("{folder / STORE_NAME}")')


def counted(counts: dict[str, int]) -> str:
    """Return the counts in words.

    Examples
    --------
    >>> counted({"pending": 0, "ok": 58, "failed": 0, "impossible": 2, "not_needed": 0})
    '60 cells: 58 ok, 2 impossible'
    """
    parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in ("ok", *_OTHERS) if counts[name] or name == "ok"]
    return f"{sum(counts.values())} cells: {', '.join(parts)}"


_OTHERS = ("failed", "impossible", "not_needed", "pending")


@dataclass
class _Kind:
    """Cells without a value for one reason: how many, and the first of them, or each source that cannot be read."""

    n_cell: int = 0
    members: dict[str, Prepared] = field(default_factory=dict)


def reasons(folder: Path, study: Study, state: str) -> list[str]:
    """Return why cells of the config are in a state, a line a kind: how many, message and labels of the first."""
    opened = Store.open(folder / STORE_NAME)
    wanted = opened.grid.mask({axis.name: axis.labels for axis in study.axes()})
    found = wanted & (opened.status() == layout.STATUS_NAMES.index(state))
    kinds: defaultdict[str, _Kind] = defaultdict(_Kind)
    for cell, error_type, message in _messages(opened, found):
        source = {name: cell[name] for name in _source_axes(opened)} if error_type == INGEST_ERROR else {}
        text = f"{error_type}: {message}" if state == "failed" else message
        # messages that differ by numbers alone are of one kind, and so are those of sources that fail alike
        kind = kinds[re.sub(r"\d+", "#", complaints.alike(text, source))]
        kind.n_cell += 1
        kind.members.setdefault(cell_text(source), Prepared(source or cell, error=text))
    return [*_lines(list(kinds.values()), state, folder), *(_remedies(kinds, folder) if state == "failed" else [])]


def _messages(opened: Store, found: np.ndarray) -> Iterator[tuple[dict[str, Label], str, str]]:
    """Yield the labels, type of error and message of each cell that is True in ``found``."""
    for block in opened.blocks.holding(found):
        region = opened.blocks.region(block)
        types, messages = opened.read("error_type", region), opened.read("error", region)
        for index in opened.blocks.cells(block)[found[region].ravel()]:
            place = tuple(int(i) - part.start for i, part in zip(index, region, strict=True))
            cell = opened.grid.cell(tuple(int(i) for i in index))
            yield cell, str(types[place]), str(messages[place]).partition("\n")[0]


def _source_axes(opened: Store) -> list[str]:
    return list(opened.prepared[0].labels) if opened.prepared else []


def _lines(kinds: list[_Kind], state: str, folder: Path) -> list[str]:
    """Return a line a kind, the most frequent first."""
    frequent = sorted(kinds, key=lambda kind: -kind.n_cell)
    shown = [(kind.n_cell, list(kind.members.values())) for kind in frequent[:MOST_ERRORS]]
    lines = [f"{state}, {n} x {complaints.told(group)} ({complaints.named(group)})" for n, group in shown]
    rest = sum(kind.n_cell for kind in frequent[MOST_ERRORS:])
    return [*lines, *([f"{state}, {rest} more of other kinds: {folder / 'report.html'}"] if rest else [])]


def _remedies(kinds: Iterable[str], folder: Path) -> list[str]:
    """Return how failed cells are computed again: those of a source that could not be read by any further run."""
    unread = [kind.startswith(f"{INGEST_ERROR}: ") for kind in kinds]
    lines = {
        f"compute the failed cells again: neq rerun {folder} --failed": not all(unread),
        f"when the recordings can be read, the same command goes on: neq run {folder / CONFIG_NAME}": any(unread),
    }
    return [line for line, fits in lines.items() if fits]
