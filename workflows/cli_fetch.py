"""`neq fetch`: recordings from an archive, or a run that is kept at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.cli_config import Debug
from workflows.guard import guarded

KINDS = "allen-vbn, a dandiset such as dandi:000713, or the URL of a run such as s3://bucket/lab/demo"
"""What can be fetched."""


@guarded
def fetch(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="allen-vbn, dandi:NUMBER, or the URL of a run.")],
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Where to.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where to; default: $NEQ_DATA/allen-vbn or /dandi-NUMBER, for a run results/NAME."
        ),
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS|IDS|PATTERN",
            help="Rows of the table of sessions, or ids: 0:103 or 1064644573,0:3; for a dandiset also subjects, and "
            "files or patterns of them: sub-506940,'*_ses-2020*'; default: all.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the sessions and what they cost.")] = False,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="The tables of the release, no session.")] = False,
    abnormal: Annotated[
        bool,
        typer.Option("--abnormal", help="Count and fetch also sessions with abnormal histology or activity."),
    ] = False,
    release: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Such as 0.5.0; default: that of FOLDER, else the newest.")
    ] = None,
    all_files: Annotated[
        bool, typer.Option("--all-files", help="Count and fetch also NWB files of a dandiset that hold no units.")
    ] = False,
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="A mirror to fetch from instead of the public archive.")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Files to fetch at once.")] = 2,
    debug: Debug = False,
) -> int:
    """Bring recordings of an archive, or a run that is kept at a URL, into a folder.

    allen-vbn: the Visual Behavior Neuropixels sessions of the Allen Institute, about 3 GB each and 300 GB for 103.

    dandi:NUMBER or dandi:NUMBER@VERSION: the NWB files with units of a dandiset, by default of its newest version.

    What it costs is told first; files that are there are not fetched again, also those that the AllenSDK has fetched.
    The same command goes on where the last one stopped. Every file is checked before it has its name.

    A run at a URL, finished or not; again to bring it up to date. A run in that folder goes on at the URL.

    \b
    neq fetch allen-vbn --dry-run                      what is there, and how large is it?
    neq fetch allen-vbn --sessions 0:3                 the first three sessions
    neq fetch allen-vbn --to /scratch/allen            all 103 of the published analysis, tables too
    neq fetch allen-vbn --sessions 1064644573 --to my_allensdk_cache
    neq fetch dandi:000713 --dry-run                   which files, and how large?
    neq fetch dandi:000713@0.240702.1725 --sessions sub-506940
    neq fetch s3://bucket/lab/demo                     into results/demo
    neq fetch s3://bucket/lab/demo /scratch/demo
    """
    from rich.console import Console

    from neq import urls
    from neq.errors import ConfigError
    from workflows.archives import allen, dandi
    from workflows.config import data_folder

    if folder is not None and to is not None:
        raise ConfigError(f"Expected one folder to fetch into, found {folder} and --to {to}; leave one out.")
    into = folder or to
    archives = {"--sessions": sessions, "--dry-run": dry_run, "--from": source}
    of_allen = {"--tables-only": tables_only, "--abnormal": abnormal, "--release": release}
    of_dandi = {"--all-files": all_files}
    if urls.is_url(what):
        _refuse({**archives, **of_allen, **of_dandi}, f"the run at {what}")
        return _fetch_run(what, into)
    if dandi.is_name(what):
        _refuse(of_allen, what)
        dandiset = dandi.Choice(*dandi.parse_name(what), sessions, all_files, source)
        return dandi.fetch(dandiset, into or data_folder() / f"dandi-{dandiset.dandiset}", jobs, dry_run, Console())
    if what != "allen-vbn":
        raise ConfigError(f"fetch needs {KINDS}; found {what}.")
    _refuse(of_dandi, what)
    if tables_only and sessions is not None:
        raise ConfigError("--tables-only fetches no session: leave out either it or --sessions.")
    choice = allen.Choice("" if tables_only else sessions, release, abnormal, source)
    return allen.fetch(choice, into or data_folder() / what, jobs, dry_run, Console())


def _refuse(options: dict[str, object], what: str) -> None:
    """Raise where an option is given that does not go with what is fetched."""
    from neq.errors import ConfigError

    if given := [name for name, value in options.items() if value]:
        raise ConfigError(f"{', '.join(given)}: this does not go with {what}; leave it out.")


def _fetch_run(url: str, folder: Path | None) -> int:
    from rich.console import Console

    from neq import urls
    from workflows.progress import say
    from workflows.remote import keep

    into = folder if folder is not None else Path("results") / urls.last_part(url)
    console = Console()
    n_cell = keep.fetch_run(url, into, console)
    say(console, f"{into}: {n_cell} cells fetched")
    return 0
