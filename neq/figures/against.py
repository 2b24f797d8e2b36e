"""A value against an axis of numbers, such as the lag, one line per condition."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import NeqError
from . import legends, style
from .lines import Series, draw_conditions, panels

N_PANEL = 4
"""Most panels side by side, one for each label of further axes."""


@style.styled
def against(summary: xr.Dataset, axis: str = "lag", value: str = "entropy_production_rate") -> Figure:
    """Draw a value against the labels of a numeric axis, at the largest number of units.

    Parameters
    ----------
    summary
        As :func:`neq.summary.summarise` returns it. Labels of ``surrogate`` other than ``none`` are drawn grey; further
        axes have a panel for each label.
    axis
        The axis, with numbers as labels.
    value
        What to draw.

    Returns
    -------
    Figure
        Its label is the caption. Marks are those of :func:`~neq.figures.scaling.scaling`.

    Examples
    --------
    >>> dims = ("session", "condition", "lag", "size", "repetition")
    >>> cells = np.array([3.0, 5.0, 2.0, 4.0]).reshape(1, 1, 2, 1, 2)
    >>> run = xr.Dataset({"entropy_production": (dims, cells), "status": (dims, np.full(cells.shape, "ok"))})
    >>> from neq.summary import summarise
    >>> summary = summarise(run.assign_coords(lag=[1, 2], size=[10]))
    >>> against(summary, "lag", "entropy_production").axes[0].lines[1].get_ydata().tolist()
    [4.0, 3.0]
    """
    missing = [name for name in (value, axis) if name not in summary.variables]
    if missing or axis not in summary[value].dims:
        raise NeqError(f"cannot draw {value} against {axis}: expected both in the summary, {axis} as an axis of it")
    point = summary.isel(size=int(np.argmax(_sizes(summary)))) if "size" in summary.dims else summary
    if not bool(np.isfinite(point[value]).any()):
        return style.message(axis, f"nothing to draw yet: {legends.completeness(point)}")
    shown, left_out = panels(point, value, N_PANEL, axis)
    width = style.COLUMN if len(shown) == 1 else style.PAGE
    figure = Figure(figsize=(width, 2.7), layout="constrained")
    row = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0].tolist()
    drawn: list[Series] = []
    for axes, (title, panel) in zip(row, shown, strict=True):
        drawn += draw_conditions(axes, _as_sizes(panel, axis), value)
        axes.set_title(title)
    legends.name_value(row[0], point[value])
    _name_labels(row, axis, np.asarray(point[axis].values, dtype=float))
    legends.add(figure, [row], point, False)
    at = f" At N = {np.nanmax(point['n_unit'].values):g}." if "n_unit" in point else ""
    style.caption(figure, legends.scaling_caption(point, value, drawn, False) + at + left_out)
    return figure


def _sizes(summary: xr.Dataset) -> np.ndarray:
    """Return the largest number of units at each size (size,); -1 where no cell has a value."""
    if "n_unit" not in summary:
        return np.asarray(summary["size"].values, dtype=float)
    others = [dim for dim in summary["n_unit"].dims if dim != "size"]
    largest: np.ndarray = summary["n_unit"].max(others).fillna(-1.0).values
    return largest


def _as_sizes(panel: xr.Dataset, axis: str) -> xr.Dataset:
    """Return a panel with the labels of its axis where a series looks for numbers of units."""
    bare = panel.drop_vars(["size", "size_label", "n_unit"], errors="ignore")
    return bare.rename({axis: "size"})


def _name_labels(row: list[Axes], axis: str, labels: np.ndarray) -> None:
    """Name the axis, with a tick at each label; logarithmic where labels (label,) reach far."""
    own = {"lag": "Lag (bins)", "bin_size": "Bin size (s)"}
    for axes in row:
        axes.set_xlabel(own.get(axis, axis.replace("_", " ").capitalize()))
        if labels.min() > 0 and labels.max() > 4 * labels.min():
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(labels, [f"{label:g}" for label in labels])
