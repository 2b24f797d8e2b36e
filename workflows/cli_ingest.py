"""The command `neq ingest`."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Annotated

import typer

from workflows.cli_config import Cluster, ConfigFile, Debug, Overrides, Workers, placed
from workflows.guard import EXIT_FAILED, guarded


class Reader(StrEnum):
    """Readers of sessions of the Allen release."""

    DIRECT = "direct"
    ALLENSDK = "allensdk"


@guarded
def ingest(
    config: ConfigFile,
    reader: Annotated[
        Reader | None, typer.Option(help="Of Allen sessions: neq's own, or the Allen SDK in an environment of its own.")
    ] = None,
    cluster: Cluster = None,
    workers: Workers = None,
    override: Overrides = [],  # noqa: B006 - typer wants the list itself
    debug: Debug = False,
) -> int:
    """Read, bin and store the recordings of a sweep, where `neq run` then finds them; again for what failed.

    One task for each recording. Exit code 1 if one failed; the others are stored all the same. --reader NAME is short
    for --set recordings.options.reader=NAME.

    \b
    neq ingest configs/fig2a.yaml --workers 4
    neq ingest configs/fig2a.yaml --set recordings.sessions=0:3 --reader allensdk
    """
    from rich.console import Console

    from workflows import cluster_profile
    from workflows import config as run_config
    from workflows.commands import ingest as ingesting
    from workflows.progress import say

    science = [*override, *([f"recordings.options.reader={reader.value}"] if reader is not None else [])]
    loaded = run_config.load(config, [*science, *placed(cluster, workers)])
    cluster_profile.require(loaded.cluster.profile)
    console = Console()
    prepared = ingesting.ingest(loaded, console)
    if not all(one.error_type for one in prepared):
        sets = [part for one in science for part in ("--set", one)]
        say(console, f"go on: {shlex.join(['neq', 'run', str(config), *sets])}")
    return EXIT_FAILED if any(one.error_type for one in prepared) else 0
