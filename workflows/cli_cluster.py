"""The commands `neq cluster`: the job script of a profile, and one trial job."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.cli_config import Debug
from workflows.guard import EXIT_FAILED, guarded

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.commands.finding import Finding

cluster_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show or try a profile of a batch system.")

ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="Name of a profile, or path of a FILE.yaml.")]
COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@cluster_app.command("show")
@guarded
def cluster_show(profile: ProfileName, debug: Debug = False) -> None:
    """Print the job script that a profile makes; submits nothing, writes nothing.

    \b
    neq cluster show slurm
    neq cluster show mine.yaml
    """
    from workflows.cluster_profile import load_profile, told

    loaded = load_profile(profile)
    with told():
        from cluster import script

        typer.echo(script.job_script(loaded, "tcp://SCHEDULER:8786", "results/NAME/logs"), nl=False)


@cluster_app.command("check")
@guarded
def cluster_check(
    profile: ProfileName,
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where results will be, as the nodes must see it.")
    ] = Path("results"),
    wait: Annotated[float, typer.Option(min=1, help="Longest time in the queue, in seconds.")] = 300.0,
    debug: Debug = False,
) -> int:
    """Submit one trial job and say what works: partition, queue, network, disks, versions, results folder.

    Exit code 1 if there is a problem.

    \b
    neq cluster check testbed
    neq cluster check mine.yaml --results /scratch/me/results
    """
    from rich.console import Console

    from workflows.cluster_profile import load_profile, told

    loaded, console = load_profile(profile), Console()
    with told(), _standing(console) as tell:
        from cluster import check
        from workflows.commands.finding import Finding

        findings = [Finding(*one) for one in check.check(loaded, results, wait, tell)]
    _show(findings, profile, console)
    return EXIT_FAILED if any(one.kind == check.PROBLEM for one in findings) else 0


@contextlib.contextmanager
def _standing(console: Console) -> Iterator[Callable[[str], Any]]:
    """Yield what shows how the job stands: one line that changes on a terminal, else a line for each change."""
    from workflows.progress import say

    if not console.is_terminal:
        yield lambda text: say(console, text)
        return
    with console.status("starting a scheduler") as status:
        yield status.update


def _show(findings: list[Finding], profile: str, console: Console) -> None:
    """Print the report: a table on a terminal, plain lines elsewhere."""
    from workflows.commands import finding

    if not console.is_terminal:
        finding.tell(findings, console)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None)
    for one in findings:
        text = Text(one.text)
        if one.remedy:
            text.append(f"\n-> {one.remedy}", style="italic")
        table.add_row(Text(one.kind, style=COLOURS[one.kind]), text)
    console.print(Text(f"neq cluster check {profile}", style="bold"))
    console.print(table)
