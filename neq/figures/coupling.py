"""The fitted couplings as a matrix, units grouped by area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from scipy import optimize
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from ..errors import NeqError
from . import style

LINEAR = 0.02
"""Width of the linear part of the colour scale on either side of zero, where the couplings reach well above it."""

N_SMALL = 100
"""Up to this many units the figure fits one printed column."""


@style.styled
def coupling(
    theta: np.ndarray | xr.DataArray,
    area: Sequence[str] | np.ndarray | xr.DataArray | None = None,
    observable: str = "antisymmetric",
    linear: float | None = None,
    title: str = "",
) -> Figure:
    r"""Draw the couplings as a unit x unit matrix, grouped by area and clustered inside each area.

    Parameters
    ----------
    theta
        Couplings (pair,) of the observable, in its order; a tail of NaN (padding) is dropped.
    area
        Area of each unit (unit,); "" or None where unknown.
    observable
        ``"antisymmetric"`` or ``"flow"``.
    linear
        The colour scale is linear within ``±linear`` and logarithmic outside; by default 0.02, or a fifth of the
        largest coupling where that is less.
    title
        Stands above the matrix.

    Examples
    --------
    >>> figure = coupling(np.array([0.1, -0.2, 0.05]), area=["V1", "V1", "LM"])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['LM', 'V1']
    """
    matrix = coupling_matrix(theta, observable)
    n_unit = len(matrix)
    names = np.array([""] * n_unit if area is None else [str(name) for name in np.asarray(area)], dtype=str)
    if len(names) != n_unit:
        raise NeqError(f"theta of {n_unit} units needs as many areas, got {len(names)}")
    order = coupling_order(matrix, names)
    matrix, names = matrix[np.ix_(order, order)], names[order]
    largest = float(np.max(np.abs(matrix), initial=0.0))
    linear = linear if linear is not None else min(LINEAR, largest / 5) or LINEAR
    width = style.COLUMN if n_unit <= N_SMALL else style.WIDE
    figure = Figure(figsize=(width, width), layout="constrained")
    axes = figure.subplots()
    norm = SymLogNorm(linthresh=linear, vmin=-max(largest, linear), vmax=max(largest, linear))
    image = axes.imshow(matrix, cmap="RdBu_r", norm=norm, interpolation="nearest", gid="couplings")
    _colour_bar(figure, axes, image, linear, largest)
    blocks = [(name, len(list(same))) for name, same in groupby(names.tolist())]
    _mark_areas(axes, blocks)
    axes.set_title(title)
    style.fit_height(figure)
    style.caption(figure, _caption(n_unit, _n_coupling(n_unit, observable), observable, linear, blocks))
    return figure


def coupling_matrix(theta: np.ndarray | xr.DataArray, observable: str = "antisymmetric") -> np.ndarray:
    """Return the couplings as a matrix (unit, unit): row the later unit, column the earlier one.

    Parameters
    ----------
    theta
        Couplings (pair,): i < j row by row for ``"antisymmetric"``, all i, j row by row for ``"flow"``; a tail of NaN
        is dropped.
    observable
        ``"antisymmetric"`` or ``"flow"``.

    Examples
    --------
    >>> coupling_matrix(np.array([1.0, 2.0, 3.0])).tolist()
    [[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [-2.0, -3.0, 0.0]]
    """
    theta = without_padding(theta)
    n_unit = _n_unit(theta.size, observable)
    if not np.isfinite(theta).all():
        raise NeqError(f"{np.isnan(theta).sum()} of {theta.size} couplings are NaN: was the cell computed?")
    if observable == "flow":
        return theta.reshape(n_unit, n_unit)
    matrix = np.zeros((n_unit, n_unit))
    matrix[np.triu_indices(n_unit, 1)] = theta
    return matrix - matrix.T


def coupling_order(matrix: np.ndarray, area: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the order of units (unit,): by area, then so that strongly coupled units of an area stand together.

    Parameters
    ----------
    matrix
        Couplings (unit, unit).
    area
        Area of each unit (unit,).

    Notes
    -----
    Inside an area, average linkage with the largest ``|theta|`` of the area minus that of the pair as distance; of
    the orders of that tree the one with the least distance between neighbours.

    Examples
    --------
    >>> coupling_order(coupling_matrix(np.array([0.1, -0.9, 0.2])), ["", "", ""]).tolist()
    [1, 2, 0]
    """
    area = np.asarray(area, dtype=str)
    order: list[int] = []
    for name in sorted(set(area.tolist())):
        members = np.flatnonzero(area == name)
        if len(members) > 2:
            strength = np.abs(matrix[np.ix_(members, members)])
            strength = np.maximum(strength, strength.T)
            distance = strength.max() - strength
            np.fill_diagonal(distance, 0.0)
            tree = hierarchy.average(squareform(distance, checks=False))
            tree = hierarchy.optimal_leaf_ordering(tree, squareform(distance, checks=False))
            members = members[hierarchy.leaves_list(tree)]
        order += members.tolist()
    return np.array(order, dtype=int)


def without_padding(values: np.ndarray | xr.DataArray) -> np.ndarray:
    """Return values (pair,) without their tail of NaN."""
    values = np.asarray(values, dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    return values[: known[-1] + 1 if known.size else 0]


def _n_unit(n_pair: int, observable: str) -> int:
    """Return the number of units that has this number of couplings."""
    if observable not in ("antisymmetric", "flow"):
        raise NeqError(f'observable must be "antisymmetric" or "flow", got "{observable}"')
    n_unit = round(np.sqrt(n_pair)) if observable == "flow" else round((1 + np.sqrt(1 + 8 * n_pair)) / 2)
    if n_pair == 0 or _n_coupling(n_unit, observable) != n_pair:
        raise NeqError(f"{n_pair} couplings fit no number of units with observable {observable}: was theta stored?")
    return int(n_unit)


def _n_coupling(n_unit: int, observable: str) -> int:
    """Return the number of couplings of this many units."""
    return n_unit**2 if observable == "flow" else n_unit * (n_unit - 1) // 2


def _colour_bar(figure: Figure, axes: Axes, image: Any, linear: float, largest: float) -> None:
    """Add the colour bar with ticks at zero, at the ends of the linear part, at decades and at the largest value."""
    decades = 10.0 ** np.arange(np.ceil(np.log10(linear * 1.5)), np.floor(np.log10(max(largest, linear) / 1.5)) + 1)
    ticks = np.array([linear, *decades, *([largest] if largest > 1.5 * linear else [])])
    bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)))
    bar.set_ticks([*-ticks[::-1], 0.0, *ticks])
    bar.set_ticklabels([*(f"−{tick:.2g}" for tick in ticks[::-1]), "0", *(f"{tick:.2g}" for tick in ticks)])
    bar.minorticks_off()
    bar.set_label(r"coupling $\theta_{ij}$ (nats)")
    bar.outline.set_linewidth(0.5)


