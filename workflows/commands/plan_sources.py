"""What a plan knows of the sources: a few are read, the others are taken to be like them."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from workflows import config as run_config
from workflows.blocks import task
from workflows.commands import prepare_sources
from workflows.grid import REPETITION, Grid, stored_label
from workflows.run_folder import sources_changed
from workflows.store import Store, problems
from workflows.studies.base import Cell, Prepared, Source, Study

MOST_SOURCES = 3
UNKNOWN_SPREAD = 0.5
"""Relative deviation of cost between sources where only one is known."""


def prepare(
    study: Study, config: run_config.RunConfig, folder: Path, old: Store | None
) -> tuple[list[Prepared], float]:
    """Return what is known of the sources, a few of them prepared now, and the time all would take.

    Raises
    ------
    neq.errors.RecordingError
        There is no store, and no source can be read; no folder is left behind.
    """
    sources = study.sources()
    found = {} if old is None or sources_changed(folder) else {_key(one.labels): one for one in old.prepared}
    found = {key: one for key, one in found.items() if one.content and (folder / one.path).exists()}
    start, tried = time.monotonic(), 0
    with _no_empty_folder(folder):
        for number, source in enumerate(_spread(sources)):
            # further ones only until one can be read
            if number >= MOST_SOURCES and any(one.content for one in found.values()):
                break
            if _key(source.labels) not in found:
                found[_key(source.labels)] = _ingest(config, folder, source)
                tried += 1
        prepared = [found[key] for source in sources if (key := _key(source.labels)) in found]
        if old is None and sources and all(one.error_type for one in prepared):
            raise prepare_sources.refusal(prepared)
    return prepared, (time.monotonic() - start) / max(1, tried) * len(sources)


def known(grid: Grid, prepared: Sequence[Prepared]) -> np.ndarray:
    """Return which cells have a source that was read (bool, grid)."""
    masks = [grid.mask({name: (label,) for name, label in one.labels.items()}) for one in prepared if one.content]
    return np.logical_or.reduce(masks) if masks else np.zeros(grid.shape, bool)


def lookup(prepared: Sequence[Prepared]) -> Callable[[Cell], Prepared | None]:
    """Return the function that finds what is known of the source of a cell."""
    by_labels = {_key(one.labels): one for one in prepared}
    names = list(prepared[0].labels) if prepared else []
    return lambda cell: by_labels.get(_key({name: cell[name] for name in names})) if names else None


def costs(
    study: Study, groups: Sequence[Cell], weight: np.ndarray, prepared: Sequence[Prepared]
) -> tuple[np.ndarray, float]:
    """Return the expected cost of a cell of each group (group,) and the relative standard error of the whole.

    A cell whose source is not known costs the mean over the known sources; the error is that of this mean.
    """
    find, readable = lookup(prepared), [one for one in prepared if one.content and not one.error_type]
    if not readable:
        return np.array([study.cost(cell, {}) for cell in groups], float), 0.0
    names = list(readable[0].labels)
    examples = [one.facts for one in _spread(readable)[: 10 * MOST_SOURCES]]
    like: dict[tuple[Any, ...], np.ndarray] = {}
    cost, unread, whole = np.zeros(len(groups)), set(), np.zeros(len(examples))
    for number, cell in enumerate(groups):
        one = find(cell)
        if one is not None and not one.error_type:
            cost[number] = study.cost(cell, one.facts)
            continue
        key = tuple(label for name, label in cell.items() if name not in (*names, REPETITION))
        if key not in like:
            like[key] = np.array([_cost(study, cell, facts) for facts in examples])
        cost[number] = like[key].mean()
        whole += weight[number] * like[key]
        unread.add(tuple(cell[name] for name in names))
    if not whole.any():
        return cost, 0.0
    deviation = whole.std(ddof=1) if len(examples) > 1 else UNKNOWN_SPREAD * whole.mean()
    return cost, float(deviation * np.sqrt(1 / len(examples) + 1 / len(unread)) / (cost @ weight))


def _cost(study: Study, cell: Cell, facts: dict[str, Any]) -> float:
    return 0.0 if study.impossible(cell, facts) else study.cost(cell, facts)


def _spread(items: Sequence[Any]) -> list[Any]:
    """Return all items, the first few spread over their order."""
    first = np.unique(np.linspace(0, len(items) - 1, min(MOST_SOURCES, len(items))).astype(int)).tolist()
    return [items[i] for i in [*first, *(i for i in range(len(items)) if i not in first)]]


def _ingest(config: run_config.RunConfig, folder: Path, source: Source) -> Prepared:
    with problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return Prepared(**task.run_ingest(str(folder), run_config.science(config), asdict(source)))


@contextlib.contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folders made in the block where it ends in an error, unless somebody else uses them by then."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            if made and {path.name for path in folder.iterdir()} <= {"spikes"}:
                shutil.rmtree(folder)
                for path in made[1:]:
                    path.rmdir()
        raise


def _key(labels: Cell) -> tuple[Any, ...]:
    return tuple((name, stored_label(name, labels[name])) for name in sorted(labels))
