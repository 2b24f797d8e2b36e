"""What `neq plan` prints."""

from __future__ import annotations

import math

from rich.console import Console

from workflows.commands.plan import Plan
from workflows.grid import shown_label
from workflows.labels import cell_text
from workflows.progress import duration, say, size

LONG_BLOCK_SECONDS = 1800.0


def tell(plan: Plan, console: Console) -> None:
    """Print a plan."""
    for line in lines(plan):
        say(console, line)


def lines(plan: Plan) -> list[str]:
    """Return a plan in lines of text."""
    axes = ", ".join(f"{axis.name} {_labels(axis.name, axis.labels)}" for axis in plan.grid.axes)
    shape = " x ".join(map(str, plan.blocks.chunk))
    done = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in plan.counts.items() if n and name != "pending")
    said = [
        f"grid: {axes}",
        f"cells: {plan.grid.n_cell} in {plan.blocks.n_block} blocks of {shape}; so far {done or 'none done'}",
        f"to do: {plan.n_open} cells in {plan.n_block_open} blocks{_impossible(plan)}",
    ]
    if plan.n_least is not None and plan.n_open:
        least = min(plan.n_least, plan.n_open)
        said.append(f"stop rule: at least {least} of these; all, as planned here, where it is never met")
    if plan.n_source:
        said.append(f"recordings: {plan.n_source_read} of {plan.n_source} read{_unread(plan)}")
    said += [f"  cannot be read, {complaint}" for complaint in plan.broken]
    said += [f"  timed {cell_text(dict(one.cell))}: {one.error or _seconds(one.seconds)}" for one in plan.timings]
    return [*said, *_cost(plan)] if plan.n_open else [*said, "nothing to compute"]


def _cost(plan: Plan) -> list[str]:
    low, likely, high = plan.seconds
    if not math.isfinite(likely):
        return ["no cell could be timed, so the cost is unknown"]
    local, many = plan.local_workers, plan.hour_workers
    said = [
        f"compute: {_hours(likely)} core-hours (range {_hours(low)} to {_hours(high)})",
        f"on this machine: {local} workers, about {duration(likely / local + plan.ingest_seconds / local)}",
        f"memory: {plan.peak_memory:.0f} MiB per worker",
        f"disk: store at most {size(plan.store_bytes)}, spikes about {size(plan.spikes_bytes)}",
    ]
    if likely > 3600:
        said.insert(2, f"on a cluster: {many} workers, about {duration(likely / many)}")
    block = likely / plan.n_block_open
    if block > LONG_BLOCK_SECONDS:
        said.append(f"a block takes about {duration(block)}: smaller ones (sweep.block) spread better over workers")
    return said


def _labels(name: str, labels: tuple[str | int | float, ...]) -> str:
    shown = [shown_label(name, label) for label in labels]
    return f"({', '.join(shown)})" if len(shown) <= 6 else f"({', '.join(shown[:3])} ... {shown[-1]}: {len(shown)})"


def _impossible(plan: Plan) -> str:
    return f" ({plan.n_impossible} more are known to be impossible)" if plan.n_impossible else ""


def _unread(plan: Plan) -> str:
    return ", the others are taken to be like them" if 0 < plan.n_source_read < plan.n_source else ""


def _seconds(seconds: float) -> str:
    """Return a short time.

    Examples
    --------
    >>> _seconds(0.0123), _seconds(75.0)
    ('0.012 s', '1 min 15 s')
    """
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2g}" if seconds < 36_000 else f"{seconds / 3600:.0f}"
