"""The command `neq inspect`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from workflows.cli_config import Debug
from workflows.guard import guarded


@guarded
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, or a cache folder of the Allen SDK.")],
    kind: Annotated[str | None, typer.Option(help="Kind of the source, where its content does not say it.")] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Session of a cache folder; none: list all.")
    ] = None,
    bin_size: Annotated[float, typer.Option(help="Width of the bins (s).")] = 0.01,
    option: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="Option of the reader, such as order=reference.")
    ] = [],  # noqa: B006
    debug: Debug = False,
) -> None:
    """Say what is in a recording: units per area, epochs, spikes lost to bins, sizes it suffices for.

    Of a cache folder of the Allen SDK: its sessions, and which of them have their file.

    \b
    neq inspect my.nwb --option "conditions={rest: {start: 0, stop: 600}}"
    neq inspect data/allen-vbn
    neq inspect data/allen-vbn --session 1064644573
    """
    from rich.console import Console

    from neq.readers import allen_cache
    from workflows import config
    from workflows.commands import inspect as inspection
    from workflows.commands import inspect_text

    console = Console()
    source = path if path.exists() else Path(config.locate(str(path)))
    if session is None and allen_cache.is_cache(source):
        inspect_text.tell_list(inspection.list_sessions(source), console)
        return
    options = config.assigned(option, "--option")
    with console.status("reading") if console.is_terminal else contextlib.nullcontext():
        found = inspection.inspect(source, kind, session, bin_size, **options)
    inspect_text.tell(found, console)
