"""The Allen SDK itself as a reader: uv runs it in an environment of its own, and only a file of answers comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neq.errors import RecordingError
from neq.spikes.trains import SpikeTrains

from . import nwb_tables

SCRIPT = Path(__file__).with_name("allensdk_export.py")
"""Names the packages that the SDK needs, and asks it."""
FILE_UNREADABLE, ENVIRONMENT_BROKEN, NOT_WRITTEN = 3, 4, 5
"""Exit codes of the script."""
FORMAT = "answers of the Allen SDK, 1"
"""Attribute ``format`` of the file that it writes."""
INSTEAD = "or take the reader 'direct', which needs none of it"


@dataclass(frozen=True, eq=False)
class Answers:
    """What the Allen SDK says of one session.

    Parameters
    ----------
    units, channels, presentations
        ``get_units()``, ``get_channels()`` and ``stimulus_presentations``.
    spike_times
        Of every row of ``units``, in the file of answers until they are read.
    order
        Ids of the units joined with their channels, in the order of the published preprocessing.
    subject
        The mouse.
    versions
        Of the packages that answered.
    """

    units: pd.DataFrame
    channels: pd.DataFrame
    presentations: pd.DataFrame
    spike_times: SpikeTrains
    order: np.ndarray
    subject: str
    versions: dict[str, str]


def ask(path: Path) -> Answers:
    """Return what the Allen SDK answers for a session file; what it writes is gone with what is returned.

    Raises
    ------
    RecordingError
        See :func:`export`.
    """
    with tempfile.TemporaryDirectory(prefix="neq-allensdk-") as folder:
        export(path, into := Path(folder) / "answers.h5")
        # the open file outlives its name: nothing is left behind, however this process ends
        return open_answers(into)


def open_answers(path: Path) -> Answers:
    """Open a file that :func:`export` wrote.

    Raises
    ------
    RecordingError
        It is none.
    """
    try:
        file = h5py.File(path, "r")
        if file.attrs["format"] != FORMAT:
            raise KeyError("format")
        tables = {name: _table(file[name]) for name in ("units", "channels", "presentations")}
    except (OSError, KeyError) as error:
        raise RecordingError(
            f"Expected in {str(path)!r} {FORMAT!r}, which neq writes, found something else ({error}); export it again."
        ) from error
    return Answers(
        **tables,
        spike_times=SpikeTrains(file["spike_times"], file["spike_offsets"][:], owner=file),
        order=file["order"][:],
        subject=str(file.attrs["subject"]),
        versions=json.loads(file.attrs["versions"]),
    )


def export(path: Path, into: Path) -> None:
    """Write what the Allen SDK answers for the session file ``path`` to the HDF5 file ``into``.

    The environment is made where it is not there yet, see :func:`make_environment`.

    Raises
    ------
    RecordingError
        There is no environment and none can be made, or the SDK cannot open the file.
    """
    make_environment()
    done = _uv("run", "--offline", "--quiet", "--script", str(SCRIPT), str(path.absolute()), str(into.absolute()))
    if done.returncode:
        raise RecordingError(_why_not(path, into, done))


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
    checked = _uv("run", "--offline", "--quiet", "--script", str(script), "--check")
    if checked.returncode:
        raise RecordingError(_broken(checked))


def _table(group: h5py.Group) -> pd.DataFrame:
    """Return a table of the file with its index; None, or pandas' own, for entries that are missing."""
    names = [str(name) for name in group.attrs["columns"]]
    columns = {name: _column(group, name) for name in names}
    name = str(group.attrs["index"])
    return pd.DataFrame(columns, index=pd.Index(group[name][:], name=name), columns=names)


def _column(group: h5py.Group, name: str) -> Any:
    values = nwb_tables.values(group[name])
    if f"missing/{name}" not in group:
        return values
    missing = group[f"missing/{name}"][:]
    if values.dtype == bool:
        return pd.arrays.BooleanArray(values, missing)
    values[missing] = None
    return values


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
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


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return what uv complains of: its error and the last of the causes."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    errors = [line.partition(": ")[2] for line in lines if line.startswith("error:")]
    causes = [line.partition(": ")[2] for line in lines if line.startswith("cause:")]
    return ": ".join([*errors[:1], *causes[-1:]]) or _last(done)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {done.returncode}"


def _remedy(done: subprocess.CompletedProcess[str]) -> str:
    if "interpreter" in done.stderr or "python-build" in done.stderr:
        return f"install Python 3.11, {INSTEAD}"
    return (
        "give the command again where the registry of packages can be reached (UV_CACHE_DIR says where the environment "
        f"is kept, for machines that cannot), {INSTEAD}"
    )


def _broken(done: subprocess.CompletedProcess[str]) -> str:
    return (
        f"The environment of the Allen SDK is there but opens no file ({_last(done)}); `uv cache clean` removes it, "
        f"then give the command again, {INSTEAD}."
    )


def _why_not(path: Path, into: Path, done: subprocess.CompletedProcess[str]) -> str:
    """Say in one sentence why there is no export."""
    if done.returncode == FILE_UNREADABLE:
        return f"The Allen SDK cannot open {str(path)!r} ({_last(done)}); fetch the file again."
    if done.returncode == NOT_WRITTEN:
        return (
            f"What the Allen SDK answers for {str(path)!r} cannot be written to {str(into)!r} ({_last(done)}); "
            "make room there, or set TMPDIR to a folder that has some."
        )
    if done.returncode < 0 or done.returncode > 128:
        return (
            f"The Allen SDK was killed while it read {str(path)!r} (exit code {done.returncode}); it keeps the "
            f"waveforms of all units in memory: give it more, {INSTEAD}."
        )
    return _broken(done)
