"""What a sweep will cost, from a few of its cells."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from workflows import config as run_config
from workflows import layout, studies
from workflows.commands import complaints, disk_use, pilot, plan_sources, plan_stop
from workflows.grid import REPETITION, Blocks, Grid, Index
from workflows.reconcile import refuse_another
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Cell, Prepared, Study

MOST_GROUPS = 100_000
ENGINE_SECONDS = 1e-3
"""Worker time of a cell that is not its computation."""


@dataclass(frozen=True)
class Plan:
    """What is known of a sweep before it runs; see :func:`make`.

    Parameters
    ----------
    grid, blocks
        All cells, and how they are cut.
    counts
        Cells of the grid by state in the store.
    n_block_open
        Blocks with a cell to compute.
    n_impossible
        Cells still to do of which the sources read so far say that they cannot exist.
    n_least
        Cells still to do that a stop rule needs in any case; None where there is no rule. Times are of all cells.
    timings
        The timed cells.
    seconds
        Worker time of all cells to do: low, likely, high.
    peak_memory
        MiB of one worker.
    store_bytes, spikes_bytes
        Size on disk, at most.
    n_source, n_source_read
        Sources there are, and of which the facts are known.
    broken
        Sources that could not be read, each with the reason.
    ingest_seconds
        Time to read all sources, from those read now.
    """

    grid: Grid
    blocks: Blocks
    counts: dict[str, int]
    n_block_open: int
    n_impossible: int
    n_least: int | None
    timings: list[pilot.Timing]
    seconds: tuple[float, float, float]
    peak_memory: float
    store_bytes: int
    spikes_bytes: int
    n_source: int
    n_source_read: int
    broken: list[str]
    ingest_seconds: float

    @property
    def n_open(self) -> int:
        """Cells to compute."""
        return self.counts["pending"] - self.n_impossible

    @property
    def local_workers(self) -> int:
        """Workers that this machine feeds: no more than cores, memory and blocks allow."""
        memory = psutil.virtual_memory().total / 2**20
        return max(1, min(cores(), int(0.8 * memory / self.peak_memory), self.n_block_open or 1))

    @property
    def hour_workers(self) -> int:
        """Workers to end within an hour, no more than half the open blocks so that none is idle for long."""
        likely = self.seconds[1] if math.isfinite(self.seconds[1]) else 0.0
        return max(1, min(math.ceil(likely / 3600), self.n_block_open // 2))


def cores() -> int:
    """Return the cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def make(
    config: run_config.RunConfig,
    budget: float = 30.0,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Plan:
    """Plan the sweep of a config: time a few cells in this process and scale them to the grid.

    Sources that the timed cells need are prepared in the run folder, where a later run finds them; the store is not
    written.

    Parameters
    ----------
    config
        The config.
    budget
        Seconds after which no further cell is timed.
    progress
        Called with the timed and the chosen number of cells.

    Raises
    ------
    neq.errors.StudyMismatchError
        The store there belongs to another study.
    neq.errors.RecordingError
        No source can be read.
    """
    study = studies.study_class(config.study)(config)
    grid = Grid(study.axes())
    folder = config.run_folder
    old = Store.open(folder / STORE_NAME) if (folder / STORE_NAME).exists() else None
    if old is not None:
        refuse_another(old, study, grid, [])
    status, n_least = plan_stop.states(grid, old, study)
    chunk = old.chunk if old is not None else grid.block_shape(config.sweep.block)
    blocks = Blocks(grid.shape, chunk)
    prepared, ingest_seconds = plan_sources.prepare(study, config, folder, old)
    if old is not None:
        refuse_another(old, study, grid, prepared)
    lookup = plan_sources.lookup(prepared)
    pending = status == layout.PENDING
    known = plan_sources.known(grid, prepared) if study.sources() else np.ones(grid.shape, bool)
    groups, weight = _groups(grid, pending)
    cost, spread = plan_sources.costs(study, groups, weight, prepared)
    out = np.array([study.impossible(cell, one.facts if (one := lookup(cell)) else {}) for cell in groups], bool)
    timings = _time_cells(study, grid, pending & known, lookup, folder, budget, progress)
    low, likely, high = pilot.extrapolate(timings, cost[~out], weight[~out], spread)
    overhead = ENGINE_SECONDS * float(weight.sum())
    return Plan(
        grid=grid,
        blocks=blocks,
        counts={name: int((status == code).sum()) for code, name in enumerate(layout.STATUS_NAMES)},
        n_block_open=len(blocks.holding(pending)),
        n_impossible=round(float(weight[out].sum())),
        n_least=n_least,
        timings=timings,
        seconds=(low + overhead, likely + overhead, high + overhead),
        peak_memory=pilot.peak_memory(),
        store_bytes=disk_use.store_bytes(study, grid, blocks, study.dimensions(prepared)),
        spikes_bytes=disk_use.spikes_bytes(folder, prepared, len(study.sources())),
        n_source=len(study.sources()),
        n_source_read=sum(not one.error_type for one in prepared),
        broken=complaints.complaints(prepared),
        ingest_seconds=ingest_seconds,
    )


def status_on(grid: Grid, old: Store | None) -> np.ndarray:
    """Return the status in a store of every cell of ``grid`` (u1, grid); cells the store does not have are pending."""
    if old is None or old.names != grid.names:
        return np.zeros(grid.shape, "u1")
    return plan_stop.on_grid(grid, old, old.status(), layout.PENDING)


def _time_cells(
    study: Study,
    grid: Grid,
    usable: np.ndarray,
    lookup: Callable[[Cell], Prepared | None],
    folder: Path,
    budget: float,
    progress: Callable[[int, int], Any],
) -> list[pilot.Timing]:
    """Time cells among the usable ones, leaving out those known to be impossible."""

    def facts(index: Index) -> tuple[Cell, dict[str, Any]]:
        cell = grid.cell(index)
        found = lookup(cell)
        return cell, found.facts if found is not None else {}

    # what is impossible hangs on the source and the size, so that testing one repetition will do
    first = usable.any(axis=grid.names.index(REPETITION), keepdims=True) if REPETITION in grid.names else usable
    for index in np.argwhere(first)[:MOST_GROUPS]:
        if study.impossible(*facts(tuple(int(i) for i in index))):
            repetitions = [slice(None) if name == REPETITION else i for name, i in zip(grid.names, index, strict=True)]
            usable[tuple(repetitions)] = False
    if not usable.any():
        return []
    chosen = pilot.choose(grid, usable, lambda index: study.cost(*facts(index)))
    cells = [grid.cell(index) for index in chosen]
    return pilot.measure(study, cells, lookup, folder, budget, progress)


def _groups(grid: Grid, pending: np.ndarray) -> tuple[list[Cell], np.ndarray]:
    """Return cells that stand for all to do (repetitions of one another together) and how many each stands for."""
    weight = pending.astype(np.int64)
    if REPETITION in grid.names:
        weight = weight.sum(axis=grid.names.index(REPETITION), keepdims=True)
    indices = np.argwhere(weight)
    if len(indices) > MOST_GROUPS:
        indices = indices[np.unique(np.linspace(0, len(indices) - 1, MOST_GROUPS).astype(int))]
    counts = weight[tuple(indices.T)].astype(float)
    scale = weight.sum() / max(1.0, counts.sum())
    return [grid.cell(tuple(index)) for index in indices.tolist()], counts * scale
