"""What a sweep will cost, from a few of its cells."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from workflows import config as run_config
from workflows import layout, studies
from workflows.blocks import task
from workflows.commands import disk_use, pilot
from workflows.grid import REPETITION, Blocks, Grid, Index, stored_label
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Cell, Prepared, Source, Study

MOST_SOURCES = 3
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
    ingest_seconds
        Time to read all sources, from those read now.
    """

    grid: Grid
    blocks: Blocks
    counts: dict[str, int]
    n_block_open: int
    n_impossible: int
    timings: list[pilot.Timing]
    seconds: tuple[float, float, float]
    peak_memory: float
    store_bytes: int
    spikes_bytes: int
    n_source: int
    n_source_read: int
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
    """
    study = studies.study_class(config.study)(config)
    grid = Grid(study.axes())
    folder = config.run_folder
    old = Store.open(folder / STORE_NAME) if (folder / STORE_NAME).exists() else None
    status = status_on(grid, old)
    chunk = old.chunk if old is not None else grid.block_shape(config.sweep.block)
    blocks = Blocks(grid.shape, chunk)
    prepared, ingest_seconds = _prepare(study, config, folder, old)
    lookup = _lookup(prepared)
    pending = status == layout.PENDING
    known = _known_mask(grid, prepared) if study.sources() else np.ones(grid.shape, bool)
    groups, weight = _groups(grid, pending)
    facts = [one.facts if (one := lookup(cell)) is not None else {} for cell in groups]
    out = np.array([study.impossible(cell, fact) for cell, fact in zip(groups, facts, strict=True)], bool)
    typical = next((one.facts for one in prepared if not one.error_type), {})
    cost = np.array([study.cost(cell, fact or typical) for cell, fact in zip(groups, facts, strict=True)], float)
    timings = _time_cells(study, grid, pending & known, lookup, folder, budget, progress)
    low, likely, high = pilot.extrapolate(timings, cost[~out], weight[~out])
    overhead = ENGINE_SECONDS * float(weight.sum())
    return Plan(
        grid=grid,
        blocks=blocks,
        counts={name: int((status == code).sum()) for code, name in enumerate(layout.STATUS_NAMES)},
        n_block_open=len(blocks.holding(pending)),
        n_impossible=round(float(weight[out].sum())),
        timings=timings,
        seconds=(low + overhead, likely + overhead, high + overhead),
        peak_memory=pilot.peak_memory(),
        store_bytes=disk_use.store_bytes(study, grid, blocks, study.dimensions(prepared)),
        spikes_bytes=disk_use.spikes_bytes(folder, prepared, len(study.sources())),
        n_source=len(study.sources()),
        n_source_read=sum(not one.error_type for one in prepared),
        ingest_seconds=ingest_seconds,
    )


def status_on(grid: Grid, old: Store | None) -> np.ndarray:
    """Return the status in a store of every cell of ``grid`` (u1, grid); cells the store does not have are pending."""
    status = np.zeros(grid.shape, "u1")
    if old is None or old.names != grid.names:
        return status
    places, wanted = [], []
    for name in grid.names:
        there = {label: i for i, label in enumerate(old.labels(name))}
        pairs = [(i, there[label]) for i, label in enumerate(grid.labels(name)) if label in there]
        wanted.append([i for i, _ in pairs])
        places.append([j for _, j in pairs])
    status[np.ix_(*wanted)] = old.status()[np.ix_(*places)]
    return status


def _prepare(
    study: Study, config: run_config.RunConfig, folder: Path, old: Store | None
) -> tuple[list[Prepared], float]:
    """Return what is known of the sources, a few of them prepared now, and the time all would take."""
    sources = study.sources()
    known = {_key(one.labels): one for one in (old.prepared if old is not None else []) if one.content}
    known = {key: one for key, one in known.items() if (folder / one.path).exists()}
    places = np.linspace(0, len(sources) - 1, min(MOST_SOURCES, len(sources))).astype(int)
    chosen = [sources[i] for i in places]
    missing = [source for source in chosen if _key(source.labels) not in known]
    start = time.monotonic()
    for source in missing:
        known[_key(source.labels)] = _ingest(config, folder, source)
    seconds = (time.monotonic() - start) / max(1, len(missing)) * len(sources)
    return [known[key] for source in sources if (key := _key(source.labels)) in known], seconds


def _ingest(config: run_config.RunConfig, folder: Path, source: Source) -> Prepared:
    folder.mkdir(parents=True, exist_ok=True)
    return Prepared(**task.run_ingest(str(folder), run_config.science(config), asdict(source)))


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


def _known_mask(grid: Grid, prepared: Sequence[Prepared]) -> np.ndarray:
    """Return which cells have a source that was read (bool, grid)."""
    masks = [grid.mask({name: (label,) for name, label in one.labels.items()}) for one in prepared if one.content]
    return np.logical_or.reduce(masks) if masks else np.zeros(grid.shape, bool)


def _lookup(prepared: Sequence[Prepared]) -> Callable[[Cell], Prepared | None]:
    by_labels = {_key(one.labels): one for one in prepared}
    names = list(prepared[0].labels) if prepared else []
    return lambda cell: by_labels.get(_key({name: cell[name] for name in names})) if names else None


def _key(labels: Cell) -> tuple[Any, ...]:
    return tuple((name, stored_label(name, labels[name])) for name in sorted(labels))
