"""What stands around lines of a summary: legends, units, completeness, and a caption that says what was averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import samples
from . import style
from .lines import LIMITS, Series, along

DARK = "#404040"


def completeness(summary: xr.Dataset) -> str:
    """Say how many cells have a value, and what became of the others.

    Examples
    --------
    >>> completeness(xr.Dataset({"n_cell": 60, "n_ok": 57, "n_impossible": 2, "n_failed": 1}))
    '57/60 cells, 2 impossible, 1 failed'
    """
    text = f"{int(summary['n_ok'].sum())}/{int(summary['n_cell'].sum())} cells"
    for state in ("impossible", "failed", "pending", "not_needed"):
        count = int(summary[f"n_{state}"].sum()) if f"n_{state}" in summary else 0
        if count:
            text += f", {count} {state.replace('_', ' ')}"
    return text


def scaling_caption(summary: xr.Dataset, value: str, drawn: list[Series], with_truth: bool) -> str:
    """Say what the points, bars and marks of these figures are."""
    held = (summary[f"{value}_n_session"] > 0).values
    repetitions = samples.span(
        summary[f"{value}_n_repetition_min"].values[held], summary[f"{value}_n_repetition_max"].values[held]
    )
    over, bars = samples.counted(summary, value), _bars(drawn, samples.of_summary(summary))
    text = f"Means over repetitions (n = {repetitions}), then over {over}; {bars}."
    if any(series.hollow.any() for series in drawn):
        text += f" Hollow: half or more of the cells are {_limits(summary)}."
        if "method" in summary.coords and "mtur" in summary["method"].values:
            text += " MTUR is not examined for this: its markers are never hollow."
    if any(series.capped.any() for series in drawn):
        text += " Cross: half or more of the cells are capped at ln n of the held-out part."
    if with_truth:
        text += " Exact values hold for the whole network only"
        text += (
            "; per spike they do not bound its subsets." if value.endswith("per_spike") else " and bound its subsets."
        )
    return f"{text} {completeness(summary)}."


def name_value(axes: Axes, value: xr.DataArray, what: str = "") -> None:
    """Name the y axis after a value, or after ``what`` of it, with its units."""
    name = what or str(value.attrs.get("long_name", value.name)).replace("_", " ")
    units = f" ({value.attrs['units']})" if value.attrs.get("units", "1") not in ("", "1") else ""
    axes.set_ylabel(style.wrapped(f"{name[:1].upper()}{name[1:]}{units}", 26))


def _bars(drawn: list[Series], sample: samples.Sample) -> str:
    """Say what the bars are."""
    sem = any((np.isfinite(series.bar) & ~series.alone).any() for series in drawn)
    spread = any((np.isfinite(series.bar) & series.alone).any() for series in drawn)
    found = [f"SEM over {sample.many}"] if sem else []
    if spread:
        found.append(f"SD over repetitions where there is one {sample.one}" if sem else "SD over repetitions")
    if any(np.isfinite(series.interval).any() for series in drawn):
        found.append("95% block bootstrap of a single cell")
    return f"bars: {', '.join(found)}" if found else f"no bars: one {sample.one}, one repetition"


def _limits(summary: xr.Dataset) -> str:
    """Name the limiting flags that occur."""
    found = [flag for flag in LIMITS if f"share_{flag}" in summary and bool((summary[f"share_{flag}"] > 0).any())]
    words = {"data_limited": "data-limited", "tail_limited": "tail-limited", "no_evidence": "without evidence"}
    return ", or half or more ".join(words[flag] for flag in found)


def add(figure: Figure, grid: list[list[Axes]], summary: xr.Dataset, with_truth: bool) -> None:
    """Put the legends above the panels, where no data are."""
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.2}
    shape: dict[str, Any] = {"handlelength": 2.6, "columnspacing": 1.2, "handletextpad": 0.6}
    handles = _handles(grid[0], summary, with_truth)
    single = len(grid[0]) == 1
    if len(grid) > 1:
        contrasts = _contrast_handles(grid[1][0])
        grid[1][0].legend(handles=contrasts, ncols=1 if single else 3, **above, **shape)
    if single and len(grid) > 1:
        grid[0][0].legend(handles=handles, ncols=2, **above, **shape)
    elif len(handles) > 1:
        figure.legend(handles=handles, loc="outside upper left", ncols=2 if single else 4, **shape)


def _contrast_handles(axes: Axes) -> list[Line2D]:
    """Return the entries of the legend of the differences."""
    names = [str(line.get_gid())[len("line:") :] for line in _with_gid(axes, "line:")]
    looks = [{"color": look["color"], "marker": look["marker"]} for look in style.CONTRASTS]
    return [Line2D([], [], label=name, **look) for name, look in zip(names, looks, strict=False)]


def _with_gid(axes: Axes, start: str) -> list[Line2D]:
    """Return the lines whose gid begins with ``start``."""
    return [line for line in axes.lines if str(line.get_gid()).startswith(start)]


def _handles(row: list[Axes], summary: xr.Dataset, with_truth: bool) -> list[Line2D]:
    """Return the entries of the legend of the conditions, then of the marks that occur."""
    conditions = [str(label) or "data" for label, _ in along(summary, "condition")]
    handles = [
        Line2D([], [], label=name, color=style.colour(i), marker=style.marker(i)) for i, name in enumerate(conditions)
    ]
    nulls = [str(label) for label, _ in along(summary, "surrogate") if label not in ("none", "")]
    for i, label in enumerate(nulls):
        look: dict[str, Any] = {"color": style.GREY, "linestyle": style.null_line(i)}
        handles.append(Line2D([], [], label=f"null: {label.replace('_', ' ')}", **look))
    if with_truth:
        handles.append(
            Line2D(
                [],
                [],
                color=DARK,
                linestyle=":",
                marker="_",
                markeredgewidth=2.4,
                markersize=12.0,
                label="exact, whole network",
            )
        )
    if _any_mark(row, "hollow:"):
        look = {"color": DARK, "marker": "o", "linestyle": "none", "markerfacecolor": "white"}
        handles.append(Line2D([], [], label="limited", **look))
    if _any_mark(row, "capped:"):
        handles.append(Line2D([], [], label="capped", color="black", marker="x", linestyle="none", markersize=7.0))
    return handles


def _any_mark(row: list[Axes], start: str) -> bool:
    """Tell whether any panel has a mark of this kind."""
    return any(len(np.atleast_1d(line.get_xdata())) for axes in row for line in _with_gid(axes, start))
