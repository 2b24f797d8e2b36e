"""What came of a chaos run, as a page."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from workflows import provenance

from . import CELL_SECONDS, N_WORKER
from .drivers import Drivers
from .faults import KINDS, Faults
from .verdict import Verdict

PATH = Path(__file__).parents[1] / "chaos.md"
MOST_NAMED = 20
FLUSH_SECONDS = 2.0
WITHIN_JOBS = ("a worker killed", "a job out of memory")
"""Faults that end a worker but not its job."""
DEATHS = 5
"""Of workers by the cell that kills them, and by the one that needs more memory."""


def page(
    date: str,
    options: argparse.Namespace,
    minutes: float,
    faults: Faults,
    drivers: Drivers,
    verdict: Verdict,
    events: str,
    ended: Mapping[str, object],
) -> str:
    """Return the page; ``ended`` is what else was found in the end."""
    machine = provenance.machine()
    cells = ", ".join(f"{number} {state}" for state, number in verdict.status.items())
    again = sum((times - 1) * number for times, number in verdict.starts.items() if times > 1)
    parts = [
        "# Chaos: a sweep under faults of all kinds",
        f"`python -m benchmarks.chaos --minutes {options.minutes:g} --seed {options.seed}`, {date}, "
        f"{os.cpu_count()} cores of {machine['cpu']}, SLURM of `cluster/testbed`; {minutes:.0f} minutes in all.",
        f"**{len(verdict.lost)} cells lost, {len(verdict.wrong)} wrong** of {sum(verdict.status.values())}: every cell "
        "was compared, bit by bit, with its value computed without engine, workers or SLURM. One cell kills its worker "
        "every time and has to end failed, alone; one needs more memory than workers have at first.",
        rows(
            "what",
            {
                "cells": cells,
                "faults injected": sum(faults.injected.values()),
                "drivers started": drivers.n_started,
                "jobs submitted": len(re.findall(r"job \d+ submitted", events)),
                "memory raised": len(re.findall(r"memory raised to .* times", events)),
                **ended,
                "starts of cells beyond the first": f"{again}, of at most {explained(events, faults, drivers):.0f} "
                "that the losses explain",
            },
        ),
        *_named("lost", verdict.lost),
        *_named("wrong", verdict.wrong),
        "## Faults",
        rows("fault", {kind: faults.injected[kind] for kind in KINDS}),
        "## How jobs ended",
        rows("cause", dict(job_ends(events).most_common())),
        "## How drivers ended",
        "Those that found the run in use came in the minute in which a stopped driver still counts as alive.",
        rows("last words", dict(drivers.ends.most_common())),
        "## Cells by how often they were started",
        "A worker that is lost costs the cell it was in and those that it had finished in the last 2 s and not yet "
        "written; a driver that is lost costs this for each of its workers. That makes the bound above.",
        rows("starts", {str(times): number for times, number in verdict.starts.items()}),
    ]
    return "\n\n".join(parts) + "\n"


def explained(events: str, faults: Faults, drivers: Drivers) -> float:
    """Return the most starts of cells beyond the first that the losses of workers and drivers explain."""
    jobs = sum(number for cause, number in job_ends(events).items() if not cause.startswith("COMPLETED"))
    workers = sum(faults.injected[kind] for kind in WITHIN_JOBS) + DEATHS
    lost_drivers = sum(number for words, number in drivers.ends.items() if "in use" not in words)
    return (jobs + workers + lost_drivers * N_WORKER) * (1 + FLUSH_SECONDS / CELL_SECONDS)


def job_ends(events: str) -> Counter[str]:
    """Return how many runs of jobs ended for each cause.

    Examples
    --------
    >>> job_ends("2026-01-01 00:00:00 job 3 ended: CANCELLED: somebody cancelled it (job 3 on n1)")
    Counter({'CANCELLED: somebody cancelled it': 1})
    """
    texts = re.findall(r"job \d+ ended: (.*)", events)
    return Counter(re.sub(r"\s*\(job \d+.*?\)", "", text) for text in texts)


def rows(head: str, content: Mapping[str, object]) -> str:
    """Return a table of two columns.

    Examples
    --------
    >>> print(rows("what", {"a": 1}))
    | what | |
    |---|---|
    | a | 1 |
    """
    return "\n".join([f"| {head} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in content.items())])


def _named(what: str, cells: Mapping[str, str]) -> list[str]:
    if not cells:
        return []
    lines = [f"- `{name}`: {why}" for name, why in list(cells.items())[:MOST_NAMED]]
    return [f"## Cells {what}", "\n".join(lines)]
