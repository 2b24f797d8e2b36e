"""The figures of neural recordings, from the dataset of a run and its summary."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neq import figures
from neq.estimators.events import peri_event
from neq.figures import style
from workflows.labels import stored_label

from .neural_config import NeuralRecordingsConfig

AGAINST = {"lag": "entropy_production_rate", "bin_size": "entropy_production_rate"}
"""Axes of numbers that have a figure of their own, and what it shows."""
FEWEST_EVENTS = 3
"""Events of a kind below which they are averaged only where the config names them."""
SHIFTS = 999


def draw(dataset: xr.Dataset, summary: xr.Dataset, config: NeuralRecordingsConfig) -> dict[str, Figure]:
    """Draw the scaling figure, one for each axis of numbers, and one for each thing that was stored on request."""
    value = config.figures.value
    drawn = {
        axis: figures.against(summary, axis, what) for axis, what in AGAINST.items() if dataset.sizes.get(axis, 1) > 1
    }
    # of one size there is nothing to see but what stands there already
    if not drawn or dataset.sizes.get("size", 1) > 1:
        drawn["scaling"] = figures.scaling(dataset, value, truth=truth(dataset, value, _bin_size(dataset, config)))
    if "theta" in dataset:
        drawn["coupling"] = _coupling(dataset, config)
    if "contribution" in dataset:
        drawn["contributions"] = _contributions(dataset, config)
    if "order_increment" in dataset:
        drawn["orders"] = _orders(dataset, config)
    if "score" in dataset:
        drawn |= _events(dataset, config)
    return drawn


def truth(dataset: xr.Dataset, value: str, bin_size: float) -> xr.Dataset | None:
    """Return the exact values where the drawn units are the whole network, None where no cell has one."""
    rate = value == "entropy_production_rate"
    name = "exact_entropy_production" if rate else f"exact_{value}"
    if name not in dataset or not bool(np.isfinite(dataset[name]).any()):
        return None
    # one line in every panel would be drawn where it is not the truth
    if any(dataset.sizes.get(axis, 1) > 1 for axis in ("lag", "bin_size")):
        return None
    others = [dim for dim in dataset[name].dims if dim not in ("session", "condition")]
    # exact values are stored at lag 1 only, where a transition lasts a bin
    exact = dataset[name].max(others) / (bin_size if rate else 1.0)
    whole = dataset["n_unit"].where(np.isfinite(dataset[name])).max()
    return xr.Dataset({f"exact_{value}": exact}, attrs={"truth_size": float(whole)})


def _bin_size(data: xr.Dataset, config: NeuralRecordingsConfig) -> float:
    """Return the bin size (s), the first where it is an axis."""
    return float(data["bin_size"].values.flat[0]) if "bin_size" in data.coords else config.binning.bin_size


def _chosen(dataset: xr.Dataset, config: NeuralRecordingsConfig, free: Collection[str] = ()) -> xr.Dataset | str:
    """Return the cell that the config names, along the axes in ``free`` too, or why there is none."""
    positions = {dim: 0 for dim in dataset["status"].dims} | {"size": -1}
    named = {name: stored_label(name, label) for name, label in config.figures.coupling.items()}
    absent = [f"{name} {label}" for name, label in named.items() if label not in dataset[name].values.tolist()]
    if absent:
        return f"the store has no {', '.join(absent)}"
    left = {dim: position for dim, position in positions.items() if dim not in named and dim not in free}
    cell = dataset.isel(left).sel(named)
    states = np.unique(cell["status"].values.astype(str))
    # numpy's variable strings, as zarr gives them, do not turn into others
    for name in ("drawn_area", "event_name"):
        if name in cell:
            cell[name] = cell[name].copy(data=np.array(cell[name].values.tolist(), dtype=str))
    return cell if "ok" in states else f"this cell is {', '.join(states)}"


def _title(cell: xr.Dataset) -> str:
    """Name the labels of a cell: session, condition, further axes, number of units."""
    labels = [str(cell[name].values) for name in ("session", "condition") if not cell[name].ndim]
    for name in map(str, cell.coords):
        if name in ("method", "observable", "surrogate") and not cell[name].ndim and cell[name].values != "none":
            labels.append(str(cell[name].values).replace("_", " "))
        elif name in ("lag", "cross_fit", "bin_size") and not cell[name].ndim:
            labels.append(f"{name.replace('_', ' ')} {cell[name].values:g}")
    return f"{', '.join(labels)}, N = {int(np.nanmax(cell['n_unit'].values))}"


def _observable(cell: xr.Dataset, config: NeuralRecordingsConfig) -> str:
    return str(cell["observable"].values) if "observable" in cell.coords else config.estimator.observable


def _coupling(dataset: xr.Dataset, config: NeuralRecordingsConfig) -> Figure:
    cell = _chosen(dataset, config)
    if isinstance(cell, str):
        return figures.message("coupling", f"no couplings: {cell}")
    if not bool(np.isfinite(cell["theta"]).any()):
        return figures.message("coupling", "no couplings: the method of this cell has none")
    area = cell["drawn_area"].values[: int(cell["n_unit"])]
    return figures.coupling(cell["theta"], area, _observable(cell, config), title=_title(cell))


def _contributions(dataset: xr.Dataset, config: NeuralRecordingsConfig) -> Figure:
    cell = _chosen(dataset, config)
    if isinstance(cell, str):
        return figures.message("contributions", f"no contributions: {cell}")
    return figures.contributions(cell, _observable(cell, config), title=_title(cell))


def _orders(dataset: xr.Dataset, config: NeuralRecordingsConfig) -> Figure:
    cell = _chosen(dataset, config, free=("condition",))
    if isinstance(cell, str):
        return figures.message("orders", f"no orders: {cell}")
    if cell.sizes.get("condition") == 1:
        cell = cell.isel(condition=0)
    # a condition whose cell is not needed has values all the same
    rows = cell[[name for name in cell.data_vars if "order" in cell[name].dims]].where(cell["status"] == "ok")
    return figures.orders(rows.assign_coords(order=1 + np.arange(cell.sizes["order"])), title=_title(cell))


def _events(dataset: xr.Dataset, config: NeuralRecordingsConfig) -> dict[str, Figure]:
    """Draw the mean score around each kind of event of one cell."""
    cell = _chosen(dataset, config)
    if isinstance(cell, str):
        return {"events": figures.message("events", f"no scores: {cell}")}
    names = cell["event_name"].values
    wanted = config.figures.events
    if wanted is None:
        kinds, counts = np.unique(names[names != ""], return_counts=True)
        wanted = kinds[counts >= FEWEST_EVENTS].tolist()
    return {f"events_{name}": _around(cell, names == name, name, config) for name in wanted}


def _around(cell: xr.Dataset, mine: np.ndarray, name: str, config: NeuralRecordingsConfig) -> Figure:
    """Draw the mean score around the events of one kind."""
    known = np.isfinite(cell["score_time"].values)
    if not (known.any() and mine.any()):
        return figures.message(f"events: {name}", "no curve: this cell has no scores or no such event")
    bin_size = _bin_size(cell, config)
    lag = int(cell["lag"].values) if "lag" in cell.coords else config.estimator.lag
    time, starts = cell["score_time"].values[known], cell["event_time"].values
    trials = np.sort(starts[cell["event_name"].values == "trial"])
    bins, run = _bins_and_runs(time, trials, bin_size, lag)
    event = _event_bins(starts[mine], time, bins, bin_size)
    before, after = (round(seconds / bin_size) for seconds in config.figures.window)
    curve = peri_event(
        cell["score"].values[known], bins, run, event, window=(before, after), lag=lag, n_shift=SHIFTS, seed=config.seed
    )
    return figures.events(curve, bin_size, title=style.wrapped(f"{_title(cell)}: {name} starts", 42))


def _bins_and_runs(time: np.ndarray, trials: np.ndarray, bin_size: float, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bins counted on from ``lag`` before the first score (transition,), and stretches no window leaves.

    A stretch ends at a gap in time or where a trial begins: trials of a recording may have been put end to end. The
    border of an epoch, which no transition crosses, leaves a bin or more without a score and is no end.
    """
    # from one to the next: the bins of a trial begin with it, a fraction of a bin off those of another
    step = np.rint(np.diff(time) / bin_size).astype(int)
    bins = lag + np.concatenate([[0], np.cumsum(step)])
    trial = np.searchsorted(trials, time - (lag - 0.5) * bin_size)
    gap = (np.diff(bins) > lag + 1) | (np.diff(trial) != 0)
    return bins, np.concatenate([[0], np.cumsum(gap)])


def _event_bins(event: np.ndarray, time: np.ndarray, bins: np.ndarray, bin_size: float) -> np.ndarray:
    """Return the bins of events (event,), counted from the scores that follow them in their trial."""
    after = np.minimum(np.searchsorted(time, event - bin_size / 2), len(time) - 1)
    found: np.ndarray = bins[after] - np.rint((time[after] - event) / bin_size).astype(int)
    return found
