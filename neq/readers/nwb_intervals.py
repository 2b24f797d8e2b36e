"""Conditions from the intervals tables of an NWB file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pydantic

from neq.errors import RecordingError
from neq.spikes.recording import epoch_table

from . import nwb_tables

Value = bool | int | float | str | None


class Rule(pydantic.BaseModel, extra="forbid", frozen=True):
    """Where the epochs of one condition are.

    Either rows of a table, or one stretch of time.
    """

    table: str | None = None
    """Table below ``intervals``: trials, epochs or one of the user's own. Each row that matches is an epoch."""
    where: dict[str, Value | list[Value]] = pydantic.Field(default_factory=dict)
    """Column -> value, or list of values, that a row must have; null: missing. All columns must match."""
    merge: bool = False
    """One epoch from the first start to the last stop of the rows instead of one per row."""
    start: float | None = None
    stop: float | None = None
    """The stretch of time (s)."""

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Rule:
        spans = self.start is not None and self.stop is not None
        if (self.table is None) != spans or (self.table is not None and (self.start, self.stop) != (None, None)):
            raise ValueError("expected either a table or both start and stop")
        if self.table is None and (self.where or self.merge):
            raise ValueError("where and merge need a table")
        return self


def epochs(file: h5py.File, rules: Mapping[str, Rule], path: Path) -> pd.DataFrame:
    """Return the epochs of every condition.

    Raises
    ------
    RecordingError
        A table or column is not there, or no row matches.
    """
    listed: list[dict[str, Any]] = []
    for condition, rule in rules.items():
        found = [(rule.start, rule.stop, -1)] if rule.table is None else _matching(file, condition, rule, path)
        listed += [{"condition": condition, "start": a, "stop": b, "trial": trial} for a, b, trial in found]
    return epoch_table(listed)


def _matching(file: h5py.File, condition: str, rule: Rule, path: Path) -> list[tuple[float, float, int]]:
    """Return start, stop and row number of each interval that matches."""
    where = f"of condition {condition!r} in {str(path)!r}"
    tables = [name for name, group in file.get("intervals", {}).items() if "start_time" in group]
    if rule.table not in tables:
        raise RecordingError(
            f"There is no intervals table {rule.table!r} {where}; there are {', '.join(tables) or 'none'}."
        )
    table = file["intervals"][rule.table]
    start, stop = (np.asarray(table[name][:], dtype=float) for name in ("start_time", "stop_time"))
    chosen = np.ones(len(start), dtype=bool)
    for column, wanted in rule.where.items():
        if column not in table:
            raise RecordingError(
                f"Table {rule.table!r} {where} has no column {column!r}; it has {', '.join(_columns(table))}."
            )
        options = wanted if isinstance(wanted, list) else [wanted]
        entries = nwb_tables.ragged(table, column, len(start))
        chosen &= [any(_equal(entry, option) for entry in row for option in options) for row in entries]
    if not chosen.any():
        raise RecordingError(f"No row of table {rule.table!r} has {rule.where} {where}; correct the condition.")
    rows = np.flatnonzero(chosen)
    if rule.merge:
        return [(float(start[rows].min()), float(stop[rows].max()), -1)]
    return [(float(start[row]), float(stop[row]), int(row)) for row in rows]


def _columns(table: h5py.Group) -> list[str]:
    return [name for name in table if not name.endswith("_index")]


def _equal(entry: Any, wanted: Value) -> bool:
    """Compare an entry of a table to a value of the options: missing by null, numbers as numbers, the rest as text."""
    if isinstance(entry, np.generic):
        entry = entry.item()
    if wanted is None:
        return entry != entry or entry in ("", "N/A", "nan")
    if isinstance(entry, str) or isinstance(wanted, str):
        return str(entry) == str(wanted)
    return bool(entry == wanted)
