"""The commands `neq config`, and the arguments that other commands share with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.guard import guarded

config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check or show a config.")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the run.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the config, such as cluster.workers=4.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="local|NAME|FILE.yaml", help="Where the tasks run: here, or by a profile's jobs."),
]
Workers = Annotated[int | None, typer.Option(help="Worker processes.")]


def placed(cluster: str | None, workers: int | None) -> list[str]:
    """Return the overrides of a config that these two options stand for.

    Examples
    --------
    >>> placed("mine.yaml", None)
    ['cluster.profile=mine.yaml']
    """
    extra = [f"cluster.profile={cluster}"] if cluster is not None else []
    return extra + ([f"cluster.workers={workers}"] if workers is not None else [])


@config_app.command("check")
@guarded
def config_check(config: ConfigFile, override: Overrides = [], debug: Debug = False) -> None:  # noqa: B006
    """Say all that is wrong with a config at once; exit code 2 if anything is.

    \b
    neq config check configs/demo.yaml
    """
    from neq.errors import RecordingError
    from workflows import cluster_profile, studies
    from workflows import config as run_config
    from workflows.grid import Grid

    loaded = run_config.load(config, override)
    cluster_profile.require(loaded.cluster.profile)
    try:
        grid = Grid(studies.study_class(loaded.study)(loaded).axes())
    except RecordingError as error:
        # a config may be written where its recordings are not
        typer.echo(f"{config} is right, but its cells cannot be counted here: {error}")
        return
    grid.block_shape(loaded.sweep.block)
    axes = " x ".join(f"{n} {name}" for name, n in zip(grid.names, grid.shape, strict=True))
    typer.echo(f"{config} is right: {grid.n_cell} cells ({axes})")


@config_app.command("show")
@guarded
def config_show(config: ConfigFile, override: Overrides = [], debug: Debug = False) -> None:  # noqa: B006
    """Print the whole config, defaults filled in, with the meaning of each key.

    \b
    neq config show configs/demo.yaml
    neq config show configs/demo.yaml --set sizes=[5,10] > my.yaml
    """
    from workflows import config as run_config
    from workflows.config_show import commented

    typer.echo(commented(run_config.load(config, override)), nl=False)
