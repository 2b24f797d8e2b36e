"""A few cells of a sweep, timed: what a plan stands on."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workflows import layout
from workflows.blocks.cells import quiet, run_cell
from workflows.grid import SIZE, Grid, Index
from workflows.studies.base import Cell, Prepared, Study

MOST_CELLS = 12
_STEPS = (0.618, 0.755, 0.820, 0.857, 0.881, 0.898, 0.911)
"""Irrational-like steps, one per axis, so that a few cells lie spread over all axes (a Kronecker sequence)."""


@dataclass(frozen=True)
class Timing:
    """One timed cell.

    Parameters
    ----------
    cell
        Its labels.
    seconds
        Time of its computation; NaN where it failed.
    cost
        What the study expects, in the study's own units.
    error
        Why there is no time.
    """

    cell: Cell
    seconds: float
    cost: float
    error: str = ""


def choose(grid: Grid, open_cells: np.ndarray, cost: Callable[[Index], float], n: int = MOST_CELLS) -> list[Index]:
    """Return cells to time: the largest size first, the middle, the smallest, and again elsewhere on the other axes.

    Parameters
    ----------
    grid
        The grid.
    open_cells
        Which cells may be chosen (bool, grid).
    cost
        Expected cost of a cell; orders the cells of a grid without sizes.
    n
        How many at most.

    Examples
    --------
    >>> from workflows.studies.base import Axis
    >>> grid = Grid((Axis("size", (10, 20, 30, "all")), Axis("repetition", tuple(range(100)))))
    >>> [grid.cell(index)["size"] for index in choose(grid, np.ones(grid.shape, bool), lambda index: 1.0, 4)]
    [0, 30, 10, 0]
    """
    pools = _pools(grid, open_cells, cost)
    chosen: list[Index] = []
    for k in range(3 * n):
        pool = pools[k % len(pools)]
        index = _spread(pool, k, grid.shape)
        if index not in chosen:
            chosen.append(index)
        if len(chosen) == n:
            break
    return chosen


def _pools(grid: Grid, open_cells: np.ndarray, cost: Callable[[Index], float]) -> list[np.ndarray]:
    """Return the cells (cell, axis) of the largest, middle and smallest size, or, without sizes, of all costs."""
    if SIZE not in grid.names:
        cells = _sample(np.argwhere(open_cells), 2_000)
        order = np.argsort([-cost(tuple(index)) for index in cells.tolist()], kind="stable")
        parts = np.array_split(cells[order], min(3, len(cells)))
        return [part for part in parts if len(part)]
    position = grid.names.index(SIZE)
    others = tuple(i for i in range(len(grid.shape)) if i != position)
    possible = np.flatnonzero(open_cells.any(axis=others))
    ordered = sorted(possible, key=lambda i: grid.labels(SIZE)[i] or np.inf)
    wanted = dict.fromkeys([ordered[-1], ordered[len(ordered) // 2], ordered[0]])
    pools = []
    for number in wanted:
        cells = np.argwhere(open_cells.take([number], axis=position))
        cells[:, position] = number
        pools.append(cells)
    return pools


def _spread(pool: np.ndarray, k: int, shape: Index) -> Index:
    """Return the cell of the pool nearest to the k-th point of a sequence that fills the grid evenly."""
    steps = np.array([_STEPS[i % len(_STEPS)] for i in range(len(shape))])
    point = (0.5 + k * steps) % 1.0 * np.array(shape)
    distance = np.abs((pool + 0.5 - point) / np.array(shape)).sum(axis=1)
    return tuple(int(i) for i in pool[int(distance.argmin())])


def _sample(cells: np.ndarray, n: int) -> np.ndarray:
    return cells[np.unique(np.linspace(0, len(cells) - 1, min(n, len(cells))).astype(int))]


def measure(
    study: Study,
    cells: Sequence[Cell],
    prepared: Callable[[Cell], Prepared | None],
    run_folder: Path,
    budget: float,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> list[Timing]:
    """Compute cells in this process, as a worker would, and return their times; the store is not touched.

    The last cell is computed once beforehand, untimed, so that no time holds a compilation. After the first two
    cells (the largest and the middle size) no further one is begun once ``budget`` seconds have passed.
    """
    timings: list[Timing] = []
    dimensions = study.dimensions([one for cell in cells if (one := prepared(cell)) is not None])
    with quiet():
        for cell in cells[-1:]:
            _time(study, cell, prepared(cell), run_folder, dimensions)
        start = time.monotonic()
        for cell in cells:
            if len(timings) >= 2 and time.monotonic() - start > budget:
                break
            timings.append(_time(study, cell, prepared(cell), run_folder, dimensions))
            progress(len(timings), len(cells))
    return timings


def _time(
    study: Study, cell: Cell, prepared: Prepared | None, run_folder: Path, dimensions: Mapping[str, int]
) -> Timing:
    cost = study.cost(cell, prepared.facts if prepared is not None else {})
    if prepared is not None and prepared.error_type:
        return Timing(cell, float("nan"), cost, f"{prepared.error_type}: {prepared.error}")
    outputs = {output.name: output for output in study.outputs()}
    start = time.perf_counter()
    record = run_cell(study, cell, prepared, run_folder, outputs, dimensions)
    seconds = time.perf_counter() - start
    if record["status"] == layout.OK:
        return Timing(cell, seconds, cost)
    message = str(record["error"]).partition("\n")[0]
    return Timing(
        cell, float("nan"), cost, f"{record.get('error_type', layout.STATUS_NAMES[record['status']])}: {message}"
    )


def peak_memory() -> float:
    """Return the largest memory this process has had, in MiB.

    Examples
    --------
    >>> peak_memory() > 10
    True
    """
    # macOS counts in bytes, Linux in kibibytes
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def extrapolate(
    timings: Sequence[Timing], cost: np.ndarray, weight: np.ndarray, spread: float = 0.0
) -> tuple[float, float, float]:
    """Return the seconds all cells take: the likely value and its range.

    Parameters
    ----------
    timings
        The pilot's.
    cost
        Expected cost of groups of cells (group,), in the study's units.
    weight
        Number of cells in each group (group,).
    spread
        Standard error of the whole cost, relative to it: that of sources nobody has looked into.

    Returns
    -------
    tuple of float
        Low, likely, high. Between the costs of the pilot's cells the seconds per cost are interpolated on logarithmic
        axes. The range holds two standard errors of the pilot's scatter and of the unread sources, and 25 % for another
        hour on the machine.

    Examples
    --------
    >>> timings = [Timing({}, 0.1, 10.0), Timing({}, 1.0, 100.0)]
    >>> [round(seconds) for seconds in extrapolate(timings, np.array([10.0, 100.0]), np.array([10, 10]))]
    [7, 11, 18]
    """
    usable = [timing for timing in timings if np.isfinite(timing.seconds) and timing.cost > 0]
    if not usable or not len(cost):
        return (0.0, 0.0, 0.0) if not len(cost) else (float("nan"),) * 3
    x = np.log([timing.cost for timing in usable])
    ratio = np.array([max(timing.seconds, 1e-6) / timing.cost for timing in usable])
    knots, group = np.unique(np.round(x, 6), return_inverse=True)
    mean = np.log(np.bincount(group, ratio) / np.bincount(group))
    predicted = np.exp(np.interp(np.log(np.maximum(cost, 1e-300)), knots, mean)) * cost
    likely = float(predicted @ weight)
    freedom = len(usable) - len(knots)
    scatter = np.sqrt(((np.log(ratio) - mean[group]) ** 2).sum() / freedom) if freedom else 0.3
    factor = float(np.exp(np.linalg.norm([2 * scatter / np.sqrt(len(usable)), 2 * spread, np.log(1.25)])))
    return likely / factor, likely, likely * factor
