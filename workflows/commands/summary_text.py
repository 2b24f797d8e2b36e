"""What `neq run` says at its end."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from workflows import layout
from workflows.grid import shown_label
from workflows.progress import duration, say
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Study

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
    if outcome.counts["failed"]:
        say(console, f"compute the failed cells again: neq rerun {folder} --failed")
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


def reasons(folder: Path, study: Study, state: str) -> list[str]:
    """Return why cells of the config are in a state, a line a kind: how many, message and labels of the first."""
    opened = Store.open(folder / STORE_NAME)
    wanted = opened.grid.mask({axis.name: axis.labels for axis in study.axes()})
    found = wanted & (opened.status() == layout.STATUS_NAMES.index(state))
    kinds: Counter[str] = Counter()
    first: dict[str, str] = {}
    for block in opened.blocks.holding(found):
        region = opened.blocks.region(block)
        types, messages = opened.read("error_type", region), opened.read("error", region)
        for index in opened.blocks.cells(block)[found[region].ravel()]:
            place = tuple(int(i) - part.start for i, part in zip(index, region, strict=True))
            message = str(messages[place]).partition("\n")[0]
            if state == "failed":
                message = f"{types[place]}: {message}"
            # messages that differ by numbers alone are of one kind
            kind = re.sub(r"\d+", "#", message)
            kinds[kind] += 1
            first.setdefault(kind, f"{message} ({cell_text(opened.grid.cell(tuple(int(i) for i in index)))})")
    lines = [f"{state}, {n} x {first[kind]}" for kind, n in kinds.most_common(MOST_ERRORS)]
    rest = sum(kinds.values()) - sum(n for _, n in kinds.most_common(MOST_ERRORS))
    return [*lines, *([f"{state}, {rest} more of other kinds: {folder / 'report.html'}"] if rest else [])]


def cell_text(cell: dict[str, str | int | float]) -> str:
    """Return the labels of a cell as people read them.

    Examples
    --------
    >>> cell_text({"session": "s1", "size": 0})
    'session s1, size all'
    """
    return ", ".join(f"{name} {shown_label(name, label)}" for name, label in cell.items())
