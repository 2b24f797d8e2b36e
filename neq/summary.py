"""Summaries of a sweep: means over the repetitions of a session, then over the sessions of an animal, then of all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from scipy import stats

from . import samples
from .errors import NeqError
from .samples import Sample
from .variables import QUALITY_FLAGS

VALUES = ("entropy_production", "entropy_production_rate", "entropy_production_per_spike")
"""Variables summarised by default, where the dataset has them."""

MEDIANS = (
    "interval_low",
    "interval_high",
    "p_value",
    "spikes_per_bin",
    "effective_sample_size",
    "entropy_production_train",
    "n_transition",
    "n_parameter",
)
"""Variables of which the median over the cells of a point is told, where the dataset has them."""

COUNTED = ("ok", "failed", "impossible", "pending", "not_needed")
DRAWS = ("session", "repetition")


class SummaryError(NeqError, ValueError):
    """A dataset does not have what a summary needs."""


def summarise(dataset: xr.Dataset, values: Sequence[str] | None = None) -> xr.Dataset:
    """Reduce the cells of a run to one point per condition, size and further axis.

    Parameters
    ----------
    dataset
        As :func:`neq.open_run` gives it: any axes, among them ``session`` and ``repetition`` (one that was selected
        away counts as a single label), and ``status`` as text.
    values
        Variables to summarise; by default the entropy production, per transition, per second and per spike.

    Returns
    -------
    Dataset
        The sample is the animal where every session that has a value is of a known one, and they are not all of the
        same one; else the session. The attributes ``sample`` (``"subject"`` or ``"session"``) and ``sample_note`` (why
        it is the session) say which. For each value ``v`` on the axes without session and repetition: ``v`` (mean over
        repetitions, then over the sessions of an animal, then over animals), ``v_sem`` (over the sample; NaN below
        two), ``v_spread`` (standard deviation over repetitions inside a session, averaged over sessions),
        ``v_n_session``, ``v_n_subject`` (where animals are the sample), ``v_n_repetition_min`` and ``_max`` (over the
        sessions that have any), ``v_by_session``, whose animals are the coordinate ``session_subject``, and
        ``v_by_subject``. With several conditions also ``v_difference`` of each pair along ``contrast``, taken inside
        each session and repetition (same units drawn) before any average, with ``_sem``, ``_spread``, the counts, and
        over the sample the 95 % t interval ``_low``, ``_high`` and ``_p_value``. Per point: ``n_cell``, ``n_ok`` and
        the other states, ``n_possible``, mean ``n_unit``, ``share_<flag>`` of the ok cells, ``<variable>_median``.

    Raises
    ------
    SummaryError
        ``status`` or a wanted variable is missing.

    Examples
    --------
    >>> dims = ("session", "condition", "size", "repetition")
    >>> cells = np.reshape([1.0, 2.0, 3.0, np.nan], (2, 1, 1, 2))
    >>> status = np.where(np.isnan(cells), "failed", "ok")
    >>> summary = summarise(xr.Dataset({"entropy_production": (dims, cells), "status": (dims, status)}))
    >>> summary["entropy_production"].item(), summary["n_ok"].item(), summary["n_failed"].item()
    (2.25, 3, 1)
    """
    if "status" not in dataset:
        raise SummaryError("a summary needs the variable status (as text): open the run with neq.open_run")
    names = [name for name in VALUES if name in dataset] if values is None else list(values)
    if missing := [name for name in names if name not in dataset]:
        raise SummaryError(
            f"the dataset has no variable {', '.join(missing)}; it has {', '.join(map(str, dataset.data_vars))}"
        )
    dataset = samples.with_subjects(dataset.expand_dims([dim for dim in DRAWS if dim not in dataset.dims]))
    ok = dataset["status"] == "ok"
    cells = {name: dataset[name].where(ok & np.isfinite(dataset[name])) for name in names}
    sample = samples.find(cells.values())
    parts = _counts(dataset, ok) | _flags(dataset, ok) | _medians(dataset, ok)
    for name in names:
        parts |= _point(cells[name], name, sample)
        if dataset.sizes.get("condition", 1) > 1:
            parts |= _contrasts(cells[name], name, sample)
    summary = xr.Dataset(parts)
    if "size_label" in dataset.coords:
        summary = summary.assign_coords(size_label=dataset["size_label"])
    return summary.assign_attrs(dataset.attrs, sample=sample.dim, sample_note=sample.note)


def _point(cells: xr.DataArray, name: str, sample: Sample) -> dict[str, xr.DataArray]:
    """Summarise cells (NaN where there is none): repetitions first, then the sessions of an animal, then the sample."""
    by_session = cells.mean("repetition")
    by_sample = sample.of(by_session)
    n_repetition = cells.count("repetition")
    occupied = n_repetition.where(n_repetition > 0)
    units, what = cells.attrs.get("units", ""), cells.attrs.get("long_name", name)
    parts = {
        name: (by_sample.mean(sample.dim), units, what),
        f"{name}_sem": (_sem(by_sample, sample.dim), units, f"standard error over {sample.many}: {what}"),
        f"{name}_spread": (_deviation(cells, "repetition").mean("session"), units, f"SD over repetitions: {what}"),
        f"{name}_n_session": (by_session.count("session"), "1", "sessions with a value"),
        f"{name}_n_repetition_min": (occupied.min("session").fillna(0).astype(int), "1", "fewest repetitions"),
        f"{name}_n_repetition_max": (n_repetition.max("session"), "1", "most repetitions of a session"),
        f"{name}_by_session": (by_session, units, f"mean over repetitions: {what}"),
    }
    if sample.dim == "subject":
        parts[f"{name}_n_subject"] = (by_sample.count("subject"), "1", "animals with a value")
        parts[f"{name}_by_subject"] = (by_sample, units, f"mean over repetitions, then over sessions: {what}")
    return {key: _described(*part) for key, part in parts.items()}


def _contrasts(cells: xr.DataArray, name: str, sample: Sample) -> dict[str, xr.DataArray]:
    """Summarise the differences of all pairs of conditions, each taken between cells of the same draw."""
    labels = cells["condition"].values.tolist() if "condition" in cells.coords else range(cells.sizes["condition"])
    pairs = list(combinations(range(len(labels)), 2))
    first, second = (xr.DataArray([pair[side] for pair in pairs], dims="contrast") for side in (0, 1))
    bare = cells.drop_vars("condition", errors="ignore")
    difference = bare.isel(condition=first) - bare.isel(condition=second)
    text = np.array([f"{labels[a]} − {labels[b]}" for a, b in pairs], dtype=str)
    difference = difference.assign_coords(contrast=text).assign_attrs(cells.attrs)
    difference.attrs["long_name"] = f"paired difference: {cells.attrs.get('long_name', name)}"
    key = f"{name}_difference"
    parts = _point(difference, key, sample)
    return parts | _t_interval(parts, key, sample)


def _t_interval(parts: dict[str, xr.DataArray], key: str, sample: Sample) -> dict[str, xr.DataArray]:
    """Return the 95 % interval of a mean over the sample and the two-sided p-value of its being zero."""
    mean, sem, n = (parts[f"{key}{ending}"] for ending in ("", "_sem", f"_n_{sample.dim}"))
    freedom = (n - 1).where(n > 1)
    half = sem * stats.t.ppf(0.975, freedom)
    score = np.abs(mean) / sem.where(sem > 0)
    p_value = mean.copy(data=2 * stats.t.sf(score, freedom))
    units = mean.attrs["units"]
    return {
        f"{key}_low": _described(mean - half, units, f"lower end of the 95 % t interval over {sample.many}"),
        f"{key}_high": _described(mean + half, units, f"upper end of the 95 % t interval over {sample.many}"),
        f"{key}_p_value": _described(p_value, "1", f"two-sided t test over {sample.many}"),
    }


def _counts(dataset: xr.Dataset, ok: xr.DataArray) -> dict[str, xr.DataArray]:
    """Count the cells of each point by state and average the number of units in those that are ok."""
    status = dataset["status"]
    parts = {f"n_{name}": _described((status == name).sum(DRAWS), "1", f"cells {name}") for name in COUNTED}
    parts["n_cell"] = _described(xr.ones_like(ok, dtype=int).sum(DRAWS), "1", "cells of the grid")
    possible = parts["n_cell"] - parts["n_impossible"] - parts["n_not_needed"]
    parts["n_possible"] = _described(possible, "1", "cells that can have a value")
    if "n_unit" in dataset:
        parts["n_unit"] = _described(dataset["n_unit"].where(ok).mean(DRAWS), "1", "mean number of units")
    return parts


def _flags(dataset: xr.Dataset, ok: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the share of ok cells with each quality flag; of those examined, for a flag not examined in all."""
    if "quality" not in dataset:
        return {}
    parts = {}
    for name, bit in QUALITY_FLAGS.items():
        flagged = ok & ((dataset["quality"].astype(int) & bit) > 0)
        examined = ok
        if name == "data_limited" and "entropy_production_half" in dataset:
            # half of the data is fitted in some repetitions only; the others cannot tell
            examined = ok & np.isfinite(dataset["entropy_production_half"])
            flagged = flagged & examined
        count = examined.sum(DRAWS)
        parts[f"share_{name}"] = _described(flagged.sum(DRAWS) / count.where(count > 0), "1", f"share of cells {name}")
    return parts


def _medians(dataset: xr.Dataset, ok: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return medians over the ok cells of a point of what cannot be averaged."""
    parts = {}
    for name in MEDIANS:
        if name in dataset:
            array = dataset[name]
            what = f"median over cells: {array.attrs.get('long_name', name)}"
            parts[f"{name}_median"] = _described(array.where(ok).median(DRAWS), array.attrs.get("units", "1"), what)
    return parts


def _deviation(array: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the sample standard deviation; NaN below two values."""
    count = array.count(dim)
    squares = ((array - array.mean(dim)) ** 2).sum(dim)
    return (squares.where(count > 1) / (count - 1).where(count > 1)) ** 0.5


def _sem(values: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the standard error of the mean along the sample; NaN below two."""
    count = values.count(dim)
    return _deviation(values, dim) / count.where(count > 0) ** 0.5


def _described(array: xr.DataArray, units: str, long_name: str) -> xr.DataArray:
    """Return the array with units and a description, and no attributes besides."""
    array = array.copy()
    array.attrs = {"units": units, "long_name": long_name}
    return array
