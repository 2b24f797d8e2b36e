"""Which units may be drawn, and the draws."""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .. import seeds
from ..errors import EmptySelectionError, ImpossibleError, SelectionError

if TYPE_CHECKING:
    import xarray as xr

ACTIVITY_IN = ("session", "condition")
ORDERS = ("random", "most_active", "least_active", "rate_matched")
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Selection:
    """Which units of a session may be drawn, and in which order.

    Parameters
    ----------
    area
        Shell pattern for the area's name (``"V*"``).
    minimum_activity
        Least share of bins with a spike.
    activity_in
        Where activity is measured, for ``minimum_activity`` and ``order``: ``"session"``, the mean over its
        conditions, so that conditions share their draws; ``"condition"``, the one that is analysed, by itself.
    quality
        Column of the unit table -> condition such as ``"> 1"`` or ``"== good"``.
    order
        ``"random"``; ``"most_active"`` or ``"least_active"`` first; ``"rate_matched"``: random among the units whose
        activity in every condition lies within a factor ``rate_tolerance`` of their mean over conditions.
    rate_tolerance
        See ``order``.

    Examples
    --------
    >>> Selection(area="V*", minimum_activity=0.02, quality={"snr": "> 1"}).order
    'random'
    """

    area: str = "*"
    minimum_activity: float = 0.0
    quality: Mapping[str, str] = field(default_factory=dict)
    order: str = "random"
    rate_tolerance: float = 1.25
    activity_in: str = "session"

    def __post_init__(self) -> None:
        _check_order(self.order)
        if self.activity_in not in ACTIVITY_IN:
            raise SelectionError(f"activity_in must be one of {', '.join(ACTIVITY_IN)}; found {self.activity_in!r}")
        if self.activity_in == "condition" and self.order == "rate_matched":
            raise SelectionError("order rate_matched compares conditions, so it needs activity_in session")

    def measured(self, activity: np.ndarray, condition: int) -> np.ndarray:
        """Return the rows of ``activity`` (condition, unit) that count for one condition.

        Examples
        --------
        >>> Selection(activity_in="condition").measured(np.array([[0.1, 0.2], [0.3, 0.4]]), 1)
        array([[0.3, 0.4]])
        """
        return activity[[condition]] if self.activity_in == "condition" else activity


def eligible_units(units: xr.Dataset, activity: np.ndarray, selection: Selection) -> np.ndarray:
    """Return the positions of the units that may be drawn (unit,).

    Parameters
    ----------
    units
        Dataset with the unit table on dim ``unit`` (``area`` and the quality columns).
    activity
        Share of bins with a spike in each condition that counts (condition, unit), see :meth:`Selection.measured`.
    selection
        What is asked of a unit.

    Raises
    ------
    SelectionError
        The unit table lacks a column, or does not compare as asked.
    EmptySelectionError
        No unit is left; the message counts what each rule leaves.
    """
    rules = _rules(units, activity, selection)
    kept = np.ones(activity.shape[1], dtype=bool)
    steps = [f"{kept.size} units"]
    for name, passes in rules.items():
        kept &= passes
        steps.append(f"{name} leaves {kept.sum()}")
    if not kept.any():
        raise EmptySelectionError(
            f"no unit is left after the selection ({', '.join(steps)}); relax the rule that empties it"
        )
    return np.flatnonzero(kept)


def draw_units(
    unit_ids: np.ndarray, activity: np.ndarray, n_unit: int, order: str, *, root: int, session: str, repetition: int
) -> np.ndarray:
    """Draw ``n_unit`` of the eligible units, nested over ``n_unit``.

    Every unit gets a key from its own id; the units with the smallest keys are drawn. So a draw does not depend on the
    condition, and units that are added later leave the others' keys alone.

    Parameters
    ----------
    unit_ids
        Ids of the eligible units (unit,).
    activity
        Their share of bins with a spike (unit,); orders ``most_active`` and ``least_active``, ties by key.
    n_unit
        How many to draw.
    order
        See :class:`Selection`.
    root, session, repetition
        Labels of the draw.

    Returns
    -------
    ndarray
        Ascending positions among the eligible units (drawn,).

    Raises
    ------
    ImpossibleError
        There are fewer eligible units than ``n_unit``.

    Examples
    --------
    >>> ids, activity = np.arange(10), np.ones(10)
    >>> five, six = (draw_units(ids, activity, n, "random", root=0, session="a", repetition=0) for n in (5, 6))
    >>> set(five) < set(six)
    True
    """
    _check_order(order)
    if n_unit > len(unit_ids):
        raise ImpossibleError(f"too few units: {n_unit} asked, {len(unit_ids)} eligible")
    key = seeds.unit_keys(root, unit_ids.tolist(), session=session, repetition=repetition)
    first = {"most_active": -activity, "least_active": activity}.get(order, np.zeros(len(unit_ids)))
    return np.sort(np.lexsort((key, first))[:n_unit])


