"""The commands that make one run of another: `neq freeze` and `neq merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.cli_config import Debug
from workflows.guard import guarded


@guarded
def freeze(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, such as results/demo.")],
    zipped: Annotated[bool, typer.Option("--zip", help="Make one zip file.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Also while cells are pending.")] = False,
    debug: Debug = False,
) -> None:
    """Copy the results of a run into few files for sharing, read-only, with all that made them.

    The copy is RUN/NAME-frozen.zarr, or one zip file; an older one is replaced. neq.open_run and xarray open it.

    \b
    neq freeze results/demo
    neq freeze results/demo --zip
    """
    from rich.console import Console

    from workflows.commands import freeze as freezing
    from workflows.progress import Meter, say

    console = Console()
    with Meter(console, "freeze", "variables") as meter:
        made = freezing.freeze(run, zipped, partial, meter)
    files = "1 file" if made.n_file == 1 else f"{made.n_file} files"
    pending = f", {made.n_pending} of them pending" if made.n_pending else ""
    say(console, f"{made.path}: {made.n_cell} cells{pending}, {files}, {made.n_byte / 2**20:.1f} MiB")
    say(console, f'open it with neq.open_run("{made.path}") or xarray.open_zarr("{made.address}")')


@guarded
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Folders of the runs.")],
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the new run; nothing may be there.")],
    debug: Debug = False,
) -> None:
    """Join runs of the same settings, made in several places, into one that has the labels and cells of all.

    A cell that several runs have must be the same in each, bit for bit; a failed one gives way to one that is ok.

    \b
    neq merge results/here results/there --into results/both
    """
    from rich.console import Console

    from workflows.commands import merge as merging
    from workflows.progress import Meter, say

    console = Console()
    with Meter(console, "merge", "variables") as meter:
        made = merging.merge(runs, into, meter)
    merging.tell(made, console)
    if made.counts["pending"]:
        say(console, f"go on: neq run {into / 'config.yaml'}")
