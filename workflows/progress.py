"""Progress of a stage: a bar on a terminal, now and then a plain line in a pipe."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LEAST_DONE = 3
LINE_SECONDS = 10.0
"""Plain lines come at most this often."""


class Meter:
    """Shows how far a stage is; call it with the counts whenever they change.

    Parameters
    ----------
    console
        Where to print.
    stage
        What is going on, one word.
    unit
        What is counted.

    Examples
    --------
    >>> with Meter(Console(width=100), "sweep") as meter:
    ...     meter(5, 10, failed=1)
    sweep: 5/10 cells, 1 failed, 0 s
    """

    def __init__(self, console: Console, stage: str, unit: str = "cells") -> None:
        self.console = console
        self.stage = stage
        self.unit = unit
        self._start = time.monotonic()
        self._first: int | None = None
        self._last_line = -LINE_SECONDS
        self._shown: tuple[int, int, int] | None = None
        self._bar = self._make_bar() if console.is_terminal else None
        self._task = self._bar.add_task(stage, total=None, text="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int, failed: int = 0) -> None:
        """Show the counts of finished (failed among them) and of all."""
        if self._first is None:
            self._first, self._start = done, time.monotonic()
        text = self._text(done, total, failed)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, text=text)
            return
        now, counts = time.monotonic(), (done, total, failed)
        ended = done >= total
        if counts != self._shown and (ended or now - self._last_line >= LINE_SECONDS):
            self._last_line, self._shown = now, counts
            say(self.console, f"{self.stage}: {text}")

    def _text(self, done: int, total: int, failed: int) -> str:
        seconds = time.monotonic() - self._start
        parts = [f"{done}/{total} {self.unit}"]
        parts += [f"{failed} failed"] if failed else []
        parts += [duration(seconds)]
        new = done - (self._first or 0)
        # the costliest cells come first: what the very first took says little
        if done < total and new >= max(LEAST_DONE, 0.05 * (total - (self._first or 0))):
            parts += [f"{duration(seconds / new * (total - done))} left"]
        return ", ".join(parts)

    def _make_bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), console=self.console
        )


class ByteMeter(Meter):
    """Shows how far a transfer is: bytes, rate and time left; made like :class:`Meter`, called with bytes.

    Examples
    --------
    >>> with ByteMeter(Console(width=100), "fetch") as meter:
    ...     meter(2**30, 2**30)
    fetch: 1.0 GiB of 1.0 GiB
    """

    def _text(self, done: int, total: int, failed: int) -> str:
        seconds, new = time.monotonic() - self._start, done - (self._first or 0)
        parts = [f"{size(done)} of {size(total)}"]
        parts += [f"{failed} failed"] if failed else []
        if new > 0 and seconds >= 1:
            parts += [f"{size(new / seconds)}/s"]
            parts += [f"{duration(seconds / new * (total - done))} left"] if done < total else [duration(seconds)]
        return ", ".join(parts)


def say(console: Console, text: str) -> None:
    """Print a line as it is: no markup, no colours, no wrapping."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> duration(7.4), duration(75), duration(7300), duration(200_000)
    ('7 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    total = round(seconds)
    for unit, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= unit:
            return f"{total // unit} {name} {total % unit // smaller} {smaller_name}"
    return f"{total} s"


def size(count: float) -> str:
    """Return a number of bytes as people say it.

    Examples
    --------
    >>> size(3_500_000), size(2.99e9)
    ('3.3 MiB', '2.8 GiB')
    """
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.1f} {unit}"
