"""Dask's own report of a run: what each worker did when, kept as one page that needs no network."""

from __future__ import annotations

import contextlib
import html
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed

from workflows.staging import write_whole

LEAST_SECONDS = 30.0
"""What is over sooner needs no report, which takes some seconds to make."""
SECONDS = 30.0
"""A scheduler that has not made its report after so long is left alone."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""What the browser may load for the page: nothing that is not in it."""


class Performance:
    """What a scheduler does from now on; of how many tasks it keeps that is in ``cluster.settings``.

    No run may end for the sake of its report: whatever fails here is told, and no more.

    Parameters
    ----------
    client
        Of the scheduler.
    tell
        Called with a line where there will be no report, and why.
    """

    def __init__(self, client: distributed.Client, tell: Callable[[str], Any]) -> None:
        self._client, self._tell = client, tell
        self._start = time.monotonic()
        self._report: distributed.performance_report | None = None
        with self._told():
            report = distributed.performance_report(mode="inline")
            client.sync(report.__aenter__, callback_timeout=SECONDS)
            self._report = report

    def keep(self, path: Path) -> None:
        """Write the report of all that has happened so far, unless that was little."""
        if self._report is None or time.monotonic() - self._start < LEAST_SECONDS:
            return
        with self._told(), tempfile.TemporaryDirectory() as folder:
            made = self._report.filename = str(Path(folder) / "report.html")
            command = html.escape(shlex.join(sys.argv))
            self._client.sync(self._report.__aexit__, None, None, None, command, callback_timeout=SECONDS)
            write_whole(path, self_contained(Path(made).read_text(encoding="utf-8")).encode())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            why = " ".join(str(error).split()) or "it took too long"
            self._tell(f"no performance report ({type(error).__name__}: {why}); the results do not need it")


def self_contained(page: str) -> str:
    """Return a page that a browser shows without asking anybody for anything.

    Bokeh's program is in the page already; Dask's template names an icon elsewhere.

    Examples
    --------
    >>> page = '<head><link rel="shortcut icon" href="https://example.org/icon.ico" /><title>x</title></head>'
    >>> self_contained(page).replace(POLICY, "...")
    '<head><meta http-equiv="Content-Security-Policy" content="..."><title>x</title></head>'
    """
    page = re.sub(r"<link\b[^>]*\bhref=\"https?:[^>]*>", "", page)
    return re.sub(r"<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">', page, count=1)
