"""The cells of a plan under the stop rule of its config."""

from __future__ import annotations

import numpy as np

from workflows import layout, stop
from workflows.blocks import stopping
from workflows.config import StopConfig
from workflows.grid import REPETITION, Grid
from workflows.store import Store
from workflows.studies.base import Study


def states(grid: Grid, old: Store | None, study: Study) -> tuple[np.ndarray, int | None]:
    """Return the status of every cell as the rule has it now, and how many pending ones it needs in any case.

    Parameters
    ----------
    grid
        The axes of the config.
    old
        The store, where there is one.
    study
        The study.

    Returns
    -------
    status
        Codes (u1, grid); cells the store does not have are pending.
    n_least
        None where there is no rule.
    """
    rule: StopConfig | None = study.config.sweep.stop
    if old is None or old.names != grid.names:
        status, values = np.zeros(grid.shape, "u1"), np.full(grid.shape, np.nan)
    else:
        status = on_grid(grid, old, stopping.outlook(old, study, rule), layout.PENDING)
        values = on_grid(grid, old, old.read(stop.variable(study)), np.nan) if rule else np.empty(0)
    if rule is None:
        return status, None
    places = stop.Repetitions.of(grid, grid.labels(REPETITION))
    turned = places.last(status)
    found = stop.prefix(turned, places.last(values), rule)
    places.put(status, stop.judged(turned, found))
    sure = np.arange(turned.shape[-1]) < found.offered(rule)[..., None]
    return status, int((sure & (turned == layout.PENDING)).sum())


def on_grid(grid: Grid, old: Store, array: np.ndarray, fill: float) -> np.ndarray:
    """Return an array of a store's grid on ``grid``, which has the same axes; ``fill`` where the store has no cell."""
    found = np.full(grid.shape, fill, array.dtype)
    places, wanted = [], []
    for name in grid.names:
        there = {label: i for i, label in enumerate(old.labels(name))}
        pairs = [(i, there[label]) for i, label in enumerate(grid.labels(name)) if label in there]
        wanted.append([i for i, _ in pairs])
        places.append([j for _, j in pairs])
    found[np.ix_(*wanted)] = array[np.ix_(*places)]
    return found
