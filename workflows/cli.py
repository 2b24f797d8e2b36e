"""The command `neq`: parse, call, print. Everything heavy is imported inside the commands."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check or show a config.")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the run.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, such as results/demo.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the config, such as cluster.workers=4.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors into one sentence on stderr and an exit code; a traceback only with ``--debug``."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        from neq.errors import NeqError

        try:
            code = command(*arguments, **options)
        except NeqError as error:
            _complain(str(error.args[0] if error.args else error), options)
            raise typer.Exit(_exit_code(error)) from None
        except KeyboardInterrupt:
            _complain("Stopped. What is done is kept; give the same command again to go on.", {})
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            _complain(f"unexpected {what}. Give the command again with --debug and report the traceback.", options)
            raise typer.Exit(EXIT_FAILED) from None
        raise typer.Exit(code or 0)

    return call


def _exit_code(error: Exception) -> int:
    """Return 2 for what the user can mend in the call, the config or the disk, 1 for what broke on the way."""
    from neq import errors

    broke = (errors.SweepError, errors.ChunkError, errors.LeaseLostError)
    return EXIT_FAILED if isinstance(error, broke) else EXIT_USAGE


def _complain(message: str, options: dict[str, Any]) -> None:
    if options.get("debug"):
        import traceback

        traceback.print_exc()
    typer.echo(f"neq: {message}", err=True)


def _console() -> Any:
    from rich.console import Console

    return Console()


def _version(asked: bool) -> None:
    if asked:
        from workflows import provenance

        typer.echo(f"neq {provenance.versions()['neq'] or '(not installed)'}")
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
    cluster: Annotated[str | None, typer.Option(metavar="local|PROFILE", help="Where the tasks run.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    override: Overrides = [],  # noqa: B006 - typer wants the list itself
    debug: Debug = False,
) -> int:
    """Compute a sweep, then its figures and report. The same command goes on where the last one stopped.

    \b
    neq run configs/demo.yaml
    neq run configs/s1.yaml --workers 2 --set repetitions=20
    neq run configs/recording.yaml --set recordings.path=my.npz --set results=results/my
    """
    from workflows import config as run_config
    from workflows import pipeline

    extra = [f"cluster.profile={cluster}"] if cluster is not None else []
    extra += [f"cluster.workers={workers}"] if workers is not None else []
    return pipeline.run(run_config.load(config, [*override, *extra]), _console()).exit_code


def main() -> None:
    """Run the command line; SIGTERM ends it as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app(prog_name="neq")


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
