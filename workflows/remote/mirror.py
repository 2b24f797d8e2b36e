"""The copy of a run folder at a URL, kept by a thread of the driver while the sweep runs and completed at its end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from neq.errors import CopyError, LeaseLostError, NeqError
from workflows import layout
from workflows.remote import lease
from workflows.remote.blocks import Blocks
from workflows.remote.copies import Copies, files
from workflows.remote.place import Place, Pool
from workflows.store import STORE_NAME, Store

PASS_SECONDS = 10.0
"""What has changed is put so often."""
MOST_SECONDS = 60.0
"""Longest pause after passes that failed."""
LAST_TRIES = (2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds to wait between the tries to complete the copy at the end."""
_SPIKES, _JOBS, _METADATA = "spikes", "jobs", "zarr.json"


class Mirror:
    """Keeps the copy of a run folder.

    Parameters
    ----------
    place
        Where.
    folder
        The run folder.
    held
        The right to write there.
    say
        Called with what the user should know.
    """

    def __init__(self, place: Place, folder: Path, held: lease.Lease, say: Callable[[str], Any]) -> None:
        self.place, self.folder, self.held, self.say = place, folder, held, say
        self._copies: Copies | None = None
        self._told = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="neq-copy", daemon=True)

    def start(self) -> None:
        """Begin to put what changes."""
        self._thread.start()

    def leave(self) -> None:
        """Put what there is once more and end, complete or not; raises nothing."""
        self._end()
        try:
            self._pass(last=False)
        except (NeqError, OSError) as error:
            self.say(f"the copy at {self.place} is behind: {error}")

    def finish(self) -> None:
        """Put everything, and look whether it is there.

        Raises
        ------
        neq.errors.CopyError
            It is not; the message says what is missing.
        neq.errors.LeaseLostError
            Another driver has taken the URL over.
        """
        self._end()
        reason = ""
        for pause in (0.0, *LAST_TRIES):
            time.sleep(pause)
            try:
                self._pass(last=True)
                if not (missing := self._missing()):
                    self.say(f"{self.place} is complete: {self._n_put} objects put by this run")
                    return
                reason = f"the server lists {len(missing)} of them as missing or other ones, {missing[0]} first"
            except LeaseLostError:
                raise
            except (NeqError, OSError) as error:
                reason = str(error)
        behind = sum(1 for path in files(self.folder) if self._copies is None or not self._copies.is_current(path))
        raise CopyError(
            f"The copy at {self.place} is not complete, {max(1, behind)} objects are missing ({reason}) "
            f"All cells are in {self.folder}: give the same command again to complete the copy."
        )

    @property
    def _n_put(self) -> int:
        return 0 if self._copies is None else self._copies.n_put

    def _end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        pause = PASS_SECONDS
        while not self._stop.wait(pause):
            try:
                self._pass(last=False)
            except LeaseLostError:
                # the driver learns of it from the lease
                return
            except Exception as error:
                self._complain(error)
                pause = min(MOST_SECONDS, 2 * pause)
            else:
                pause = PASS_SECONDS
                if self._told:
                    self.say(f"the copy at {self.place} is up to date again")
                    self._told = False

    def _complain(self, error: Exception) -> None:
        """Say once that the copy falls behind."""
        if not self._told:
            what = str(error) if isinstance(error, NeqError) else f"{type(error).__name__}: {error}"
            self.say(f"the copy falls behind, the sweep goes on: {what}")
            self._told = True

    def _pass(self, last: bool) -> None:
        """Put what has changed since the last pass: metadata before chunks, what makes things finished last."""
        self.held.require()
        if self._copies is None:
            self._copies = Copies(self.place, self.folder, self.held)
            self._blocks = Blocks(self._copies)
        with Pool() as pool:
            self._put_spikes(pool)
            path = self.folder / STORE_NAME
            if (path / _METADATA).exists():
                self._put_store(Store.open(path), pool, last)
            pool.each(self._copies.put_file, list(self._others(last)))
            if last and path.exists():
                # consolidated metadata, which tell readers that nothing changes any more
                self._copies.put_file(path / _METADATA)

    def _put_spikes(self, pool: Pool) -> None:
        """Put stores of spikes that are new; their own metadata last, which make them finished ones."""
        assert self._copies is not None
        for store in sorted((self.folder / _SPIKES).glob("*.zarr")):
            if not store.name.startswith(".") and not self._copies.is_current(store / _METADATA):
                inner = [path for path in files(store) if path != store / _METADATA]
                pool.each(self._copies.put_file, inner)
                self._copies.put_file(store / _METADATA)

    def _put_store(self, opened: Store, pool: Pool, last: bool) -> None:
        assert self._copies is not None
        root = opened.path / _METADATA
        pool.each(self._copies.put_file, [opened.path / name / _METADATA for name in opened.outputs])
        for name in opened.names:
            pool.each(self._copies.put_file, [path for path in files(opened.path / name) if path.name != _METADATA])
            self._copies.put_file(opened.path / name / _METADATA)
        if not _is_consolidated(root):
            self._copies.put_file(root)
        blocks = self._blocks.changed(opened)
        pool.each(lambda block: self._blocks.put(opened, block), blocks)
        if last:
            # what no status told of: left by tasks that were killed, or made by the driver when dimensions grew
            status = opened.path / layout.STATUS
            rest = [path for path in files(opened.path) if path != root and path.parent != status]
            pool.each(self._copies.put_file, rest)

    def _others(self, last: bool) -> Iterator[Path]:
        """Yield the files that are neither spikes nor store; logs of jobs at the end only."""
        for path in files(self.folder):
            top = path.relative_to(self.folder).parts[0]
            in_store = top == STORE_NAME or (top == _SPIKES and path.parent != self.folder / _SPIKES)
            if not in_store and (last or top != _JOBS):
                yield path

    def _missing(self) -> list[str]:
        assert self._copies is not None
        return [self._copies.key(path) for path in self._copies.unlike(files(self.folder))]


def _is_consolidated(metadata: Path) -> bool:
    try:
        return "consolidated_metadata" in json.loads(metadata.read_text(encoding="utf-8"))
    except ValueError:
        return False
