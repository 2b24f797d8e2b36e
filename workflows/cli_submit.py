"""The command `neq submit`, and the steps of the jobs that it submits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workflows.cli_config import ConfigFile, Debug, Overrides
from workflows.guard import guarded


@guarded
def submit(
    config: ConfigFile,
    cluster: Annotated[str, typer.Option(metavar="PROFILE", help="Profile of the cluster: a name, or a YAML file.")],
    array: Annotated[
        bool, typer.Option("--array", help="Plain jobs, no driver: for nodes that cannot reach it.")
    ] = False,
    tasks: Annotated[int | None, typer.Option(min=1, help="Tasks of the array; default: workers of PROFILE.")] = None,
    override: Overrides = [],  # noqa: B006
    debug: Debug = False,
) -> None:
    """Leave a sweep to the batch system: what drives it is itself a job, so that you may log out.

    The job goes back into the queue before its walltime ends, until the sweep is done.

    \b
    neq submit configs/s1.yaml --cluster slurm
    neq submit configs/s1.yaml --cluster my-site.yaml --set repetitions=100
    neq submit configs/s1.yaml --cluster slurm --array --tasks 64
    """
    from neq.errors import ConfigError
    from workflows.commands import array as arrays
    from workflows.commands import submit as drivers

    if tasks is not None and not array:
        raise ConfigError("--tasks goes with --array: the workers of a driver are `--set cluster.workers=N`.")
    if array:
        arrays.submit(config, cluster, override, tasks, _console())
    else:
        drivers.submit(config, cluster, override, _console())


@guarded
def job_step(
    step: Annotated[str, typer.Argument(metavar="drive|prepare|tasks|finish")],
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    number: Annotated[int, typer.Argument(metavar="ROUND")] = 1,
    debug: Debug = False,
) -> int:
    """Do the part of a job of `neq submit`; not for use by hand."""
    from neq.errors import ConfigError
    from workflows.commands import array as arrays
    from workflows.commands import submit as drivers

    console = _console()
    if step == drivers.DRIVER_STEP:
        return drivers.drive(run, console)
    if step == arrays.PREPARE:
        return arrays.prepare(run, console)
    if step == arrays.TASKS:
        return arrays.compute(run, number, console)
    if step == arrays.FINISH:
        return arrays.finish(run, number, console)
    raise ConfigError(f"There is no step {step!r} of a job: give `neq submit`.")


def _console() -> Any:
    from rich.console import Console

    return Console()
