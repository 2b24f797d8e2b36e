"""Lines of the points of a summary: means, bars, and markers that show what limits a point."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from .. import samples
from ..summary import VALUES
from . import style

LIMITS = ("data_limited", "tail_limited", "no_evidence")
"""Quality flags that make a marker hollow."""

HALF = 0.5
"""Share of the cells of a point with a flag from which on its marker shows it."""


@dataclass(frozen=True)
class Series:
    """The points of one line in ascending x (point,); ``bar`` and ``interval`` (2, point) are NaN where there is none.

    The bar is the standard error over animals or sessions, as the summary has it; over one of them (``alone``), the
    spread over repetitions. A point of a single cell, which nothing spreads, has the interval of that cell.
    """

    x: np.ndarray
    y: np.ndarray
    bar: np.ndarray
    interval: np.ndarray
    alone: np.ndarray
    hollow: np.ndarray
    capped: np.ndarray

    @classmethod
    def of(cls, summary: xr.Dataset, value: str) -> Series:
        """Take the points with a value from one line of a summary (size,)."""
        at = summary["n_unit"] if "n_unit" in summary else summary["size"].where(summary["size"] > 0)
        x, y = at.values.astype(float), summary[value].values.astype(float)
        order = np.argsort(x)
        keep = order[(np.isfinite(x) & np.isfinite(y))[order]]
        alone = samples.size(summary, value).values[keep] < 2
        bar = np.where(alone, summary[f"{value}_spread"].values[keep], summary[f"{value}_sem"].values[keep])
        hollow = _share(summary, LIMITS)[keep] >= HALF
        interval = _interval(summary, value)[:, keep]
        return cls(x[keep], y[keep], bar, interval, alone, hollow, _share(summary, ("capped",))[keep] >= HALF)


def along(data: xr.Dataset, dim: str) -> list[tuple[Any, xr.Dataset]]:
    """Return label and part for each label of an axis; the whole, labelled "", where there is no such axis."""
    if dim not in data.dims:
        return [("", data)]
    return [(label, data.sel({dim: label})) for label in data[dim].values.tolist()]


def panels(summary: xr.Dataset, value: str, most: int, axis: str = "size") -> tuple[list[tuple[str, xr.Dataset]], str]:
    """Return title and part of each panel, ``most`` of them at most, and a sentence where some are left out.

    A panel holds the axes ``condition``, ``surrogate``, ``size`` and ``axis``; each label of the others has its own.
    """
    extra = [str(dim) for dim in summary[value].dims if dim not in ("condition", "surrogate", "size", axis)]
    every = list(product(*(summary[dim].values.tolist() for dim in extra)))
    shown = []
    for labels in every[:most]:
        named = dict(zip(extra, labels, strict=True))
        title = "\n".join(label if isinstance(label, str) else f"{dim} {label:g}" for dim, label in named.items())
        shown.append((title.replace("_", " "), summary.sel(named)))
    return shown, f" Shown: {most} of {len(every)} panels." if len(every) > most else ""


def draw_conditions(axes: Axes, panel: xr.Dataset, value: str) -> list[Series]:
    """Draw the lines of one panel: every condition in its colour, its nulls grey with the same marker."""
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    drawn = []
    for i, (condition, mine) in enumerate(along(panel, "condition")):
        n_null = 0
        for surrogate, line in along(mine, "surrogate"):
            look: dict[str, Any] = {"color": style.colour(i), "marker": style.marker(i), "linestyle": "-", "zorder": 3}
            if surrogate not in ("none", ""):
                look |= {"color": style.GREY, "linestyle": style.null_line(n_null), "zorder": 2}
                n_null += 1
            drawn.append(Series.of(line, value))
            draw_series(axes, drawn[-1], look, f"{condition}:{surrogate}")
    return drawn


def draw_series(axes: Axes, series: Series, look: dict[str, Any], name: str) -> None:
    """Draw one line; its parts carry ``<part>:<name>`` as gid (line, bars, interval, filled, hollow, capped)."""
    colour, level = look["color"], look["zorder"]
    axes.plot(series.x, series.y, color=colour, linestyle=look["linestyle"], zorder=level, gid=f"line:{name}")
    has_bar = np.isfinite(series.bar)
    if has_bar.any():
        x, y, bar = series.x[has_bar], series.y[has_bar], series.bar[has_bar]
        bars = axes.errorbar(x, y, yerr=bar, color=colour, zorder=level, elinewidth=1.0, capsize=2.0, linestyle="none")
        bars[2][0].set_gid(f"bars:{name}")
    known = np.isfinite(series.interval).all(axis=0)
    if known.any():
        ends = series.interval[:, known]
        axes.vlines(series.x[known], *ends, color=colour, zorder=level, linewidth=1.0, gid=f"interval:{name}")
    for part, here, face in (("filled", ~series.hollow, colour), ("hollow", series.hollow, "white")):
        dots = {"linestyle": "none", "marker": look["marker"], "color": colour, "markerfacecolor": face}
        axes.plot(series.x[here], series.y[here], zorder=level + 2, gid=f"{part}:{name}", **dots)
    cross: dict[str, Any] = {"linestyle": "none", "marker": "x", "color": "black", "markersize": 7.0}
    axes.plot(series.x[series.capped], series.y[series.capped], zorder=level + 3, gid=f"capped:{name}", **cross)


def draw_truth(axes: Axes, level: float, size: float, colour: str, name: str) -> None:
    """Draw an exact value as a short mark at the size for which it is exact, and a thin dotted line for comparison."""
    axes.axhline(level, color=colour, linestyle=":", linewidth=0.8, zorder=1, gid=f"limit:{name}")
    mark: dict[str, Any] = {"marker": "_", "markersize": 14.0, "markeredgewidth": 2.4, "linestyle": "none"}
    axes.plot([size], [level], color=colour, zorder=6, gid=f"truth:{name}", **mark)


def _interval(summary: xr.Dataset, value: str) -> np.ndarray:
    """Return the ends of the bootstrap interval of points that are a single cell (2, size), in the value's units."""
    ends = np.full((2, summary.sizes["size"]), np.nan)
    names = ("entropy_production", "interval_low_median", "interval_high_median")
    if value not in VALUES or any(name not in summary for name in names):
        return ends
    whole, *medians = (summary[name].values.astype(float) for name in names)
    # intervals are those of a transition; a rate or a value per spike is the same in other units
    factor = np.divide(summary[value].values, whole, out=np.full_like(whole, np.nan), where=whole != 0)
    single = (summary[f"{value}_n_session"] == 1) & (summary[f"{value}_n_repetition_max"] == 1)
    return np.where(single.values, factor * np.stack(medians), ends)


def _share(summary: xr.Dataset, flags: tuple[str, ...]) -> np.ndarray:
    """Return the largest share of cells with one of the flags (size,); 0 where none was examined."""
    shares = [np.zeros(summary.sizes["size"])]
    shares += [np.nan_to_num(summary[f"share_{flag}"].values) for flag in flags if f"share_{flag}" in summary]
    return np.max(shares, axis=0)
