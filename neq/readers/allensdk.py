"""The Allen SDK itself as a reader: it runs in an environment of its own, and only a file of answers comes back."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neq.errors import RecordingError
from neq.spikes.trains import SpikeTrains

from . import allensdk_environment as environment
from . import nwb_tables

FILE_UNREADABLE, NOT_WRITTEN = 3, 5
"""Exit codes of the script."""
FORMAT = "answers of the Allen SDK, 1"
"""Attribute ``format`` of the file that it writes."""


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

    Its answers, written earlier by :func:`export`, may be given in place of the session file.

    Raises
    ------
    RecordingError
        See :func:`export`.
    """
    if _has_answers(path):
        return open_answers(path)
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
            raise KeyError(file.attrs["format"])
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

    The environment is made where it is not there yet, see
    :func:`neq.readers.allensdk_environment.make_environment`.

    Raises
    ------
    RecordingError
        There is no environment and none can be made, or the SDK cannot open the file.
    """
    if not path.is_file():
        raise RecordingError(f"Recording {str(path)!r} does not exist; check the path.")
    environment.make_environment()
    done = environment.run_script(str(path.absolute()), str(into.absolute()))
    if done.returncode:
        raise _error(path, into, done)


def _has_answers(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return "format" in file.attrs
    except OSError:
        # whatever it is: the SDK says why it cannot read it
        return False


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


def _error(path: Path, into: Path, done: environment.Done) -> RecordingError:
    """Return why there are no answers."""
    said = environment.last_line(done)
    if done.returncode == FILE_UNREADABLE:
        return RecordingError(f"The Allen SDK cannot open {str(path)!r} ({said}); fetch the file again.")
    if done.returncode == NOT_WRITTEN:
        return RecordingError(
            f"What the Allen SDK answers for {str(path)!r} cannot be written to {str(into)!r} ({said}); make room "
            "there, or set TMPDIR to a folder that has some."
        )
    if done.returncode < 0 or done.returncode > 128:
        return RecordingError(
            f"The Allen SDK was killed while it read {str(path)!r} (exit code {done.returncode}); it holds the "
            f"waveforms of all units in memory: give it more, {environment.INSTEAD}."
        )
    return environment.broken(done)
