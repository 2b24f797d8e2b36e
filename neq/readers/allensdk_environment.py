"""The environment of its own in which the Allen SDK runs: made by uv, kept in uv's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from neq.errors import RecordingError

SCRIPT = Path(__file__).with_name("allensdk_export.py")
"""Names the packages that the SDK needs, and asks it."""
INSTEAD = "or take the reader 'direct', which needs none of it"

Done = subprocess.CompletedProcess[str]


def make_environment(tell: Callable[[str], object] | None = None, script: Path = SCRIPT) -> None:
    """Make the environment in which the Allen SDK runs, where it is not there yet; once for each user and machine.

    It lies in the cache of uv (``UV_CACHE_DIR`` moves that), which locks it against other processes; the environment
    of the caller stays as it is.

    Parameters
    ----------
    tell
        Called with what is about to happen, before it takes its time; None: standard error.
    script
        Names the packages.

    Raises
    ------
    RecordingError
        uv or Python 3.11 is missing, the registry of packages cannot be reached, or what was installed opens no file.
    """
    if _uv("sync", "--check", "--offline", "--script", str(script)).returncode == 0:
        return
    place = _uv("cache", "dir").stdout.strip()
    (tell or _say)(
        f"The Allen SDK gets an environment of its own in {place}: 15 to 60 s with a fast network, 0.9 GB, only once."
    )
    made = _uv("sync", "--script", str(script))
    if made.returncode:
        raise RecordingError(f"The environment of the Allen SDK cannot be made ({_words(made)}); {_remedy(made)}.")
    # packages that do not fit each other install and import, and open no file
    checked = run_script("--check", script=script)
    if checked.returncode:
        raise broken(checked, script)


def run_script(*arguments: str, script: Path = SCRIPT) -> Done:
    """Run a script in its environment, which must be there."""
    return _uv("run", "--offline", "--quiet", "--script", str(script), *arguments)


def last_line(done: Done) -> str:
    """Return what a program said last on standard error."""
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {done.returncode}"


def broken(done: Done, script: Path = SCRIPT) -> RecordingError:
    """Return the error of an environment that is there and does not work."""
    return RecordingError(
        f"The environment of the Allen SDK is there but opens no file ({last_line(done)}); delete the folder "
        f"{str(_folder(script))!r}, then give the command again, {INSTEAD}."
    )


def _folder(script: Path) -> Path:
    """Return the folder of a script's environment, a pattern of it where uv does not tell; nothing else in the cache.

    Where there is no environment, uv names another Python, whose folder must never be given for one.
    """
    name = f"environments-*/{script.stem.replace('_', '-').lower()}-*"
    folder = Path(_uv("python", "find", "--script", str(script)).stdout.strip()).parent.parent
    return folder if folder.match(name) else Path(_uv("cache", "dir").stdout.strip()) / name


def _uv(*arguments: str) -> Done:
    # nothing of the caller's Python may reach the other one
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run([_find_uv(), *arguments], capture_output=True, text=True, errors="replace", env=kept)


def _find_uv() -> str:
    """Return the program uv: that of the package in this environment, else the one on the path."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise RecordingError(
            f"The reader 'allensdk' needs the program uv, found none; `pip install 'neq[allensdk]'`, {INSTEAD}."
        )
    return found


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _words(done: Done) -> str:
    """Return what uv complains of: its error and the last of the causes."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    errors = [line.partition(": ")[2] for line in lines if line.startswith("error:")]
    causes = [line.partition(": ")[2] for line in lines if line.startswith("cause:")]
    return ": ".join([*errors[:1], *causes[-1:]]) or last_line(done)


def _remedy(done: Done) -> str:
    if "interpreter" in done.stderr or "python-build" in done.stderr:
        return f"install Python 3.11, {INSTEAD}"
    return (
        "give the command again where the registry of packages can be reached (UV_CACHE_DIR says where the environment "
        f"is kept, for machines that cannot), {INSTEAD}"
    )
