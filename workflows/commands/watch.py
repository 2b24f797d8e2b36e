"""A run followed in text, from its files alone: on whatever machine sees them, with or without a terminal."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from neq.errors import NeqError
from workflows import lease
from workflows.commands.status import Snapshot, about, headline, look, table
from workflows.progress import duration, say

EVERY_SECONDS = 2.0
LINE_SECONDS = 5.0
"""Plain lines come at most this often."""
RATE_SECONDS = 60.0
"""The rate is that of the last minute: the costliest cells come first, so that the mean since the start says little."""
MOST_BLOCKS = 6
BAR_WIDTH = 50


class Pace:
    """How fast cells get done, from what was seen at different times.

    Examples
    --------
    >>> pace = Pace()
    >>> for second, done in ((0.0, 100), (10.0, 120), (20.0, 140)):
    ...     pace.add(second, done)
    >>> pace.rate, pace.text(60)
    (2.0, '2 cells/s, 30 s left')
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, n_done: int) -> None:
        """Note that so many cells are done at this time, in seconds."""
        self._seen.append((now, n_done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_SECONDS:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Cells per second; 0 until that can be told."""
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return max(0.0, (after - before) / (last - first)) if last > first else 0.0

    def text(self, n_left: int) -> str:
        """Say how fast it goes and how long it will take; empty while nothing gets done."""
        return f"{self.rate:.3g} cells/s, {duration(n_left / self.rate)} left" if self.rate and n_left else ""


def watch(
    run_folder: Path, console: Console, every: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Show a run until it ends: renewed in place on a terminal, else a line every few seconds if anything has changed.

    A run that was submitted to a batch system is waited for; any other has ended when nobody drives it.

    Parameters
    ----------
    run_folder
        The run; there must be a driver or a store.
    console
        Where to show it.
    every
        Seconds between two looks; by default what suits the console.
    sleep
        Waits.

    Raises
    ------
    neq.errors.StoreError
        There is no run in this folder.
    """
    if console.is_terminal:
        _live(run_folder, console, every or EVERY_SECONDS, sleep)
    else:
        _lines(run_folder, console, every or LINE_SECONDS, sleep)


def ended(snapshot: Snapshot) -> bool:
    """Whether nothing more is to be expected."""
    return snapshot.driver is None and not (snapshot.submitted and not snapshot.finished)


def view(snapshot: Snapshot, pace: Pace) -> RenderableType:
    """Return what is shown on a terminal: how far it is, what ``neq status`` shows, and the blocks at work.

    The table stands last: on a small terminal its end is cut off.
    """
    n_cell = sum(snapshot.counts.values())
    done = n_cell - snapshot.n_left
    going = pace.text(snapshot.n_left)
    parts: list[RenderableType] = [Text(headline(snapshot))]
    if n_cell:
        share = f" {done / n_cell:.1%} done" + (f", {going}" if going and snapshot.driver is None else "")
        bar = Table.grid()
        bar.add_row(ProgressBar(total=n_cell, completed=done, width=BAR_WIDTH), Text(share))
        parts += [bar]
    lines = [*about(snapshot, going), *_at_work(snapshot), f"as of {time.strftime('%H:%M:%S')}"]
    parts += [Text("\n".join(lines))]
    return Group(*parts, table(snapshot)) if snapshot.rows else Group(*parts)


def _at_work(snapshot: Snapshot) -> list[str]:
    """Return the blocks that workers are in, the first few of many by name."""
    progress = snapshot.driver["progress"] if snapshot.driver else {}
    named = progress.get("running", [])[:MOST_BLOCKS]
    more = progress.get("n_running", 0) - len(named)
    return [f"running: {block}" for block in named] + ([f"and {more} more"] if more > 0 else [])


def _live(run_folder: Path, console: Console, every: float, sleep: Callable[[float], None]) -> None:
    snapshot, pace = look(run_folder), Pace()
    pace.add(time.monotonic(), _n_done(snapshot))
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(view(snapshot, pace), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live,
    ):
        while not ended(snapshot):
            sleep(every)
            snapshot = _again(run_folder, snapshot)
            pace.add(time.monotonic(), _n_done(snapshot))
            live.update(view(snapshot, pace), refresh=True)


def _lines(run_folder: Path, console: Console, every: float, sleep: Callable[[float], None]) -> None:
    snapshot, pace, said = look(run_folder), Pace(), ""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            pace.add(time.monotonic(), _n_done(snapshot))
            line = headline(snapshot)
            if line != said:
                say(console, "; ".join(filter(None, [line, pace.text(snapshot.n_left)])))
            said = line
            if ended(snapshot):
                return
            sleep(every)
            snapshot = _again(run_folder, snapshot)


def _again(run_folder: Path, last: Snapshot) -> Snapshot:
    """Look once more; what cannot be read just now, on a file server in the middle of a change, is as it was."""
    try:
        return look(run_folder)
    except (NeqError, OSError):
        if not run_folder.exists():
            raise
        return replace(last, driver=lease.current(run_folder))


def _n_done(snapshot: Snapshot) -> int:
    return sum(snapshot.counts.values()) - snapshot.n_left
