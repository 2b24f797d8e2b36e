"""Read a session of the Allen Brain Observatory (Visual Behavior Neuropixels), without the Allen SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import pydantic

from neq.commands import command
from neq.errors import RecordingError
from neq.spikes.recording import Recording, SpikeTrains, unit_table
from neq.spikes.selection import parse_comparison

from . import allen_cache, allen_epochs, allen_units, nwb, nwb_tables
from .options import ReaderOptions, checked

NAMESPACE = "ndx-aibs-behavior-ophys"
"""Extension of NWB that the release's own tables are written with."""


class Options(ReaderOptions, frozen=True):
    """Options of the reader ``allen``; ``epochs`` or ``condition`` given replace the conditions of the session."""

    quality: dict[str, str] = allen_units.PUBLISHED_QUALITY
    """Column of units or channels -> condition that a unit must satisfy; ``{}`` keeps all."""
    order: allen_units.Order = "stable"
    """Of units at one height of the probe: ``stable``, as in the file; ``reference``, as published analyses have it,
    with epochs that start on the border of their bins, so that bins of 10 ms are theirs bit by bit."""
    gabor_window: allen_epochs.GaborWindow = "published"
    """What the condition gabor is: ``published``, all between the blocks of images; ``presentations``, gabors only."""
    reader: Literal["direct", "allensdk"] = "direct"
    """``allensdk``: let the Allen SDK itself read the file, in an environment of its own."""

    @property
    def names_epochs(self) -> bool:
        """Whether the epochs are those of the options instead of the conditions of the session."""
        return self.epochs is not None or "condition" in self.model_fields_set

    @pydantic.field_validator("quality")
    @classmethod
    def _compares(cls, quality: dict[str, str]) -> dict[str, str]:
        for condition in quality.values():
            parse_comparison(condition)
        return quality


def read(path: Path, session: str, **options: Any) -> Recording:
    """Read a session as the Allen SDK 2.16.2 gives it, with the conditions and the quality filter of [1]_.

    The conditions are ``active``, ``passive`` and ``gabor``, see :func:`neq.readers.allen_epochs.condition_epochs`; one
    that the session does not have is left out. Units are those with a valid channel and all measures that the SDK
    wants, filtered by ``quality``, the uppermost first. Spike times stay in the file until they are binned, one unit at
    a time; waveforms, amplitudes and LFP are never read.

    Parameters
    ----------
    path
        NWB file of a session, or a cache folder of the Allen SDK.
    session
        Name of the session; of a cache folder the id of the session in it.
    **options
        See :class:`Options`.

    Raises
    ------
    RecordingError
        The file is missing, cannot be read or does not hold what is needed, or no unit or no condition is left.

    References
    ----------
    .. [1] Aguilera, Ito & Kolchinsky, arXiv:2505.10444.
    """
    wanted = checked(Options, options, "allen")
    path = _in_cache(path, session) if path.is_dir() else path
    fetch = _fetch_command(path)
    if fetch is not None and not path.is_file():
        raise RecordingError(
            f"Session {allen_cache.session_name(path)} is not downloaded to {str(_cache_of(path))!r}; {fetch} "
            "(without --sessions: all), then the same command again."
        )
    if wanted.reader == "allensdk":
        return _from_sdk(wanted, path, session)
    with nwb.reading(path, fetch or "fetch it again") as file:
        return _from_file(file, wanted, path, session)


def is_session(path: Path) -> bool:
    """Whether an HDF5 file is a session of the release, as it is called, by its extension of NWB or by its tables.

    Those tables are units with a peak channel, electrodes at a height and presentations of a task. One that lacks some
    of them is a session still: what it lacks is for the reader to say.
    """
    if allen_cache.FILE_NAME.fullmatch(path.stem):
        return True
    try:
        with h5py.File(path, "r") as file:
            if NAMESPACE in file.get("specifications", {}):
                return True
            tables = [file["intervals"][name] for name in file["intervals"] if name.endswith(allen_epochs.TABLES)]
            electrodes = file[f"{allen_units.PROBES}/electrodes"]
            channels = "peak_channel_id" in file["units"] and allen_units.DEPTH in electrodes
            return channels and any("active" in table for table in tables)
    except (OSError, KeyError, RuntimeError):
        return False


