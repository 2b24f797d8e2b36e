"""Entropy production by interaction order, and what each order adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import NeqError
from ..variables import QUALITY_FLAGS, quality_bits
from . import style
from .lines import along

if TYPE_CHECKING:
    from ..estimators.order_result import OrderDecompositionResult

PANELS = (
    ("order_entropy_production", ("order_interval_low", "order_interval_high"), "Entropy production"),
    ("order_increment", ("order_increment_low", "order_increment_high"), "Increment"),
)
"""The value of each panel, the ends of its interval, and its name."""


@style.styled
def orders(data: xr.Dataset | OrderDecompositionResult, title: str = "") -> Figure:
    """Draw held-out entropy production up to each interaction order, and the increments with their paired intervals.

    Parameters
    ----------
    data
        A result, or a Dataset with the variables of :func:`orders_dataset` along ``order``; several labels of
        ``condition`` are drawn side by side.
    title
        Stands above the panels.

    Returns
    -------
    Figure
        Its label is the caption. Order 1 telescopes and is drawn on grey: it checks for drift. Hollow: validation
        data preferred the order below.

    Examples
    --------
    >>> data = xr.Dataset(coords={"order": [1, 2]})
    >>> for name, values in {"": (0.0, 0.1), "_low": (-0.01, 0.08), "_high": (0.01, 0.12)}.items():
    ...     data["order_increment" + name] = "order", list(values)
    ...     data["order_interval" + name if name else "order_entropy_production"] = "order", list(values)
    >>> [axes.get_ylabel().split()[0] for axes in orders(data).axes]
    ['Entropy', 'Increment']
    """
    dataset = data if isinstance(data, xr.Dataset) else orders_dataset(data)
    missing = [name for value, ends, _ in PANELS for name in (value, *ends) if name not in dataset]
    extra = set(dataset.get("order_increment", xr.DataArray()).dims) - {"order", "condition"}
    if missing or extra:
        found = f"lack {', '.join(missing)}" if missing else f"have the dimensions {', '.join(sorted(map(str, extra)))}"
        raise NeqError(f"the orders of one cell are drawn, along order (and condition); these data {found}")
    if not bool(np.isfinite(dataset["order_increment"]).any()):
        return style.message("Orders", "nothing to draw: no order has a value")
    figure = Figure(figsize=(style.WIDE, 2.4), layout="constrained")
    for axes, (value, ends, name) in zip(figure.subplots(1, 2), PANELS, strict=True):
        _draw(axes, dataset, value, ends)
        axes.set_ylabel(f"{name} (nats)")
    _head(figure, dataset, title)
    style.caption(figure, _caption(dataset))
    return figure


def orders_dataset(result: OrderDecompositionResult) -> xr.Dataset:
    """Return a decomposition as the Dataset that :func:`orders` draws: one row per ``order``.

    Examples
    --------
    >>> from neq import OrderDecomposition, Transitions
    >>> spikes = np.random.default_rng(0).random((2000, 3)) < 0.3
    >>> sorted(orders_dataset(OrderDecomposition().fit(Transitions.from_spikes(spikes))).data_vars)[:2]
    ['order_entropy_production', 'order_entropy_production_train']
    """
    columns = {
        "order_entropy_production": result.entropy_production,
        "order_entropy_production_train": result.entropy_production_train,
        "order_interval_low": result.interval[:, 0],
        "order_interval_high": result.interval[:, 1],
        "order_increment": result.increment,
        "order_increment_low": result.increment_interval[:, 0],
        "order_increment_high": result.increment_interval[:, 1],
        "order_quality": [quality_bits(flags) for flags in result.quality],
    }
    return xr.Dataset({name: ("order", column) for name, column in columns.items()}, {"order": result.order})


def _draw(axes: Axes, dataset: xr.Dataset, value: str, ends: tuple[str, str]) -> None:
    """Draw one panel: markers with intervals, order 1 set apart."""
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    axes.axvspan(0.5, 1.5, color="#EEEEEE", linewidth=0.0, zorder=0)
    middle_of_span: Any = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top", "color": "#404040"}
    axes.text(1.0, 0.97, "drift\ncheck", **middle_of_span)
    lines = along(dataset, "condition")
    for i, (name, line) in enumerate(lines):
        order = line["order"].values + 0.12 * (i - (len(lines) - 1) / 2)
        middle = line[value].values
        low, high = (line[end].values for end in ends)
        look: dict[str, Any] = {"color": style.colour(i), "linestyle": "none", "zorder": 3}
        # an interval need not hold its value: that of an order turned down belongs to the candidate
        axes.vlines(order, low, high, color=look["color"], linewidth=1.2, zorder=2, gid=f"intervals:{name}")
        for k, turned_down in enumerate(_turned_down(line)):
            face = "white" if turned_down else look["color"]
            axes.plot(order[k], middle[k], marker="o", markerfacecolor=face, gid=f"order {k + 1}:{name}", **look)
    axes.set_xticks(dataset["order"].values)
    axes.set_xlim(0.5, float(dataset["order"].max()) + 0.5)
    axes.set_xlabel("Interaction order")


def _turned_down(line: xr.Dataset) -> np.ndarray:
    """Return where validation preferred the order below (order,)."""
    bits = line.get("order_quality", xr.zeros_like(line["order"])).fillna(0).values.astype(int)
    mask: np.ndarray = (bits & QUALITY_FLAGS["no_evidence"]) > 0
    return mask


def _head(figure: Figure, dataset: xr.Dataset, title: str) -> None:
    """Put the title and, where there are several, the names of the conditions above the panels."""
    names = [str(name) for name, _ in along(dataset, "condition") if name != ""]
    if not names:
        figure.suptitle(title)
        return
    handles = [
        Line2D([], [], color=style.colour(i), marker="o", linestyle="none", label=name) for i, name in enumerate(names)
    ]
    shape: dict[str, Any] = {"ncols": 4, "handletextpad": 0.2, "columnspacing": 1.2}
    figure.legend(handles=handles, title=title, loc="outside upper center", **shape)


def _caption(dataset: xr.Dataset) -> str:
    text = (
        "Held-out entropy production with observables of up to so many units, and what each order adds to the one "
        "below. "
    )
    if bool(np.isfinite(dataset["order_increment_low"]).any()):
        text += "Bars: 95% block bootstrap, increments paired over the same blocks. "
    else:
        text += "No intervals: too few blocks of independent time, or none were asked for. "
    text += (
        "Order 1 telescopes: it is near zero unless the recording drifts. Orders are fitted one after the other, on "
        "training data alone, so order 2 need not equal the value of MaxEnt."
    )
    if any(_turned_down(line).any() for _, line in along(dataset, "condition")):
        text += " Hollow: validation preferred the order below; the bar is that of the best candidate."
    return text
