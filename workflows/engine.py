"""The sweep engine: from a study and a Dask client to a store in which every cell has a status."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np

from neq.errors import ChunkError, SweepError
from workflows import config as run_config
from workflows import layout, store
from workflows.blocks import owners, reset, stopping, task
from workflows.blocks.dispatch import Dispatch
from workflows.grid import Grid
from workflows.lease import Lease
from workflows.reconcile import reconcile
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Prepared, Source, Study

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


def ingest(
    run_folder: str | Path,
    study: Study,
    client: distributed.Client,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> list[Prepared]:
    """Prepare all sources of a study on the workers; one that fails comes back with its error, the others go on."""
    sources = study.sources()
    reader = _Reader(client, str(Path(run_folder).absolute()), run_config.science(study.config))
    prepared: dict[int, Prepared] = {}
    progress(0, len(sources))
    for number, one in reader.read(dict(enumerate(sources))):
        prepared[number] = one
        progress(len(prepared), len(sources))
    lost = [number for number in range(len(sources)) if number not in prepared]
    for number in lost:
        # alone, so that a source whose worker died for another one's sake is not blamed
        for _ in range(study.config.sweep.deaths - 1):
            prepared.update(reader.read({number: sources[number]}))
            if number in prepared:
                break
        else:
            error = "the worker died while it read this source"
            prepared[number] = Prepared(sources[number].labels, error_type=task.WORKER_LOST, error=error)
        progress(len(prepared), len(sources))
    return [prepared[number] for number in range(len(sources))]


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


class _Reader:
    """Runs ingest tasks; those whose worker died yield nothing."""

    def __init__(self, client: distributed.Client, run_folder: str, science: Mapping[str, Any]) -> None:
        self.client = client
        self.arguments = (run_folder, science)

    def read(self, sources: Mapping[int, Source]) -> Iterator[tuple[int, Prepared]]:
        """Yield number and outcome of each source as it is prepared."""
        nonce = uuid.uuid4().hex[:6]
        futures = {}
        for number, source in sources.items():
            # one group of tasks in the dashboard, however many sources; a dash would end a label
            key = f"ingest-({', '.join(map(str, source.labels.values())).replace('-', '_')})-{number}-{nonce}"
            future = self.client.submit(task.run_ingest, *self.arguments, asdict(source), key=key, pure=False)
            futures[future] = number
        for future in distributed.as_completed(list(futures)):
            error = future.exception()
            if error is None:
                yield futures[future], Prepared(**future.result())
            elif not isinstance(error, distributed.KilledWorker):
                raise SweepError(f"A source could not be prepared ({type(error).__name__}: {error}).") from error


def _result(status: np.ndarray, computed: int, seconds: float) -> SweepResult:
    counts: Counter[int] = Counter(status.tolist())
    by_name = {f"n_{name}": counts[code] for code, name in enumerate(layout.STATUS_NAMES)}
    return SweepResult(n_cell=status.size, n_computed=computed, seconds=seconds, **by_name)
