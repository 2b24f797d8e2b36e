"""What runs on a worker: all pending cells of one block, or the preparation of one source."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster import leaving
from neq.errors import ChunkError, StoreError
from workflows import config, layout, studies
from workflows.blocks import cells as cell_work
from workflows.blocks import owners
from workflows.blocks.block import BlockValues
from workflows.blocks.flush import ClaimedError, Encoder, Fence, FencedError
from workflows.store import STORE_NAME, Store, write_problem
from workflows.studies.base import Prepared, Source, Study

FLUSH_SECONDS = 2.0
"""Finished cells wait so long in memory, where the config says nothing else; a killed task loses no more than that."""
WORKER_LOST = "WorkerLost"


def run_block(
    run_folder: str,
    block: str,
    token: str,
    condemned: Mapping[int, str] | None = None,
    cells: Sequence[int] | None = None,
    run_id: str = "",
    flush_seconds: float | None = None,
) -> dict[str, Any]:
    """Compute the pending cells of a block and write them; everything that can go wrong is in the result.

    Parameters
    ----------
    run_folder, block, token
        Where, what, and under which right to write.
    condemned
        Numbers of cells that killed their workers, with the reason: marked failed, not computed.
    cells
        Numbers of the cells to compute; None: all that are pending.
    run_id
        Kept with each cell.
    flush_seconds
        Finished cells wait so long in memory at most; None: ``FLUSH_SECONDS``.

    Returns
    -------
    dict
        ``state`` (``done``, ``left``, ``fenced``, ``claimed``, ``disk``, ``chunk``), ``message``, ``seconds`` spent
        in cells, ``longest`` of them, and how many cells ended in each status. ``left`` is a task whose worker has
        to go before all cells are done.
    """
    folder = Path(run_folder)
    seconds = FLUSH_SECONDS if flush_seconds is None else flush_seconds
    work = _Work(folder, block, Fence(owners.block_folder(folder, block) / token), run_id, seconds)
    state, message = "done", ""
    try:
        work.fence.claim()
        if work.run(dict(condemned or {}), cells):
            state = "left"
    except FencedError:
        state = "fenced"
    except ClaimedError:
        state = "claimed"
    except ChunkError as error:
        state, message = "chunk", str(error)
    except StoreError as error:
        state, message = "disk", str(error)
    except OSError as error:
        state, message = "disk", write_problem(folder / STORE_NAME, error)
    counts = {layout.STATUS_NAMES[status]: n for status, n in work.counts.items()}
    cost = {"seconds": work.seconds, "longest": work.longest}
    return {"block": block, "state": state, "message": message, **cost, **counts}


class _Work:
    """One block in the hands of one task."""

    def __init__(self, run_folder: Path, block: str, fence: Fence, run_id: str, flush_seconds: float) -> None:
        self.run_folder = run_folder
        self.block = block
        self.fence = fence
        self.run_id = run_id
        self.flush_seconds = flush_seconds
        self.seconds = self.longest = 0.0
        self.counts: Counter[int] = Counter()

    def run(self, condemned: Mapping[int, str], cells: Sequence[int] | None) -> bool:
        """Compute the cells; return whether some are left because this worker has to go."""
        store, encoder = opened(self.run_folder / STORE_NAME)
        study = store.study
        values = BlockValues(store, self.block, encoder)
        wanted = set(cells) if cells is not None else None
        earlier = owners.earlier_starts(self.run_folder, self.block)
        flushed = time.monotonic()
        with cell_work.quiet():
            try:
                for number in values.pending():
                    if number in condemned:
                        record = cell_work.failure(WORKER_LOST, condemned[number])
                    elif wanted is None or number in wanted:
                        if leaving.time_is_up():
                            return True
                        record = self._compute(store, study, values, number)
                        record["attempts"] = min(255, 1 + earlier.get(number, 0))
                    else:
                        continue
                    values.put(number, {"run": self.run_id, "attempts": earlier.get(number, 0), **record})
                    self.counts[record["status"]] += 1
                    if time.monotonic() - flushed >= self.flush_seconds:
                        values.flush(self.fence)
                        flushed = time.monotonic()
            finally:
                # also when the process is asked to end: what is finished is kept
                values.flush(self.fence)
        return False

    def _compute(self, store: Store, study: Study, values: BlockValues, number: int) -> dict[str, Any]:
        self.fence.mark(number)
        cell = store.grid.cell(values.index(number))
        meter = cell_work.Meter()
        record = cell_work.run_cell(
            study, cell, store.prepared_for(cell), self.run_folder, store.study_outputs, store.dimensions
        )
        cost = meter.read()
        self.seconds += cost["seconds"]
        self.longest = max(self.longest, cost["seconds"])
        return {**record, **cost}


def run_ingest(run_folder: str, science: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare one source; a failure comes back in ``error_type`` and ``error`` of the Prepared, here as a dict."""
    try:
        made = config.rebuild(dict(science))
        study = studies.study_class(made.study)(made)
        with cell_work.quiet():
            prepared = study.ingest(Source(**source), Path(run_folder))
    except Exception as error:
        prepared = Prepared(dict(source["labels"]), error_type=type(error).__name__, error=str(error))
    return asdict(prepared)


def opened(path: Path) -> tuple[Store, Encoder]:
    """Return the open store and its encoder, kept by this process until the store's metadata change."""
    try:
        metadata = (path / "zarr.json").stat()
    except FileNotFoundError:
        Store.open(path)
        raise
    return _opened(path, metadata.st_mtime_ns, metadata.st_ino)


@lru_cache(maxsize=2)
def _opened(path: Path, mtime: int, inode: int) -> tuple[Store, Encoder]:
    store = Store.open(path)
    return store, Encoder(store)