def recording(
    session: str,
    units: pd.DataFrame,
    channels: pd.DataFrame,
    presentations: pd.DataFrame | None,
    trains: SpikeTrains,
    options: Options,
    published: np.ndarray | None = None,
    **facts: Any,
) -> Recording:
    """Return the recording of a session from the tables that the Allen SDK has of it.

    Parameters
    ----------
    session
        Its name.
    units, channels, presentations
        ``get_units()``, ``get_channels()`` and ``stimulus_presentations``; no presentations where the options name
        the epochs.
    trains
        Spike times of each row of ``units``.
    options
        Of the reader.
    published
        Ids of the units joined with their channels in the order ``reference``; None: it is worked out here.
    **facts
        ``source`` and ``subject`` of the recording.

    Raises
    ------
    RecordingError
        What is given makes no recording.
    """
    where = f"session {session!r}"
    merged = allen_units.ordered_units(allen_units.joined_units(units, channels, where), options.order, published)
    chosen = allen_units.good_units(merged, options.quality, where)
    columns = {str(name): chosen[name].to_numpy() for name in chosen if name != "structure_acronym"}
    table = unit_table(chosen.index.tolist(), chosen["structure_acronym"].tolist(), columns)
    trains = trains.take(units.index.get_indexer(chosen.index))
    if presentations is None:
        epochs = options.epoch_table(session, table, trains)
    else:
        epochs = allen_epochs.condition_epochs(presentations, options.gabor_window, where)
        if options.order == "reference":
            epochs = allen_epochs.on_published_grid(epochs, *trains.span())
    return Recording(session, table, trains, epochs, duration=options.duration, **facts)


def _from_file(file: h5py.File, options: Options, path: Path, session: str) -> Recording:
    units = allen_units.unit_table(file)
    rows = allen_units.ids_of(file["units"]).get_indexer(units.index)
    return recording(
        session,
        units,
        allen_units.channel_table(file),
        None if options.names_epochs else allen_epochs.presentation_table(file),
        nwb.spike_trains(file["units"]).take(rows),
        options,
        source={"kind": "allen", "path": str(path), "options": options.plain()},
        subject=nwb_tables.word(file, "general/subject/subject_id"),
    )


def _from_sdk(options: Options, path: Path, session: str) -> Recording:
    from . import allensdk

    answers = allensdk.ask(path)
    return recording(
        session,
        answers.units,
        answers.channels,
        None if options.names_epochs else answers.presentations,
        answers.spike_times,
        options,
        answers.order,
        source={"kind": "allen", "path": str(path), "options": options.plain(), "versions": answers.versions},
        subject=answers.subject,
    )


def _in_cache(folder: Path, session: str) -> Path:
    """Return the file of a session in a cache folder."""
    cache = allen_cache.open_cache(folder)
    if not session.isdecimal():
        ids = cache.sessions(abnormal=True).index
        raise RecordingError(
            f"Expected the id of one of the {len(ids)} sessions of {str(folder)!r}, found {session!r}; "
            f"name one as session, for example {str(ids[0])!r}."
        )
    return cache.session_file(int(session))


def _fetch_command(path: Path) -> str | None:
    """Return the command that fetches the file of a session of a cache folder, None where it lies elsewhere."""
    named, folder = allen_cache.FILE_NAME.fullmatch(path.stem), _cache_of(path)
    if named is None or not allen_cache.is_cache(folder):
        return None
    options: dict[str, object] = {"--sessions": named[1]}
    try:
        cache = allen_cache.open_cache(folder)
        options["--release"] = cache.manifest.version if cache.others else None
        options["--abnormal"] = cache.leaves_out(int(named[1]))
    except RecordingError:  # its tables are another matter
        pass
    options["--to"] = folder
    return f"`{command('fetch', 'allen-vbn', options=options)}`"


def _cache_of(path: Path) -> Path:
    # both layouts have it at the same depth
    return next(iter(path.parents[3:4]), path.parent)
