"""The tables of the report: points, differences, completeness, failures, cost; plain rows of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neq.variables import QUALITY_FLAGS

N_ROW = 400
"""Most rows of a table; the CSV files have all."""
N_EXAMPLE = 5
FIRST = ("entropy_production_per_spike", "entropy_production")
"""The variables told first, in this order; a table of all would be too wide to read."""
STATES = ("ok", "failed", "impossible", "pending", "not_needed")


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; ``n_hidden`` rows are left out."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_hidden: int = 0


@dataclass(frozen=True)
class Problem:
    """Cells that share a state and a message."""

    state: str
    error_type: str
    message: str
    count: int
    cells: tuple[str, ...]
    detail: str


def number(value: Any) -> str:
    """Write a number to three digits; a dash where there is none.

    Examples
    --------
    >>> number(0.0012345), number(float("nan")), number(12000.0)
    ('0.00123', '–', '12,000')
    """
    value = float(value)
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"


def plus_minus(summary: xr.Dataset, name: str) -> str:
    """Write a mean with its SEM, or with the spread over repetitions where there is one animal or session.

    Examples
    --------
    >>> values = {"ep": 0.0031648, "ep_sem": 0.000373, "ep_spread": 0.1}
    >>> plus_minus(xr.Dataset(values), "ep")
    '0.00316 ± 0.00037'
    """
    mean, sem, spread = (float(summary[f"{name}{ending}"]) for ending in ("", "_sem", "_spread"))
    error = sem if np.isfinite(sem) else spread
    if not (np.isfinite(mean) and np.isfinite(error)) or error <= 0:
        return number(mean)
    # two digits of the error, and the mean to the same place
    places = int(np.clip(1 - np.floor(np.log10(error)), 0, 9))
    told = f"{mean:.{places}f}", f"{error:.{places}f}"
    return f"{told[0]} ± {told[1]}" if np.isfinite(sem) else f"{told[0]} (SD {told[1]})"


def shown(summary: xr.Dataset, ending: str = "") -> list[str]:
    """Return the summarised variables that tables show: those told first, or all where the study has none of them."""
    have = [str(name) for name in summary.data_vars if f"{name}_sem" in summary and f"{name}_by_session" in summary]
    have = [name for name in have if name.endswith("_difference") == bool(ending)]
    return [name for first in FIRST if (name := first + ending) in have] or have


def points(summary: xr.Dataset) -> Table:
    """Return one row per point of the summary: values, interval, p, counts and flags, as far as they are there."""
    first = next(iter(summary.data_vars), None)
    dims = [str(dim) for dim in summary[first].dims] if first is not None else []
    values = shown(summary)
    plain = [] if values else [str(name) for name, array in summary.data_vars.items() if list(array.dims) == dims]
    columns: list[tuple[str, Callable[[xr.Dataset], str]]] = []
    if "n_unit" in summary:
        columns.append(("units", lambda at: number(at["n_unit"])))
    columns += [(_titled(summary, name), lambda at, name=name: plus_minus(at, name)) for name in values]
    columns += [(_titled(summary, name), lambda at, name=name: _plain(at[name].item())) for name in plain]
    if "interval_low_median" in summary:
        columns.append(("95 % interval of a cell", _interval))
    if "p_value_median" in summary:
        columns.append(("p of a cell", lambda at: number(at["p_value_median"])))
    if "entropy_production_train_median" in summary:
        columns.append(("training value of a cell", lambda at: number(at["entropy_production_train_median"])))
    if "n_transition_median" in summary and "n_parameter_median" in summary:
        columns.append(("transitions per parameter", _sufficiency))
    if values:
        columns += _counts(summary, values[0])
        columns.append(("repetitions", lambda at: _repetitions(at, values[0])))
    if "n_possible" in summary:
        columns.append(("cells", lambda at: f"{int(at['n_ok'])}/{int(at['n_possible'])}"))
        columns.append(("flags", _flags))
    return _rows(summary, dims, columns)


def differences(summary: xr.Dataset) -> Table:
    """Return one row per contrast and point: paired difference, 95 % interval, p, animals and sessions."""
    names = shown(summary, "_difference")[:1]
    if not names:
        return Table((), ())
    dims = [str(dim) for dim in summary[names[0]].dims]
    columns: list[tuple[str, Callable[[xr.Dataset], str]]] = []
    for name in names:
        columns += [
            (_titled(summary, name), lambda at, name=name: plus_minus(at, name)),
            ("95 % interval", lambda at, name=name: _range(at[f"{name}_low"], at[f"{name}_high"])),
            ("p", lambda at, name=name: number(at[f"{name}_p_value"])),
            *_counts(summary, name),
        ]
    return _rows(summary, dims, columns)


def _counts(summary: xr.Dataset, name: str) -> list[tuple[str, Callable[[xr.Dataset], str]]]:
    """Return the columns that say how many animals, where they are the sample, and sessions have a value."""
    counts = {"animals": f"{name}_n_subject", "sessions": f"{name}_n_session"}
    return [(title, lambda at, n=n: number(at[n])) for title, n in counts.items() if n in summary]


def completeness(dataset: xr.Dataset) -> Table:
    """Count the cells of each label of each axis by state."""
    status = dataset["status"]
    rows = []
    for axis in map(str, status.dims):
        others = [dim for dim in status.dims if dim != axis]
        counts = {state: (status == state).sum(others).values for state in STATES}
        for i, label in enumerate(_labels(dataset, axis)):
            rows.append((axis, label, *(number(counts[state][i]) for state in STATES)))
    header = ("axis", "label", *(state.replace("_", " ") for state in STATES))
    return Table(header, tuple(rows[:N_ROW]), max(0, len(rows) - N_ROW))


def problems(dataset: xr.Dataset) -> list[Problem]:
    """Group the cells without a value by state and message, most frequent first."""
    status = dataset["status"].values.ravel()
    texts = {name: _flat(dataset, name) for name in ("error_type", "error", "reason")}
    missing = (status == "ok") & (texts["reason"] != "")
    found = np.flatnonzero((status == "failed") | (status == "impossible") | missing)
    error = np.where(missing, texts["reason"], texts["error"])[found]
    frame = pd.DataFrame(
        {
            "cell": found,
            "state": np.where(missing, "ok, with a value missing", status)[found],
            "error_type": np.where(missing, "", texts["error_type"])[found],
            "message": [text.partition("\n")[0] for text in error],
            "detail": [text.partition("\n")[2] for text in error],
        }
    )
    groups = frame.groupby(["state", "error_type", "message"], sort=False)
    listed = [
        Problem(*key, len(group), tuple(_cell(dataset, i) for i in group["cell"][:N_EXAMPLE]), group["detail"].iloc[0])
        for key, group in groups
    ]
    return sorted(listed, key=lambda problem: (problem.state != "failed", -problem.count))


def cost(dataset: xr.Dataset) -> Table:
    """Return time and memory of the cells of each size (of all where there is no such axis)."""
    if "seconds" not in dataset:
        return Table((), ())
    axis = "size" if "size" in dataset["status"].dims else None
    parts = [("all cells", dataset)]
    if axis:
        parts += [(label, dataset.isel(size=i)) for i, label in enumerate(_labels(dataset, axis))]
    rows = []
    for label, part in parts:
        seconds = part["seconds"].values[np.isfinite(part["seconds"].values)]
        memory = part["peak_memory"].values[np.isfinite(part["peak_memory"].values)] if "peak_memory" in part else []
        middle, most = (np.median(seconds), seconds.max()) if len(seconds) else (np.nan, np.nan)
        peak = np.max(memory) if len(memory) else np.nan
        rows.append(
            (label, number(len(seconds)), f"{seconds.sum() / 3600:.3g}", number(middle), number(most), number(peak))
        )
    return Table(("size", "cells", "core-hours", "median s", "longest s", "peak MiB"), tuple(rows))


def _rows(summary: xr.Dataset, dims: list[str], columns: list[tuple[str, Callable[[xr.Dataset], str]]]) -> Table:
    """Return a row per point along ``dims``, numbers of units last but repeated for each line."""
    total = int(np.prod([summary.sizes[dim] for dim in dims])) if columns else 0
    rows = []
    for at, labels in _points(summary, dims, min(total, N_ROW)):
        rows.append((*labels, *(write(at) for _, write in columns)))
    return Table((*dims, *(title for title, _ in columns)), tuple(rows), total - len(rows))


def _points(summary: xr.Dataset, dims: list[str], n: int) -> Iterator[tuple[xr.Dataset, tuple[str, ...]]]:
    """Yield the first ``n`` points with their labels."""
    names = {dim: _labels(summary, dim) for dim in dims}
    for _, position in zip(range(n), product(*(range(summary.sizes[dim]) for dim in dims)), strict=False):
        chosen = dict(zip(dims, position, strict=True))
        yield summary.isel(chosen), tuple(names[dim][i] for dim, i in chosen.items())


def _labels(dataset: xr.Dataset, axis: str) -> list[str]:
    """Return the labels of an axis as text."""
    if axis == "size" and "size_label" in dataset.coords:
        return [str(label) for label in dataset["size_label"].values]
    return [str(label) for label in dataset[axis].values.tolist()]


def _titled(summary: xr.Dataset, name: str) -> str:
    """Return the heading of a variable: what it is, and its units."""
    attrs = summary[name].attrs
    units = f" ({attrs['units']})" if attrs.get("units", "1") not in ("", "1") else ""
    return f"{attrs.get('long_name', name)}{units}".replace("_", " ")


def _plain(value: Any) -> str:
    """Write any scalar."""
    return number(value) if isinstance(value, (int, float)) else str(value)


def _interval(at: xr.Dataset) -> str:
    return _range(at["interval_low_median"], at["interval_high_median"])


def _sufficiency(at: xr.Dataset) -> str:
    n_parameter = float(at["n_parameter_median"])
    return number(at["n_transition_median"] / n_parameter) if n_parameter > 0 else number(np.nan)


def _range(low: Any, high: Any) -> str:
    return "–" if number(low) == "–" else f"{number(low)} to {number(high)}"


def _repetitions(at: xr.Dataset, name: str) -> str:
    low, high = int(at[f"{name}_n_repetition_min"]), int(at[f"{name}_n_repetition_max"])
    return str(low) if low == high else f"{low} to {high}"


def _flags(at: xr.Dataset) -> str:
    """Write the share of cells with each flag that occurs."""
    shares = {name: float(at[f"share_{name}"]) for name in QUALITY_FLAGS if f"share_{name}" in at}
    return ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in shares.items() if share > 0)


def _flat(dataset: xr.Dataset, name: str) -> np.ndarray:
    """Return a text variable cell by cell; empty text where the run has no such variable."""
    if name not in dataset or dataset[name].dims != dataset["status"].dims:
        return np.full(dataset["status"].size, "", dtype=object)
    return np.array([str(text) for text in dataset[name].values.ravel()], dtype=object)


def _cell(dataset: xr.Dataset, flat: int) -> str:
    """Write the labels of a cell given its flat number."""
    status = dataset["status"]
    position = np.unravel_index(flat, status.shape)
    return ", ".join(f"{dim} {_labels(dataset, str(dim))[i]}" for dim, i in zip(status.dims, position, strict=True))
