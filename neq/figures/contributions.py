"""What units, areas and pairs of areas add to held-out entropy production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..errors import NeqError
from . import style
from .coupling import coupling_matrix, without_padding

if TYPE_CHECKING:
    from ..estimators.contributions import Contributions

NEGATIVE = "#D55E00"
N_NAME = 14
"""Most bars with a name each; more are numbered by rank."""


@style.styled
def contributions(data: xr.Dataset, observable: str = "antisymmetric", title: str = "") -> Figure:
    r"""Draw how contributions add up to the held-out objective J, with ln Z as the remainder.

    Parameters
    ----------
    data
        ``contribution`` (pair,), theta times the mean of g on held-out transitions, in the observable's order;
        ``log_normaliser``; and ``drawn_area`` (drawn,) where areas are known. Tails of NaN and of "" are padding.
        Further dimensions are cells: their means are drawn, cells without a value left out.
    observable
        ``"antisymmetric"`` or ``"flow"``.
    title
        Stands above the panels.

    Returns
    -------
    Figure
        Its label is the caption. Left: bars that start where the one before ends, the remainder last, reach J. Right:
        pairs. Both are of areas, and of units where there is but one area and one cell.

    Examples
    --------
    >>> data = xr.Dataset({"contribution": ("pair", [0.1, 0.3, -0.05]), "log_normaliser": 0.05})
    >>> figure = contributions(data.assign(drawn_area=("drawn", ["V1", "V1", "LM"])))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['V1', 'LM', '−ln Z']
    """
    missing = [name for name in ("contribution", "log_normaliser") if name not in data]
    if missing:
        raise NeqError(f"cannot draw contributions: the data lack {', '.join(missing)}; were they stored?")
    cells = _cells(data, observable)
    if not cells:
        return style.message("Contributions", "nothing to draw: no cell has contributions")
    names, values, pair, kind = _groups(cells)
    remainder = float(np.mean([parts.log_normaliser for parts, _ in cells]))
    figure = Figure(figsize=(style.PAGE, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    _waterfall(left, names, values, remainder, kind)
    _pairs(figure, right, names, pair, observable)
    if title:
        figure.suptitle(title)
    style.caption(figure, _caption(cells, kind, observable, float(values.sum()), remainder))
    return figure


def contributions_dataset(parts: Contributions, area: Sequence[str] | np.ndarray | None = None) -> xr.Dataset:
    """Return contributions as the Dataset that :func:`contributions` draws.

    Examples
    --------
    >>> from neq import Contributions
    >>> sorted(contributions_dataset(Contributions(np.array([0.6]), 0.2, n_unit=2)).data_vars)
    ['contribution', 'log_normaliser']
    """
    dataset = xr.Dataset({"contribution": ("pair", parts.value), "log_normaliser": parts.log_normaliser})
    return dataset if area is None else dataset.assign(drawn_area=("drawn", np.asarray(area, dtype=str)))


def _cells(data: xr.Dataset, observable: str) -> list[tuple[Contributions, np.ndarray]]:
    """Return the contributions of each cell with a value, and the areas of its units."""
    from ..estimators.contributions import Contributions  # brings the compiler along, which other figures do not need

    axes = [dim for dim in data["contribution"].dims if dim != "pair"]
    stacked = data[[name for name in ("contribution", "log_normaliser", "drawn_area") if name in data]]
    stacked = stacked.stack(cell=axes) if axes else stacked.expand_dims("cell")
    cells = []
    for k in range(stacked.sizes["cell"]):
        cell = stacked.isel(cell=k)
        value, remainder = without_padding(cell["contribution"]), float(cell["log_normaliser"])
        if not value.size or not np.isfinite(remainder):
            continue
        n_unit = len(coupling_matrix(value, observable))
        area = cell["drawn_area"].values.astype(str)[:n_unit] if "drawn_area" in cell else np.full(n_unit, "")
        cells.append((Contributions(value, remainder, n_unit, observable), area))
    return cells


def _groups(cells: list[tuple[Contributions, np.ndarray]]) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Return names, contributions (group,) and their pairs (group, group), the largest first, and what a group is."""
    names = sorted({name for _, area in cells for name in area.tolist()})
    if len(names) > 1 or len(cells) > 1:
        kind = "area"
        pair = np.zeros((len(names), len(names)))
        for parts, area in cells:
            summed = parts.by_area(area)
            place = [names.index(name) for name in summed.area]
            pair[np.ix_(place, place)] += summed.pair / len(cells)
        labels = [name or ("unknown" if len(names) > 1 else "all units") for name in names]
    else:
        kind = "unit"
        pair = cells[0][0].pair
        labels = [str(i) for i in range(len(pair))]
    values = (pair.sum(axis=0) + pair.sum(axis=1)) / 2
    order = np.argsort(-values, kind="stable")
    return [labels[k] for k in order], values[order], pair[np.ix_(order, order)], kind


