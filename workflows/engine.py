"""The sweep engine: from a study and a Dask client to a store in which every cell has a status."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np

from neq.errors import ChunkError, SweepError
from workflows import config as run_config
from workflows import layout, store
from workflows.blocks import owners, reset, stopping
from workflows.blocks.dispatch import Dispatch
from workflows.grid import Grid
from workflows.lease import Lease
from workflows.reconcile import reconcile
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Prepared, Study

FRUITLESS_ROUNDS = 3
"""The sweep stops when cells are still pending after so many rounds without a new one done."""


@dataclass(frozen=True)
class SweepResult:
    """How the cells of a config stand at the end, and what this run did.

    Parameters
    ----------
    n_cell
        Cells of the config; the next five add up to it.
    n_computed
        Cells that this run computed.
    seconds
        Time of this run.
    """

    n_cell: int
    n_ok: int
    n_failed: int
    n_impossible: int
    n_not_needed: int
    n_pending: int
    n_computed: int
    seconds: float


def prepare_store(run_folder: str | Path, study: Study, prepared: Sequence[Prepared], lease: Lease) -> Store:
    """Return the store of a run: made where there is none, else grown by what is new in the config.

    Raises
    ------
    neq.errors.StudyMismatchError
        The store there belongs to another study.
    """
    lease.check()
    path = Path(run_folder) / STORE_NAME
    if not path.exists():
        return store.create(path, study, prepared, Grid(study.axes()), study.config.sweep.block)
    owners.revoke_all(path.parent, lease.epoch)
    return reconcile(Store.open(path, "r+"), study, prepared)


def run_sweep(
    run_folder: str | Path,
    study: Study,
    config: run_config.RunConfig,
    client: distributed.Client,
    lease: Lease,
    progress: Callable[[int, int, int], Any] = lambda done, total, failed: None,
    only: np.ndarray | None = None,
    run_id: str = "",
) -> SweepResult:
    """Compute the pending cells of a config until none is left.

    Parameters
    ----------
    run_folder
        Has a store that fits the study; see :func:`prepare_store`.
    progress
        Called with the numbers of cells done, of all, and of failed ones.
    only
        Compute no other cells than those True here (bool, grid of the store), all of them whatever the stop rule.
    run_id
        Kept with each cell; the lease's number by default.

    Raises
    ------
    neq.errors.LeaseLostError, neq.errors.StoreError, neq.errors.SweepError
        The sweep stopped; what is done is in the store, and the same command goes on from there.
    """
    folder = Path(run_folder).absolute()
    start = time.monotonic()
    lease.check()
    with store.problems(folder):
        owners.revoke_all(folder, lease.epoch)
    opened = Store.open(folder / STORE_NAME, "r+")
    store.drop_consolidated(opened.path)
    wanted = wanted_cells(opened, study)
    wanted &= True if only is None else only
    run_id = run_id or str(lease.epoch)
    # before the sources are looked at: what counts again may be a cell of a source that could not be read
    stopping.settle(opened, study, config.sweep.stop, lease)
    reset.settle_ingest(opened, wanted, lease, run_id)
    dispatch = Dispatch(opened, client, lease, config.sweep, run_id, progress)
    if config.sweep.stop is not None and only is None:
        dispatch.stopping = stopping.Stopping(opened, study, config.sweep.stop, lease)
    computed = _rounds(opened, wanted, dispatch, lambda: stopping.settle(opened, study, config.sweep.stop, lease))
    lease.check()
    store.consolidate(opened.path)
    return _result(opened.status()[wanted], computed, time.monotonic() - start)


def wanted_cells(opened: Store, study: Study) -> np.ndarray:
    """Return which cells of the store the study's config names (bool, grid); labels it leaves out are left alone."""
    return opened.grid.mask({axis.name: axis.labels for axis in study.axes()})


def _rounds(opened: Store, wanted: np.ndarray, dispatch: Dispatch, settle: Callable[[], np.ndarray]) -> int:
    """Offer pending cells until the store has none; futures are never believed, only the store.

    ``settle`` marks the cells that are not needed and returns the status.
    """
    fruitless, last = 0, -1
    while True:
        status = settle()
        pending = wanted & (status == layout.PENDING) & ~dispatch.damaged
        n_pending = int(pending.sum())
        dispatch.count(status[wanted])
        if not n_pending:
            break
        fruitless = fruitless + 1 if n_pending == last else 0
        if fruitless >= FRUITLESS_ROUNDS:
            raise SweepError(
                f"{n_pending} cells of {opened.path} stay pending though all tasks ended: "
                "`neq doctor` shows what is wrong with the store."
            )
        last = n_pending
        dispatch.run(pending)
    if dispatch.problems:
        first = next(iter(dispatch.problems.values()))
        raise ChunkError(
            f"{first} All other cells are done."
            if len(dispatch.problems) == 1
            else f"{len(dispatch.problems)} blocks could not be computed. The first: {first}"
        )
    return dispatch.n_computed


def _result(status: np.ndarray, computed: int, seconds: float) -> SweepResult:
    counts: Counter[int] = Counter(status.tolist())
    by_name = {f"n_{name}": counts[code] for code, name in enumerate(layout.STATUS_NAMES)}
    return SweepResult(n_cell=status.size, n_computed=computed, seconds=seconds, **by_name)
