"""Entropy production against the number of units, with its null, its truth and what limits it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import samples
from ..errors import NeqError
from ..summary import summarise
from . import legends, style
from .lines import Series, along, draw_conditions, draw_series, draw_truth, panels

N_PANEL = 6
"""Most panels side by side, one for each label of further axes."""


@style.styled
def scaling(
    data: xr.Dataset, value: str = "entropy_production_per_spike", truth: xr.Dataset | xr.DataArray | None = None
) -> Figure:
    """Draw a value against the number of units, one line per condition, and the paired differences of conditions.

    Parameters
    ----------
    data
        A run (:func:`neq.open_run`) or its summary (:func:`neq.summary.summarise`). The order of its labels is the
        order of the legend. Labels of ``surrogate`` other than ``none`` are drawn grey; every label of a further axis
        has its own panel.
    value
        What to draw.
    truth
        Exact values (condition,) or (session, condition) of ``value``: a DataArray, or a Dataset with the variable
        ``exact_<value>``. Its attribute, coordinate or variable ``truth_size`` is the number of units of the whole
        network, for which alone they are exact; its coordinate ``subject`` names the animals, as that of a run does.

    Returns
    -------
    Figure
        Its label is the caption. Hollow markers: half or more of the cells there are limited by data or by tails, or
        without evidence; a cross: half or more are capped.

    Examples
    --------
    >>> dims = ("session", "condition", "size", "repetition")
    >>> cells = np.arange(8.0).reshape(1, 1, 4, 2)
    >>> run = xr.Dataset({"entropy_production": (dims, cells), "status": (dims, np.full(cells.shape, "ok"))})
    >>> figure = scaling(run.assign_coords(size=[10, 20, 30, 40]), value="entropy_production")
    >>> figure.axes[0].lines[1].get_ydata().tolist()
    [0.5, 2.5, 4.5, 6.5]
    """
    summary = _summary(data, value) if "repetition" in data.dims else data
    if value not in summary:
        raise NeqError(f"cannot draw {value}: the summary holds {', '.join(map(str, summary.data_vars))}")
    if not bool(np.isfinite(summary[value]).any()):
        return style.message("Scaling", f"nothing to draw yet: {legends.completeness(summary)}")
    shown, left_out = panels(summary, value, N_PANEL)
    with_contrast = f"{value}_difference" in summary
    figure, grid = _canvas(len(shown), with_contrast)
    drawn: list[Series] = []
    for column, (title, point) in enumerate(shown):
        drawn += draw_conditions(grid[0][column], point, value)
        if truth is not None:
            _draw_truth(grid[0][column], point, value, truth)
        grid[0][column].set_title(title)
        if with_contrast:
            drawn += _draw_contrasts(grid[1][column], point, value)
    _dress(grid, summary, value)
    legends.add(figure, grid, summary, truth is not None)
    style.caption(figure, legends.scaling_caption(summary, value, drawn, truth is not None) + left_out)
    return figure


def _summary(data: xr.Dataset, value: str) -> xr.Dataset:
    """Summarise a value, and entropy production per transition, to which the intervals belong."""
    others = {"entropy_production"} & set(data.data_vars) - {value}
    return summarise(data, [value, *map(str, others)])


def _canvas(n_panel: int, with_contrast: bool) -> tuple[Figure, list[list[Axes]]]:
    """Return an empty figure and its axes by row; the two panels of a single column stand side by side."""
    beside = with_contrast and n_panel == 1
    n_row = 2 if with_contrast and not beside else 1
    n_column = 2 if beside else n_panel
    width = style.COLUMN if n_column == 1 else style.PAGE
    figure = Figure(figsize=(width, 2.4 * n_row + 0.3), layout="constrained")
    axes = figure.subplots(n_row, n_column, squeeze=False, sharey=False if beside else "row")
    return figure, [[axes[0, 0]], [axes[0, 1]]] if beside else axes.tolist()


def _draw_truth(axes: Axes, point: xr.Dataset, value: str, truth: xr.Dataset | xr.DataArray) -> None:
    """Draw the exact value of every condition in its colour."""
    for i, (condition, _) in enumerate(along(point, "condition")):
        draw_truth(axes, *_exact(truth, value, condition, samples.of_summary(point)), style.colour(i), str(condition))


def _exact(truth: xr.Dataset | xr.DataArray, value: str, condition: str, sample: samples.Sample) -> tuple[float, float]:
    """Return the exact value of a condition, averaged as the estimates are, and the size it belongs to."""
    exact = truth[f"exact_{value}"] if isinstance(truth, xr.Dataset) else truth
    size = truth.attrs["truth_size"] if "truth_size" in truth.attrs else np.mean(truth["truth_size"])
    if "condition" in exact.dims:
        exact = exact.sel(condition=condition)
    if "session" in exact.dims and "subject" in exact.coords:
        exact = sample.of(exact.rename(subject=samples.SUBJECT))
    return float(exact.mean()), float(size)


def _draw_contrasts(axes: Axes, point: xr.Dataset, value: str) -> list[Series]:
    """Draw the paired differences of the conditions of the data themselves, at the mean size of all conditions."""
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    if "surrogate" in point.dims:
        labels = point["surrogate"].values.tolist()
        point = point.isel(surrogate=labels.index("none") if "none" in labels else 0)
    name = f"{value}_difference"
    lines = point[[name, f"{name}_sem", f"{name}_spread", samples.size(point, name).name]]
    if "n_unit" in point:
        lines["n_unit"] = point["n_unit"].mean("condition")
    drawn = []
    for i, (contrast, line) in enumerate(along(lines, "contrast")[: len(style.CONTRASTS)]):
        drawn.append(Series.of(line, name))
        draw_series(axes, drawn[-1], style.CONTRASTS[i] | {"linestyle": "-", "zorder": 3}, str(contrast))
    return drawn


def _dress(grid: list[list[Axes]], summary: xr.Dataset, value: str) -> None:
    """Name the axes and start them at zero units."""
    for row, what in zip(grid, ("", "paired difference"), strict=False):
        legends.name_value(row[0], summary[value], what)
        for axes in row:
            axes.set_xlabel("Number of units" if len(row) < 5 else "Number\nof units")
            axes.xaxis.set_major_locator(MaxNLocator(6 if len(row) < 4 else 3, integer=True, steps=[1, 2, 5, 10]))
            # a panel without a single value has no extent
            axes.set_xlim(0.0, axes.dataLim.x1 * 1.06 if np.isfinite(axes.dataLim.x1) else None)