def _waterfall(axes: Axes, names: list[str], values: np.ndarray, remainder: float, kind: str) -> None:
    """Draw bars that start where the one above ends, the remainder last, and J as a line."""
    steps = np.append(values, -remainder)
    start = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    place = np.arange(len(steps))
    colours = [style.COLOURS[0] if step >= 0 else NEGATIVE for step in values]
    height = 0.8 if len(names) <= N_NAME else 1.0
    axes.barh(
        place[:-1],
        values,
        left=start[:-1],
        height=height,
        color=colours,
        edgecolor=colours,
        linewidth=0.5,
        gid="contributions",
    )
    rest: dict[str, Any] = {"color": "#D0D0D0", "edgecolor": "#404040", "hatch": "////", "linewidth": 0.6}
    # among many thin bars the remainder keeps a height that can be seen
    room = height * max(1.0, len(names) / 18)
    axes.barh(place[-1] + room / 2, -remainder, left=start[-1], height=room, gid="remainder", **rest)
    objective = float(steps.sum())
    axes.axvline(objective, color="black", linestyle="--", linewidth=1.0, gid="objective")
    axes.axvline(0.0, color="black", linewidth=0.6)
    reached = np.array([0.0, *np.cumsum(steps)])
    axes.set_xlim(reached.min() - 0.06 * np.ptp(reached) * (reached.min() < 0), reached.max() + 0.06 * np.ptp(reached))
    note: dict[str, Any] = {"xytext": (-3.0, -3.0), "textcoords": "offset points", "ha": "right", "va": "top"}
    axes.annotate(f"J = {objective:.3g}", (objective, 1.0), xycoords=("data", "axes fraction"), **note)
    few = len(names) <= N_NAME
    ticks, labels = (place[:-1].tolist(), names) if few else ([0], ["1"])
    axes.set_yticks([*ticks, place[-1] + room / 2], [*labels, "−ln Z"])
    axes.tick_params(axis="y", length=0.0)
    axes.set_ylim(place[-1] + 1.15 * room, -0.5 - 0.08 * len(steps))
    axes.set(xlabel="Sum of contributions (nats)", ylabel="" if few else f"{kind}, by contribution")


def _pairs(figure: Figure, axes: Axes, names: list[str], pair: np.ndarray, observable: str) -> None:
    """Draw the contributions of pairs as a matrix."""
    largest = float(np.abs(pair).max()) or 1.0
    norm = Normalize(-largest, largest)
    image = axes.imshow(pair, cmap="RdBu_r", norm=norm, interpolation="nearest", gid="pairs")
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("contribution (nats)")
    bar.outline.set_linewidth(0.5)
    few = len(names) <= N_NAME
    ticks = list(range(len(names))) if few else [0, len(names) - 1]
    labels = names if few else ["1", str(len(names))]
    axes.set_xticks(ticks, labels, rotation=90 if len(ticks) > 4 else 0)
    axes.set_yticks(ticks, labels)
    axes.tick_params(length=0.0)
    if observable == "flow":
        axes.set(xlabel="earlier", ylabel="later")


def _caption(
    cells: list[tuple[Contributions, np.ndarray]], kind: str, observable: str, total: float, remainder: float
) -> str:
    """Say what adds up to what."""
    rest, whole = (f"{value:.3g}".replace("-", "−") for value in (-remainder, total))
    mean = f"Means over {len(cells)} cells. " if len(cells) > 1 else ""
    text = (
        f"{mean}Held-out contributions θ⟨g⟩ ({observable}) by {kind}, each pair split evenly between its two units; "
        f"they add up to J\xa0+\xa0ln\xa0Z = {whole} nats per transition, and the remainder −ln\xa0Z = {rest} leads to "
        "J (dashed). Orange: negative. "
    )
    if observable == "flow":
        return text + f"Right: pairs, the later {kind} as row."
    return text + f"Right: pairs, half of each on either side of the diagonal; {kind}s in the order of the left panel."
