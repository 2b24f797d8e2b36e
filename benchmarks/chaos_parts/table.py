"""What came of a chaos run, as a page."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from slurm_sweep import Sweep

from workflows import provenance

from .drivers import Drivers
from .faults import KINDS, Faults
from .verdict import Verdict

PATH = Path(__file__).parents[1] / "chaos.md"
MOST_NAMED = 20


def page(
    date: str,
    options: argparse.Namespace,
    minutes: float,
    faults: Faults,
    drivers: Drivers,
    verdict: Verdict,
    sweep: Sweep,
    doctor: str,
) -> str:
    """Return the page."""
    machine = provenance.machine()
    cells = ", ".join(f"{number} {state}" for state, number in verdict.status.items())
    events = sweep.events()
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
                "memory raised": len(re.findall(r"memory raised to", events)),
                "`neq doctor`": doctor,
                "starts of cells beyond the first": again,
            },
        ),
        *_named("lost", verdict.lost),
        *_named("wrong", verdict.wrong),
        "## Faults",
        rows("fault", {kind: faults.injected[kind] for kind in KINDS}),
        "## How jobs ended",
        rows("cause", dict(job_ends(events).most_common())),
        "## How drivers ended",
        rows("last words", dict(drivers.ends.most_common())),
        "## Cells by how often they were started",
        "A worker or driver that is lost costs the cells that its workers were in, and those that they had finished "
        "in the last 2 s and not yet written.",
        rows("starts", {str(times): number for times, number in verdict.starts.items()}),
    ]
    return "\n\n".join(parts) + "\n"


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