def _mark_areas(axes: Axes, blocks: list[tuple[str, int]]) -> None:
    """Draw dotted lines between areas and write their names on both axes."""
    ends = np.cumsum([count for _, count in blocks])
    n_unit = int(ends[-1])
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="black", linestyle=":", linewidth=0.8)
        axes.axvline(end - 0.5, color="black", linestyle=":", linewidth=0.8)
    centres = ends - np.array([count for _, count in blocks]) / 2 - 0.5
    axes.set(xlabel="earlier unit j", ylabel="later unit i")
    if len(blocks) == 1 and not blocks[0][0]:
        return
    names = [name or "unknown" for name, _ in blocks]
    places = spread_labels(centres, 0.055 * n_unit)
    rotation = 90 if len(blocks) > 3 else 0
    axes.set_xticks(places, names, rotation=rotation)
    axes.set_yticks(places, names)
    axes.tick_params(length=0.0, pad=8.0)
    thin: dict[str, Any] = {"color": "black", "linewidth": 0.5, "clip_on": False}
    for centre, place in zip(centres, places, strict=True):
        # a short leader from the middle of the area to its name, slanted where small areas crowd
        axes.plot([centre, place], [0.0, -0.025], transform=axes.get_xaxis_transform(), **thin)
        axes.plot([0.0, -0.025], [centre, place], transform=axes.get_yaxis_transform(), **thin)


def spread_labels(centres: np.ndarray, gap: float) -> np.ndarray:
    """Return places for labels (label,) as close as can be to their ascending centres and no closer than ``gap``.

    Examples
    --------
    >>> spread_labels(np.array([0.0, 1.0, 10.0]), 3.0).tolist()
    [-1.0, 2.0, 10.0]
    """
    steps = gap * np.arange(len(centres))
    return np.asarray(optimize.isotonic_regression(centres - steps).x) + steps


def _caption(n_unit: int, n_coupling: int, observable: str, linear: float, blocks: list[tuple[str, int]]) -> str:
    """Say what the matrix shows."""
    sense = "red: unit i tends to follow unit j" if observable == "antisymmetric" else "flow of unit i given unit j"
    areas = "; areas " + ", ".join(f"{name or 'unknown'} {count}" for name, count in blocks) if len(blocks) > 1 else ""
    text = f"{n_unit} units, {n_coupling:,} couplings ({observable}); {sense}{areas}."
    inside = " inside each area" if areas else ""
    return f"{text} Ordered{inside} by average linkage of |θ|. Colours linear within ±{linear:.2g}."
