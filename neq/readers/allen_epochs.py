"""Stimulus presentations of an Allen session, and the stretches of time that published analyses cut out by them."""

from __future__ import annotations

from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd

from neq.errors import RecordingError
from neq.spikes.recording import epoch_table

from . import nwb_tables

GaborWindow = Literal["published", "presentations"]

CONDITIONS = ("active", "passive", "gabor")
TABLES = "_presentations"
"""How the names of intervals tables with presentations end; what comes before it is the name of the stimulus."""

NEEDED = ("start_time", "stop_time", "active")
GRID = 0.01
"""Bins (s) of the published preprocessing."""
COUNTED = ("flashes_since_change", "image_index", "movie_repeat", "movie_frame_index", "repeat", "stimulus_index")
"""Whole numbers, -99 where a stimulus has none."""
NO_COUNT = -99


def presentation_table(file: h5py.File) -> pd.DataFrame:
    """Return the presentations of a session file as ``stimulus_presentations`` of Allen SDK 2.16.2, in time order.

    All stimuli in one table: a column that a stimulus does not have is missing in its rows, and ``image_name`` of a
    stimulus without images with it.

    Raises
    ------
    RecordingError
        There are none, or a column is missing.
    """
    intervals = file.get("intervals", {})
    tables = [_table(intervals[name]) for name in intervals if name.endswith(TABLES)]
    if not any(len(table) for table in tables):
        raise RecordingError(
            f"Expected in {file.filename!r} intervals tables *{TABLES} with rows, found "
            f"{', '.join(intervals) or 'none'}; choose a session file of the release, or give the option epochs."
        )
    table = pd.concat([table for table in tables if len(table)], sort=False)
    table = table.sort_values("start_time", kind="stable", ignore_index=True)
    table.index.name = "stimulus_presentations_id"
    return _typed(table).rename(columns={"stop_time": "end_time"})


def condition_epochs(presentations: pd.DataFrame, gabor_window: GaborWindow, where: str) -> pd.DataFrame:
    """Return the epochs of the conditions active, passive and gabor, each from its first start to its last end.

    The windows of the published preprocessing [1]_: ``active``, the rows that are active (the mouse does the task);
    ``passive``, those that are not and have an image (the same images shown again; an omitted image counts); ``gabor``,
    those that are not and have none, which is everything between the two others: grey screen, gabors, grey screen and
    flashes. With ``gabor_window="presentations"`` it is the gabors only, those rows whose stimulus is called gabor.
    A condition without rows is left out.

    Parameters
    ----------
    presentations
        Table as the SDK gives it: start_time, end_time, active, image_name, stimulus_name.
    gabor_window
        See above.
    where
        What the presentations are of, for messages.

    Raises
    ------
    RecordingError
        No condition has rows, or one of them lasts no time.

    References
    ----------
    .. [1] Aguilera, Ito & Kolchinsky, arXiv:2505.10444.

    Examples
    --------
    >>> shown = pd.DataFrame(
    ...     {"start_time": [0.0, 1.0, 2.0], "end_time": [0.5, 1.5, 2.5], "active": [True, True, False],
    ...      "image_name": ["im1", "omitted", None], "stimulus_name": ["images", "images", "gabor"]})
    >>> condition_epochs(shown, "published", "a session")[["condition", "start", "stop"]].values.tolist()
    [['active', 0.0, 1.5], ['gabor', 2.0, 2.5]]
    """
    active, passive = (_equals(presentations["active"], value) for value in (1, 0))
    pictured = presentations["image_name"].notna().to_numpy()
    gabor = ~pictured if gabor_window == "published" else _called_gabor(presentations["stimulus_name"])
    rows = dict(zip(CONDITIONS, (active, passive & pictured, passive & gabor), strict=True))
    epochs = [_window(presentations[chosen], name, where) for name, chosen in rows.items() if chosen.any()]
    if not epochs:
        names = ", ".join(presentations["stimulus_name"].dropna().astype(str).unique())
        raise RecordingError(
            f"Expected in {where} presentations that are active or not (column active), found {len(presentations)} "
            f"of {names or 'no name'} where that is missing; give the option epochs."
        )
    return epoch_table(epochs)


def on_published_grid(epochs: pd.DataFrame, first: float, last: float) -> pd.DataFrame:
    """Return epochs that start and stop where bins of the published preprocessing do.

    Its bins of 10 ms are counted from the first spike of the units that are analysed and end before the last one; an
    epoch has the bin in which it starts, and not the one in which it stops.

    Binned with 10 ms they hold the published arrays, but for spikes that lie on a border to within rounding: there the
    quotient is rounded, here the border.

    Parameters
    ----------
    epochs
        Table of epochs.
    first, last
        First and last spike (s).

    Examples
    --------
    >>> on_published_grid(epoch_table(start=1.0, stop=2.0), 0.504, 9.0)[["start", "stop"]].values.round(3).tolist()
    [[0.994, 1.994]]
    """
    n_bin = np.floor((last - first) / GRID)
    return epochs.assign(
        **{name: first + np.floor((epochs[name] - first) / GRID).clip(0, n_bin) * GRID for name in ("start", "stop")}
    )


def _table(group: h5py.Group) -> pd.DataFrame:
    """Return the columns of one stimulus that have one value per presentation."""
    n_row = len(group["id"]) if "id" in group else 0
    columns = {name: nwb_tables.values(group[name]) for name in nwb_tables.scalar_columns(group, n_row)}
    if missing := [name for name in NEEDED if name not in columns]:
        raise RecordingError(
            f"Expected in table {group.name!r} of {group.file.filename!r} a column {', '.join(missing)}, found "
            f"{', '.join(columns) or 'none'}; choose a session file of the release."
        )
    stimulus = group.name.rpartition("/")[2].removesuffix(TABLES)
    table = pd.DataFrame({"image_name": np.nan, "stimulus_name": stimulus, **columns}, index=range(n_row))
    # The SDK writes N/A for what is missing among texts, and reads it as a text without letters: it is there.
    return table.replace({"N/A": ""})


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return counts as whole numbers, and as truth values the columns of floats that hold nothing but 0, 1 and NaN."""
    counts = {name: table[name].fillna(NO_COUNT).astype("int64") for name in COUNTED if name in table}
    table = table.assign(**counts)
    floats = [str(name) for name in table.select_dtypes("float") if not str(name).endswith("_index")]
    truths = [name for name in floats if table[name].dropna().isin([0, 1]).all()]
    return table.astype(dict.fromkeys(truths, "boolean"))


def _equals(column: pd.Series, value: int) -> np.ndarray:
    """Return where a truth value that may be missing, and may be stored as a number, is ``value``."""
    return np.asarray((column == value).fillna(False), dtype=bool)


def _called_gabor(names: pd.Series) -> np.ndarray:
    return np.array([str(name).lower().startswith("gabor") for name in names], dtype=bool)


def _window(rows: pd.DataFrame, condition: str, where: str) -> dict[str, Any]:
    start, stop = float(rows["start_time"].min()), float(rows["end_time"].max())
    if not stop > start:
        raise RecordingError(
            f"Expected the {len(rows)} presentations of condition {condition!r} in {where} to take time, found them "
            f"from {start:g} to {stop:g} s; leave the session out with recordings.sessions, or read it with epochs "
            "of its own."
        )
    return {"condition": condition, "start": start, "stop": stop}
