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
from workflows.run_folder import CONFIG_NAME
from workflows.store import STORE_NAME, Store

PASS_SECONDS = 10.0
"""What has changed is put so often."""
MOST_SECONDS = 60.0
"""Longest pause after passes that failed."""
LAST_TRIES = (2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds to wait between the tries to complete the copy at the end."""
_SPIKES, _JOBS, _METADATA = "spikes", "jobs", "zarr.json"


class Mirror:
    """Keeps the copy of a run folder, the store and what lies beside it each at its own pace.

    Parameters
    ----------
    place
        Where; it is listed.
    folder
        The run folder.
    held
        The right to write there.
    say
        Called with what the user should know.
    """

    def __init__(self, place: Place, folder: Path, held: lease.Lease, say: Callable[[str], Any]) -> None:
        self.place, self.folder, self.held, self.say = place, folder, held, say
        self._copies = Copies(place, folder, held)
        self._blocks = Blocks(self._copies)
        self._behind: set[str] = set()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(work,), name=f"neq-copy{work.__name__}", daemon=True)
            for work in (self._put_store, self._put_beside)
        ]

    def start(self) -> None:
        """Begin to put what changes."""
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """Put what there is once more and end, complete or not; raises nothing."""
        self._end()
        try:
            self._put_store()
            self._put_beside()
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
                self._put_all()
                if not (missing := self._copies.unlike(files(self.folder))):
                    self.say(f"{self.place} is complete: {self._copies.n_put} objects put by this run")
                    return
                reason = f"the server lists {self._copies.key(missing[0])} as missing or another one."
            except LeaseLostError:
                raise
            except (NeqError, OSError) as error:
                reason = str(error)
        behind = sum(1 for path in files(self.folder) if not self._copies.is_current(path))
        raise CopyError(
            f"The copy at {self.place} is not complete, {max(1, behind)} objects are missing: {reason} "
            f"All cells are in {self.folder}: give the same command again to complete the copy."
        )

    def _end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _keep(self, work: Callable[[], None]) -> None:
        pause = PASS_SECONDS
        while not self._stop.wait(pause):
            try:
                self.held.require()
                work()
            except LeaseLostError:
                # the driver learns of it from the lease
                return
            except Exception as error:
                self._fall_behind(work.__name__, error)
                pause = min(MOST_SECONDS, 2 * pause)
            else:
                pause = PASS_SECONDS
                self._catch_up(work.__name__)

    def _fall_behind(self, work: str, error: Exception) -> None:
        """Say it once."""
        if not self._behind:
            what = str(error) if isinstance(error, NeqError) else f"{type(error).__name__}: {error}"
            self.say(f"the copy falls behind, the sweep goes on: {what}")
        self._behind.add(work)

    def _catch_up(self, work: str) -> None:
        if self._behind == {work}:
            self.say(f"the copy at {self.place} is up to date again")
        self._behind.discard(work)

    def _put_all(self) -> None:
        """Put everything while nothing writes any more: what makes the run a finished one last."""
        self.held.require()
        self._put_store()
        self._put_beside(logs=True)
        store = self.folder / STORE_NAME
        if store.exists():
            # what no status told of: left by tasks that were killed, or made by the driver when dimensions grew
            unfinished = (store / _METADATA, store / layout.STATUS)
            with Pool() as pool:
                rest = [path for path in files(store) if path not in unfinished and path.parent not in unfinished]
                pool.each(self._copies.put_file, rest)
            self._copies.put_file(store / _METADATA)

    def _put_store(self) -> None:
        """Put what has changed of the store: metadata, labels, then blocks; not yet consolidated metadata."""
        store = self.folder / STORE_NAME
        if not (store / _METADATA).exists():
            return
        opened = Store.open(store)
        self._copies.put_file(self.folder / CONFIG_NAME)
        with Pool() as pool:
            pool.each(self._copies.put_file, [store / name / _METADATA for name in opened.outputs])
            for name in (*opened.names, layout.SUBJECT):
                pool.each(self._copies.put_file, [path for path in files(store / name) if path.name != _METADATA])
                self._copies.put_file(store / name / _METADATA)
            if not _is_consolidated(store / _METADATA):
                self._copies.put_file(store / _METADATA)
            pool.each(lambda block: self._blocks.put(opened, block), self._blocks.changed(opened))

    def _put_beside(self, logs: bool = False) -> None:
        """Put what lies beside the store; stores of spikes with the metadata that make them finished ones last."""
        with Pool() as pool:
            for spikes in sorted((self.folder / _SPIKES).glob("*.zarr")):
                if not spikes.name.startswith(".") and not self._copies.is_current(spikes / _METADATA):
                    pool.each(self._copies.put_file, [p for p in files(spikes) if p != spikes / _METADATA])
                    self._copies.put_file(spikes / _METADATA)
            pool.each(self._copies.put_file, list(self._others(logs)))

    def _others(self, logs: bool) -> Iterator[Path]:
        """Yield the files that are neither spikes nor store; logs of jobs only if asked for."""
        for path in files(self.folder):
            top = path.relative_to(self.folder).parts[0]
            in_store = top == STORE_NAME or (top == _SPIKES and path.parent != self.folder / _SPIKES)
            if not in_store and (logs or top != _JOBS):
                yield path


def _is_consolidated(metadata: Path) -> bool:
    try:
        return "consolidated_metadata" in json.loads(metadata.read_text(encoding="utf-8"))
    except ValueError:
        return False
