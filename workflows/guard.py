"""Errors of a command turned into one sentence on stderr and an exit code."""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn errors into one sentence on stderr and an exit code; a traceback only with ``--debug``."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        from neq.errors import NeqError

        try:
            _refuse_urls(options)
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


def _refuse_urls(options: dict[str, Any]) -> None:
    """Raise where a URL is given in place of a file or folder; a path has lost one of its slashes."""
    from neq.errors import ConfigError

    given = (value for values in options.values() for value in (values if isinstance(values, list) else [values]))
    for path in given:
        if isinstance(path, Path) and (found := re.match(r"([a-z][a-z0-9+.-]+):/+", str(path))):
            url = f"{found[1]}://{str(path)[found.end() :]}"
            raise ConfigError(f"This needs a file or folder, found {url}: `neq fetch {url}` first, and use its folder.")


def _exit_code(error: Exception) -> int:
    """Return 2 for what the user can mend in the call, the config or the disk, 1 for what broke on the way."""
    from neq import errors

    broke = (errors.SweepError, errors.ChunkError, errors.LeaseLostError, errors.CopyError, errors.FetchError)
    return EXIT_FAILED if isinstance(error, broke) else EXIT_USAGE


def _complain(message: str, options: dict[str, Any]) -> None:
    if options.get("debug"):
        import traceback

        traceback.print_exc()
    typer.echo(f"neq: {message}", err=True)


def end_cleanly() -> None:
    """Make SIGTERM (a batch system's way to stop a job) end the command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