def _check_order(order: str) -> None:
    if order not in ORDERS:
        raise SelectionError(f"order must be one of {', '.join(ORDERS)}; found {order!r}")


def _rules(units: xr.Dataset, activity: np.ndarray, selection: Selection) -> dict[str, np.ndarray]:
    """Return for each rule which units pass it (unit,)."""
    area = units["area"].values.tolist()
    rules = {
        f"area {selection.area!r}": np.array([fnmatch.fnmatchcase(str(name), selection.area) for name in area], bool)
    }
    for column, condition in selection.quality.items():
        rules[f"{column} {condition}"] = _compare(units, column, condition)
    overall = activity.mean(axis=0)
    rules[f"activity >= {selection.minimum_activity:g}"] = overall >= selection.minimum_activity
    # A silent unit carries no transition; keeping it would only dilute the draws.
    rules["activity > 0"] = overall > 0
    if selection.order == "rate_matched":
        factor = np.maximum(activity / np.maximum(overall, 1e-300), 1e-300)
        matched = np.abs(np.log(factor)).max(axis=0) <= np.log(selection.rate_tolerance)
        rules[f"rates within {selection.rate_tolerance:g}"] = matched
    return rules


def _compare(units: xr.Dataset, column: str, condition: str) -> np.ndarray:
    """Return which units satisfy ``condition`` in ``column`` (unit,)."""
    per_unit = [str(name) for name, array in units.variables.items() if array.dims == ("unit",)]
    if column not in per_unit:
        raise SelectionError(f"the unit table has no column {column!r}; it has {', '.join(sorted(per_unit))}")
    return satisfied(units[column].values, column, condition)


def satisfied(values: np.ndarray, column: str, condition: str) -> np.ndarray:
    """Return which ``values`` of a column of the unit table satisfy a condition (unit,); NaN satisfies none.

    Raises
    ------
    SelectionError
        The condition is none, or compares numbers with text.

    Examples
    --------
    >>> satisfied(np.array([0.5, 2.0, np.nan]), "snr", "> 1").tolist()
    [False, True, False]
    """
    symbol, wanted = parse_comparison(condition)
    if values.dtype.kind in "biuf":
        if not isinstance(wanted, float):
            raise SelectionError(f"column {column!r} holds numbers; compare it with a number, not as in {condition!r}")
        return np.asarray(COMPARISONS[symbol](values.astype(float), wanted) & np.isfinite(values.astype(float)))
    if symbol not in ("==", "!="):
        raise SelectionError(f"column {column!r} holds text; only == and != compare text, found {condition!r}")
    wanted = condition.strip()[len(symbol) :].strip()
    return np.array([COMPARISONS[symbol](str(value), wanted) for value in values.tolist()], dtype=bool)


def parse_comparison(condition: str) -> tuple[str, float | str]:
    """Return the symbol and the value of a condition such as ``"> 1"`` or ``"== good"``.

    Raises
    ------
    SelectionError
        It does not begin with a comparison.

    Examples
    --------
    >>> parse_comparison("<= 0.5"), parse_comparison("== good")
    (('<=', 0.5), ('==', 'good'))
    """
    text = condition.strip()
    symbol = next((known for known in COMPARISONS if text.startswith(known)), None)
    value = text[len(symbol or "") :].strip()
    if symbol is None or not value:
        raise SelectionError(f"expected a comparison such as '> 1' or '== good', found {condition!r}")
    try:
        return symbol, float(value)
    except ValueError:
        return symbol, value
