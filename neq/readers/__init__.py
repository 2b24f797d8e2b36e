"""Readers: a source on disk -> Recording. One module per kind, imported on use."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neq.errors import RecordingError
from neq.spikes.recording import Recording

if TYPE_CHECKING:
    import pydantic

KINDS = {
    "arrays": "an npz file",
    "nwb": "an NWB file",
    "phy": "a phy / Kilosort folder",
    "allen": "a session file or cache folder of the Allen Visual Behavior Neuropixels release",
    "synthetic": "a simulated recording, no file",
}
"""What can be read. ``neq.readers.<kind>`` holds ``read(path, session, **options) -> Recording``."""

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"


def read_recording(
    path: str | Path | None = None,
    kind: str | None = None,
    session: str | None = None,
    subject: str | None = None,
    **options: Any,
) -> Recording:
    """Read one session.

    Parameters
    ----------
    path
        File or folder; none for the kind ``synthetic``.
    kind
        One of ``arrays`` (npz), ``nwb``, ``phy``, ``allen``, ``synthetic``; found by content where left out.
    session
        Name of the session; by default the file's name without its ending, and ``ID`` of one called
        ``ecephys_session_ID``.
    subject
        Id of the animal; by default what the file says.
    **options
        Options of the reader, see ``neq.readers.<kind>``.

    Raises
    ------
    RecordingError
        The source is missing, unreadable or of no known kind, or what it holds is not usable.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", S=np.eye(3, dtype=bool), bin_size=0.05)
    ...     recording = read_recording(f"{folder}/a.npz")
    >>> recording.session, [times.round(3).tolist() for times in recording.spike_times]
    ('a', [[0.025], [0.075], [0.125]])
    """
    from .allen_cache import session_name

    place = None if path is None else Path(path).expanduser()
    if kind is None:
        kind = detect_kind(place)
    read = _reader(kind)
    if place is None and kind != "synthetic":
        raise RecordingError(f"A recording of kind {kind!r} needs a path, found none; give that of {KINDS[kind]}.")
    _check_options(kind, read, options)
    recording = read(place, session=session or (kind if place is None else session_name(place)), **options)
    return recording if subject is None else replace(recording, subject=str(subject))


def check_options(kind: str, options: Mapping[str, Any]) -> pydantic.BaseModel:
    """Return the options of a reader, checked before there is anything to read.

    Parameters
    ----------
    kind
        Of recording, as for :func:`read_recording`.
    options
        What would be given to it; defaults are filled in.

    Raises
    ------
    RecordingError
        There is no such kind, or its reader does not take these options.

    Examples
    --------
    >>> check_options("synthetic", {"n_unit": 20}).duration
    600.0
    """
    from .options import checked

    read = _reader(kind)
    given = {name: value for name, value in options.items() if name != "subject"}  # of every kind
    _check_options(kind, read, given)
    parameters = inspect.signature(read).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    known = {name: value for name, value in {**defaults, **given}.items() if name in given or value is not None}
    model: type[pydantic.BaseModel] = importlib.import_module(read.__module__).Options
    return checked(model, known, kind)


def detect_kind(path: Path | None) -> str:
    """Return the kind of a source by its content.

    Raises
    ------
    RecordingError
        There is no such source, or it is of no known kind.
    """
    known = ", ".join(f"{what} (kind {kind!r})" for kind, what in KINDS.items())
    if path is None:
        raise RecordingError(f"A recording without a path needs a kind; expected {known}.")
    if not path.exists():
        raise RecordingError(
            f"Recording {str(path)!r} does not exist; check the path, relative ones against $NEQ_DATA."
        )
    if path.is_dir():
        return _kind_of_folder(path, known)
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise RecordingError(
            f"Recording {str(path)!r} cannot be read ({error.strerror}); mend its permissions."
        ) from error
    if head == HDF5_SIGNATURE:
        from .allen import is_session

        return "allen" if is_session(path) else "nwb"
    if head.startswith(ZIP_SIGNATURE):
        return "arrays"
    raise RecordingError(f"File {str(path)!r} is of no known kind (it begins with {head!r}); expected {known}.")


def _kind_of_folder(path: Path, known: str) -> str:
    if (path / "params.py").is_file() or (path / "spike_clusters.npy").is_file():
        return "phy"
    from .allen_cache import is_cache

    if is_cache(path):
        return "allen"
    raise RecordingError(
        f"Folder {str(path)!r} has no params.py, so it is not a phy folder, and no manifest of the release, so it is "
        f"not an Allen cache; expected {known}."
    )


def _reader(kind: str) -> Callable[..., Recording]:
    if kind not in KINDS:
        raise RecordingError(
            f"Expected a kind of recording out of {', '.join(KINDS)}, found {kind!r}; choose one of them."
        )
    try:
        module = importlib.import_module(f"neq.readers.{kind}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("neq."):
            raise RecordingError(
                f"Recordings of kind {kind!r} ({KINDS[kind]}) cannot be read in this version of neq; "
                f"export them as {KINDS['nwb']} or {KINDS['arrays']}."
            ) from error
        raise RecordingError(
            f"Recordings of kind {kind!r} cannot be read here because the module {error.name!r} is missing; install it."
        ) from error
    read: Callable[..., Recording] = module.read
    return read


def _check_options(kind: str, read: Callable[..., Recording], options: dict[str, Any]) -> None:
    """Name the options that the reader does not have, and those it has."""
    parameters = inspect.signature(read).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.name not in ("path", "session")]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise RecordingError(
            f"The reader {kind!r} has no option {', '.join(map(repr, unknown))}; its options are {', '.join(known)}."
        )
