"""The command `neq`: parse, call, print. Everything heavy is imported inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workflows import cli_fetch, cli_ingest, cli_inspect, cli_share, cli_submit
from workflows.cli_cluster import cluster_app
from workflows.cli_config import Cluster, ConfigFile, Debug, Overrides, Workers, config_app, placed
from workflows.guard import EXIT_FAILED, end_cleanly, guarded

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config_app, name="config")
app.add_typer(cluster_app, name="cluster")
app.command()(cli_submit.submit)
app.command(hidden=True)(cli_submit.job_step)

RerunOverrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="cluster.KEY=VALUE or sweep.deaths=N, nothing else.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, such as results/demo.")]


def _console() -> Any:
    from rich.console import Console

    return Console()


def _version(asked: bool) -> None:
    if asked:
        import neq

        typer.echo(f"neq {neq.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """How irreversible is neural activity? Entropy production of spike trains, as distributed sweeps.

    \b
    neq config check configs/demo.yaml     is the config right?
    neq plan configs/demo.yaml             what will it cost?
    neq run configs/demo.yaml              compute, draw, report; again to go on
    neq status results/demo                how far is it?
    """


@app.command()
@guarded
def run(
    config: ConfigFile,
    cluster: Cluster = None,
    workers: Workers = None,
    override: Overrides = [],  # noqa: B006 - typer wants the list itself
    debug: Debug = False,
) -> int:
    """Compute a sweep, then its figures and report. The same command goes on where the last one stopped.

    \b
    neq run configs/demo.yaml
    neq run configs/s1.yaml --workers 2 --set repetitions=20
    neq run configs/s1.yaml --cluster mine.yaml
    neq run configs/recording.yaml --set recordings.path=my.npz --set results=results/my
    """
    from workflows import cluster_profile
    from workflows import config as run_config
    from workflows.commands import pipeline

    loaded = run_config.load(config, [*override, *placed(cluster, workers)])
    cluster_profile.require(loaded.cluster.profile)
    return pipeline.run(loaded, _console()).exit_code


@app.command()
@guarded
def plan(
    config: ConfigFile,
    seconds: Annotated[float, typer.Option(help="Time no further cell after so many seconds.")] = 30.0,
    override: Overrides = [],  # noqa: B006
    debug: Debug = False,
) -> None:
    """Tell what a sweep will cost: a few cells are timed here, the largest and the middle size always.

    The recordings that these cells need are prepared in the run folder, where the run finds them; nothing else is
    written.

    \b
    neq plan configs/s1.yaml
    neq plan configs/s1.yaml --seconds 120 --set repetitions=100
    """
    from workflows import config as run_config
    from workflows.commands import plan as planning
    from workflows.commands import plan_text
    from workflows.progress import Meter

    console = _console()
    with Meter(console, "pilot") as meter:
        made = planning.make(run_config.load(config, override), seconds, meter)
    plan_text.tell(made, console)


@app.command()
@guarded
def status(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder or URL of the run, such as results/demo.")],
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until the run ends; Ctrl-C leaves.")] = False,
    debug: Debug = False,
) -> None:
    """Show how far a run is, along each axis, from its files alone.

    \b
    neq status results/demo
    neq status results/demo --watch
    neq status s3://bucket/lab/demo
    """
    from neq import urls
    from neq.errors import ConfigError
    from workflows.commands import status as states
    from workflows.commands import watch as watching

    if watch and urls.is_url(run):
        raise ConfigError(f"--watch needs the run folder: look at {run} without it, or watch where the driver runs.")
    if watch:
        watching.watch(Path(run), _console())
        return
    if urls.is_url(run):
        from workflows.remote import look

        snapshot = look.look(run)
    else:
        snapshot = states.look(Path(run))
    _console().print(states.show(snapshot), highlight=False, soft_wrap=True)


@app.command()
@guarded
def rerun(
    run: RunFolder,
    failed: Annotated[bool, typer.Option("--failed", help="The failed cells.")] = False,
    where: Annotated[str | None, typer.Option(metavar="EXPR", help="The cells for which this holds.")] = None,
    workers: Workers = None,
    override: RerunOverrides = [],  # noqa: B006
    debug: Debug = False,
) -> int:
    """Compute chosen cells of a run again, by the config that the run keeps.

    EXPR compares axes, status and the store's variables: == != < <= > >= in, is nan, and, or, not.

    \b
    neq rerun results/demo --failed
    neq rerun results/demo --where "status == 'failed' and session == 's1'"
    neq rerun results/demo --where "size == 'all' and entropy_production is nan" --workers 1
    """
    from workflows.commands import rerun as again

    return again.rerun(run, _console(), failed, where, [*override, *placed(None, workers)]).exit_code


@app.command()
@guarded
def verify(
    run: RunFolder,
    cells: Annotated[int, typer.Option(min=1, help="How many cells, drawn at random.")] = 20,
    where: Annotated[str | None, typer.Option(metavar="EXPR", help="Draw among these cells only.")] = None,
    debug: Debug = False,
) -> int:
    """Compute finished cells again from the stored spikes, in a fresh process, and compare with the store.

    Bit by bit where CPU and numeric libraries are those of the run, else to 1e-9 relative. Exit code 1 if any differs.

    \b
    neq verify results/demo
    neq verify results/demo --cells 100 --where "size == 'all'"
    """
    from workflows.commands import verify as verification
    from workflows.commands import verify_text
    from workflows.progress import Meter

    console = _console()
    with Meter(console, "verify") as meter:
        verdict = verification.verify(run, cells, where, progress=meter)
    verify_text.tell(verdict, console)
    return EXIT_FAILED if verdict.mismatches else 0


@app.command()
@guarded
def doctor(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run; none: this machine.")] = None,
    debug: Debug = False,
) -> int:
    """Say what is wrong with a run, or with this machine, and which command mends it; changes nothing.

    Reads every chunk of the store and of the spikes. Exit code 1 if there is a problem.

    \b
    neq doctor
    neq doctor results/demo
    """
    from workflows.commands import doctor as examination
    from workflows.commands import environment, finding
    from workflows.progress import Meter

    console = _console()
    if run is None:
        findings = list(environment.examine())
    else:
        with Meter(console, "read", "blocks") as meter:
            findings = list(examination.examine(run, meter))
    finding.tell(findings, console)
    return EXIT_FAILED if any(one.kind == finding.PROBLEM for one in findings) else 0


@app.command()
@guarded
def figures(run: RunFolder, debug: Debug = False) -> None:
    """Draw the figures of a run anew, finished or not.

    \b
    neq figures results/demo
    """
    from workflows import studies
    from workflows.reduce import make_figures
    from workflows.run_folder import load_run

    loaded = load_run(run)
    for path in make_figures(run, studies.study_class(loaded.study)(loaded)):
        typer.echo(path)


@app.command()
@guarded
def report(run: RunFolder, debug: Debug = False) -> None:
    """Write the report of a run anew, finished or not.

    \b
    neq report results/demo
    """
    from workflows import studies
    from workflows.report import write_report
    from workflows.run_folder import load_run

    loaded = load_run(run)
    typer.echo(write_report(run, studies.study_class(loaded.study)(loaded)))


for _command in (cli_inspect.inspect, cli_ingest.ingest, cli_share.freeze, cli_share.merge, cli_fetch.fetch):
    app.command()(_command)


def main() -> None:
    """Run the command line."""
    end_cleanly()
    app(prog_name="neq")


if __name__ == "__main__":
    main()
