"""How far a run at a URL is: from its attributes, its status and its lease alone."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from workflows.commands import status
from workflows.remote import fetch, lease
from workflows.remote.place import Place


def look(url: str) -> status.Snapshot:
    """Return how the run at a URL stands, as far as its copy has come.

    Raises
    ------
    neq.errors.StoreError
        There is no run, or it cannot be read.
    """
    place = Place(url)
    driver = lease.current(place)
    if driver is not None and not fetch.holds_run(place):
        return status.Snapshot(place, dict.fromkeys(status.STATES, 0), [], driver)
    with tempfile.TemporaryDirectory() as folder:
        fetch.light(place, Path(folder))
        return replace(status.look(Path(folder)), run_folder=place, driver=driver)
