"""The lease on a URL: one driver at a time writes there, by the same rules as in a run folder.

``lease/<epoch>.json`` is made by a put that succeeds only where there is no such object; to put it again is a sign of
life.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from neq.errors import LeaseLostError, StoreError
from workflows import lease as local
from workflows.remote.place import ABSENT, ChangedError, Entry, Place

FOLDER = "lease"
HEARTBEAT_SECONDS = 10.0
TRUST_SECONDS = local.SILENCE_SECONDS / 2
"""A driver that has not been heard by the server for so long writes nothing before it has been."""


class Lease:
    """The right to write at a URL; made by :func:`acquire`, given back on leaving the ``with`` block."""

    def __init__(self, place: Place, epoch: int, owner: Mapping[str, Any], entry: Entry, before: int) -> None:
        self.place = place
        self.epoch = epoch
        self.before = before
        """Number of the newest lease that there was before ours, 0 where there was none."""
        self.progress: Callable[[], Any] = dict
        """Returns what `neq status URL` is to tell of the sweep."""
        self._owner = dict(owner)
        self._tag = entry.tag
        self._lost: LeaseLostError | None = None
        self._heard = _clock()
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="neq-lease-url", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def check(self) -> None:
        """Raise :class:`neq.errors.LeaseLostError` where it is known that another driver has taken the URL over."""
        if self._lost is not None:
            raise self._lost

    def require(self) -> None:
        """Raise unless the server has confirmed the lease a moment ago, and ask it where it has not.

        Raises
        ------
        neq.errors.LeaseLostError
            Another driver has taken the URL over.
        neq.errors.StoreError
            The server cannot be asked.
        """
        self.check()
        if _clock() - self._heard > TRUST_SECONDS:
            self.beat()

    def beat(self) -> None:
        """Give a sign of life, and find out whether the lease is still ours; raises as :meth:`require` does."""
        with self._one_at_a_time:
            self.check()
            asked = _clock()
            try:
                self._write({"progress": self.progress()})
            except ChangedError:
                self._lose()
            newest = max(epochs(self.place), default=0)
            if newest != self.epoch:
                self._lose(newest)
            self._heard = asked

    def release(self) -> None:
        """Give the lease back; failing to costs the next driver a minute of waiting, no more."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(StoreError, ChangedError), self._one_at_a_time:
            if self._lost is None:
                self._write({"released": True})

    def _write(self, more: Mapping[str, Any]) -> None:
        content = {**self._owner, **more, "beat": secrets.token_hex(4)}
        key, text = _key(self.epoch), json.dumps(content).encode()
        try:
            self._tag = self.place.put(key, text, match=self._tag).tag
        except ChangedError:
            # our own, if the answer to the last put was lost on the way
            there = self.place.entry(key)
            if there is None or (_read(self.place, self.epoch) or {}).get("nonce") != self._owner["nonce"]:
                raise
            self._tag = self.place.put(key, text, match=there.tag).tag

    def _lose(self, newest: int | None = None) -> None:
        newest = max(epochs(self.place), default=0) if newest is None else newest
        self._lost = local.lost(self.place, newest, self.epoch)
        raise self._lost

    def _keep(self) -> None:
        while self._lost is None and not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(LeaseLostError, StoreError):
                self.beat()


def acquire(place: Place, work: str) -> Lease:
    """Take the lease of a URL.

    Parameters
    ----------
    place
        The URL; found out in passing, and noted in it, is whether the server keeps conditions on a put.
    work
        Folder in which the driver works, told to others.

    Raises
    ------
    neq.errors.LeaseHeldError
        Another driver holds it; the message names host, process and since when.
    neq.errors.StoreError
        The place cannot be written.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    owner = {**local.myself(), "since": time.time(), "job": job, "work": work, "nonce": secrets.token_hex(8)}
    _find_out_conditions(place, owner["nonce"])
    while True:
        before = _free_after(place, owner["nonce"])
        entry = _take(place, before + 1, owner)
        # the numbers below ours may have been cleaned away while we looked: then ours is not the newest
        if entry is not None and max(epochs(place)) == before + 1:
            break
    for old in epochs(place) - {before + 1}:
        place.delete(_key(old))
    return Lease(place, before + 1, owner, entry, before)


def current(place: Place) -> dict[str, Any] | None:
    """Return who holds the lease (host, pid, since, epoch, work, progress), None where no live driver does.

    Nothing is written, so a driver on another host counts as living until its lease has gone 60 s without a sign of
    life by this machine's clock.
    """
    newest = max(epochs(place), default=0)
    owner = _read(place, newest)
    if owner is None or owner.get("released") or local.is_gone(owner):
        return None
    heard = place.modified(_key(newest))
    if heard is None or time.time() - heard.timestamp() > local.SILENCE_SECONDS:
        return None
    return {"progress": {}, **owner, "epoch": newest}


def epochs(place: Place) -> set[int]:
    """Return the numbers of the leases at a URL."""
    names = (key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in place.list(FOLDER))
    return {int(name) for name in names if name.isdecimal()}


def _free_after(place: Place, nonce: str) -> int:
    """Return the number of the newest lease, once it is known that nobody lives who holds it."""
    newest = max(epochs(place), default=0)
    owner = _read(place, newest) if newest else None
    lives = owner is not None and not owner.get("released") and not local.is_gone(owner)
    if lives and _silence(place, newest, nonce) < local.SILENCE_SECONDS:
        raise local.held_by(place, owner or {})
    return newest


def _take(place: Place, epoch: int, owner: Mapping[str, Any]) -> Entry | None:
    """Try to become the owner with this number; None where another was faster."""
    try:
        entry: Entry | None = place.put(_key(epoch), json.dumps(owner).encode(), match=ABSENT)
    except ChangedError:
        # our own, if the answer was lost on the way and the put was tried again
        entry = place.entry(_key(epoch))
    if not place.conditional:
        # both of two drivers may have put theirs: the later one counts, and each sees which that is
        time.sleep(1.0)
    return entry if (_read(place, epoch) or {}).get("nonce") == owner["nonce"] else None


def _find_out_conditions(place: Place, nonce: str) -> None:
    """Note in ``place`` whether its server refuses a put that says what must be there; some ignore the condition."""
    probe = f"{FOLDER}/probe-{nonce}"
    place.put(probe, b"first")
    try:
        for condition in (ABSENT, '"0123456789abcdef0123456789abcdef"') if place.conditional else ():
            with contextlib.suppress(ChangedError):
                place.put(probe, b"second", match=condition)
                place.conditional = False
    except StoreError:
        place.conditional = False
    finally:
        place.delete(probe)


def _silence(place: Place, epoch: int, nonce: str) -> float:
    """Return the seconds since the last sign of life by the server's clock; infinite if the lease is gone."""
    probe = f"{FOLDER}/probe-{nonce}"
    place.put(probe, b"now")
    try:
        now, heard = place.modified(probe), place.modified(_key(epoch))
    finally:
        place.delete(probe)
    return float("inf") if now is None or heard is None else (now - heard).total_seconds()


def _read(place: Place, epoch: int) -> dict[str, Any] | None:
    content = place.get(_key(epoch))
    try:
        found: dict[str, Any] | None = None if content is None else json.loads(content)
    except ValueError:
        return None
    return found


def _key(epoch: int) -> str:
    return f"{FOLDER}/{epoch}.json"


def _clock() -> float:
    """Return seconds that go on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
