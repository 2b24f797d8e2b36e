"""What `neq inspect` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from workflows.commands.inspect import ALL, MINIMUM_ACTIVITY, QUANTILES, SIZES, VISUAL, Inspection, Listing
from workflows.progress import say
from workflows.progress import size as file_size

ACTIVE = f">= {MINIMUM_ACTIVITY:.0%} of bins"


def tell(found: Inspection, console: Console) -> None:
    """Print what is in a session."""
    for line in _about(found):
        say(console, line)
    console.print(_table(("rule", "units left"), found.steps), highlight=False, markup=False)
    rows = [(area or "(none)", *counts) for area, *counts in found.areas.itertuples()]
    begun = "left by the SDK's rules" if found.recording.source["kind"] == "allen" else "in the source"
    console.print(_table(("area", begun, "kept", f"{ACTIVE} (mean)"), rows), highlight=False, markup=False)
    console.print(_conditions(found), highlight=False, markup=False)
    for line in (*_lacks(found), *_spikes(found)):
        say(console, line)


def tell_list(found: Listing, console: Console) -> None:
    """Print the sessions of a cache folder."""
    rows = [
        (row, number, mouse, units if units >= 0 else "", file_size(size) if size >= 0 else "not here")
        for row, (number, mouse, units, size) in enumerate(found.sessions.itertuples())
    ]
    console.print(_table(("row", "session", "mouse", "units", "file"), rows), highlight=False, markup=False)
    here, n_mouse = found.sessions["size"].clip(lower=0), found.sessions["mouse"].nunique()
    mice = "1 mouse" if n_mouse == 1 else f"{n_mouse} mice"
    about = f"{len(found.sessions)} sessions of {mice} ({found.n_abnormal} abnormal ones left out)"
    held = f"{(here > 0).sum()} of them here, {file_size(int(here.sum()))}"
    others = f" (there are manifests of {', '.join(found.others)} too)" if found.others else ""
    say(console, f"{found.folder}: release {found.version}{others}, {about}, {held}")
    if (here > 0).any():
        say(console, f"look into one: neq inspect {found.folder} --session {here.idxmax()}")


def _about(found: Inspection) -> Iterator[str]:
    recording = found.recording
    subject = f", subject {recording.subject}" if recording.subject else ""
    yield f"session {recording.session}{subject}, kind {recording.source['kind']} {recording.source['path']}".rstrip()
    last = recording.epochs["stop"].max()
    yield f"duration: {recording.duration:.10g} s" if recording.duration else f"epochs end at {last:.10g} s"


def _conditions(found: Inspection) -> Table:
    rows = [
        (name, n_epoch, *(f"{value:.2f}" for value in (start, stop, duration)), *counts)
        for name, n_epoch, start, stop, duration, *counts in found.conditions.itertuples()
    ]
    titles = (
        "start s",
        "stop s",
        "lasts s",
        f"{found.bin_size:g} s bins",
        f">= {MINIMUM_ACTIVITY:.0%}",
        f"in {VISUAL}",
    )
    return _table(("condition", "epochs", *titles), rows)


def _lacks(found: Inspection) -> Iterator[str]:
    """Yield which conditions cannot be analysed."""
    for name in found.missing:
        yield f"no condition {name} in this session: its cells are impossible"
    for name in found.conditions.index[found.conditions["bins"] == 0]:
        yield f"condition {name} holds no whole bin: its cells are impossible"


def _spikes(found: Inspection) -> Iterator[str]:
    share = found.n_lost / max(1, found.n_spike)
    yield f"spikes: {found.n_spike}, of which {found.n_lost} ({share:.2%}) find their bin of {found.bin_size:g} s taken"
    median, low, high = (f"{100 * value:.3g}%" for value in np.quantile(found.activity, QUANTILES))
    yield f"share of bins with a spike: median {median}, 5th to 95th percentile {low} to {high}"
    yield f"units {ACTIVE}: above in each condition by itself, as published; here averaged over them, as neq selects"
    for pattern, name in ((VISUAL, f"in areas {VISUAL}"), (ALL, "in all areas")):
        sizes = found.sizes(pattern)
        listed = f"{len(sizes)} of the {len(SIZES)} published sizes ({', '.join(map(str, sizes))})"
        enough = listed if sizes else f"none of the {len(SIZES)} published sizes"
        yield f"units {ACTIVE} {name}: {found.eligible[pattern]}, enough for {enough}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    return table
