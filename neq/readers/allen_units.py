"""Units and channels of an Allen session as the Allen SDK gives them, joined, chosen and put in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import h5py
import numpy as np
import pandas as pd

from neq.errors import RecordingError, SelectionError
from neq.spikes.selection import satisfied

from . import nwb, nwb_tables
from .allen_order import descending_order, merged_order

Order = Literal["stable", "reference"]

PUBLISHED_QUALITY = {"snr": "> 1", "isi_violations": "< 1", "firing_rate": "> 0.1"}
"""The quality filter of the published preprocessing."""

MEASURED = ("amplitude_cutoff", "presence_ratio", "isi_violations")
"""The SDK drops a unit without a value in one of these: it compares them with a bound, by default an infinite one."""

DEPTH = "probe_vertical_position"
PROBES = "general/extracellular_ephys"

CHANNEL_NAMES = {
    "x": "anterior_posterior_ccf_coordinate",
    "y": "dorsal_ventral_ccf_coordinate",
    "z": "left_right_ccf_coordinate",
}
NOT_OF_THE_SDK = {"group_name", "imp", "location", "valid_data"}
"""Columns of the electrodes table that the SDK's table of channels does not have (under this name)."""


def unit_table(file: h5py.File) -> pd.DataFrame:
    """Return the units of a session file as ``get_units()`` of Allen SDK 2.16.2 does, indexed by their id.

    Probe by probe, each unit that has a channel and a value of :data:`MEASURED`; every column with one value per unit.

    Raises
    ------
    RecordingError
        There are no such units, or a column is missing.
    """
    placed = placed_units(file)
    measured = measured_units(placed)
    if measured.empty:
        raise RecordingError(
            f"Expected in {file.filename!r} units with a channel in the file and a value of {', '.join(MEASURED)}, "
            f"found {len(file['units/id'])} units, {len(placed)} of them with such a channel, 0 of these with the "
            "values; fetch the file again, or choose another session."
        )
    return measured


def placed_units(file: h5py.File) -> pd.DataFrame:
    """Return the units of a session file that have a channel of a probe in it, probe by probe.

    Raises
    ------
    RecordingError
        There are no units, or a column is missing.
    """
    units = nwb.units_of(file)
    table = _columns(units, [*MEASURED, "peak_channel_id"])
    electrodes = _electrodes(file)
    probe = electrodes["probe_id"].reindex(table["peak_channel_id"]).to_numpy()
    return table.iloc[_by_probe(file, probe)]


def measured_units(units: pd.DataFrame) -> pd.DataFrame:
    """Return the units that have a value of each of :data:`MEASURED`."""
    return units[units[list(MEASURED)].notna().all(axis=1)]


def channel_table(file: h5py.File) -> pd.DataFrame:
    """Return the channels of a session file as ``get_channels()`` of Allen SDK 2.16.2 does, indexed by their id.

    Probe by probe, those with valid data. ``structure_acronym`` is the area without its part after a hyphen, None
    where the channel is in no named area.

    Raises
    ------
    RecordingError
        There are no channels, or a column is missing.
    """
    table = _electrodes(file)
    table = table.iloc[_by_probe(file, table["probe_id"].to_numpy())]
    table = table[table["valid_data"] == 1]
    areas = [None if name in ("None", "") else name.split("-")[0] for name in table["location"]]
    table = table.assign(structure_acronym=pd.Series(areas, index=table.index, dtype=object))
    return table.drop(columns=NOT_OF_THE_SDK, errors="ignore").rename(columns=CHANNEL_NAMES)


def ids_of(table: h5py.Group) -> pd.Index:
    """Return the ids of the rows of a table of the file.

    Raises
    ------
    RecordingError
        They are no whole numbers.
    """
    try:
        return pd.Index(table["id"][:], dtype="int64", name="id")
    except (TypeError, ValueError) as error:
        raise RecordingError(
            f"Expected in table {table.name!r} of {table.file.filename!r} ids that are whole numbers, found others "
            f"({error}); fetch the file again."
        ) from error


def joined_units(units: pd.DataFrame, channels: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the units whose channel there is, in their order, with the columns of their channel.

    Raises
    ------
    RecordingError
        There is no such unit; the message counts what there is.

    Examples
    --------
    >>> units = pd.DataFrame({"peak_channel_id": [5, 8, 3]}, index=[1, 2, 3])
    >>> channels = pd.DataFrame({"structure_acronym": ["CA1", "VISp"]}, index=[3, 5])
    >>> joined_units(units, channels, "a session")["structure_acronym"].to_dict()
    {1: 'VISp', 3: 'CA1'}
    """
    row = channels.index.get_indexer(pd.Index(units["peak_channel_id"]))
    kept = units[row >= 0]
    if kept.empty:
        raise RecordingError(
            f"Expected units on channels with valid data in {where}, found {len(units)} units that have a channel "
            f"in the file and a value of {', '.join(MEASURED)}, {len(channels)} channels with valid data, and none "
            "with the peak_channel_id of a unit; fetch the file again, or choose another session."
        )
    of_channel = channels[channels.columns.difference(units.columns)].iloc[row[row >= 0]]
    return pd.concat([kept, of_channel.set_axis(kept.index)], axis=1)


def ordered_units(units: pd.DataFrame, order: Order, published: np.ndarray | None = None) -> pd.DataFrame:
    """Return joined units from the uppermost channel of the probes to the lowest.

    Units at one height keep their order (``"stable"``), or get that of the published analyses (``"reference"``, see
    :mod:`neq.readers.allen_order`). Units come in the order of an inner merge there, so this is for all joined units,
    before any of them is left out. ``published`` are their ids in that order where somebody else found it.
    """
    if order == "reference" and published is not None:
        return units.loc[published]
    if order == "reference":
        merged = units.iloc[merged_order(units["peak_channel_id"].to_numpy())]
        return merged.iloc[descending_order(merged[DEPTH].to_numpy())]
    return units.sort_values(DEPTH, ascending=False, kind="stable")


def good_units(units: pd.DataFrame, quality: Mapping[str, str], where: str) -> pd.DataFrame:
    """Return the joined units of the quality asked for.

    Parameters
    ----------
    units
        Units with the columns of their channels.
    quality
        Column -> condition such as ``"> 1"``; a missing value satisfies none.
    where
        What the units are of, for messages.

    Raises
    ------
    RecordingError
        No unit is left, or a column is missing; the message counts what each rule leaves.

    Examples
    --------
    >>> units = pd.DataFrame({"snr": [0.5, 2.0], "firing_rate": [3.0, 4.0]}, index=[7, 9])
    >>> good_units(units, {"snr": "> 1", "firing_rate": "> 0.1"}, "a session").index.tolist()
    [9]
    """
    kept = np.ones(len(units), dtype=bool)
    steps = []
    for column, condition in quality.items():
        kept &= _passes(units, column, condition, where)
        steps.append(f"{column} {condition} leaves {kept.sum()}")
    if not kept.any():
        raise RecordingError(
            f"No unit is left of the {len(units)} of {where} ({', '.join(steps)}); relax the option quality."
        )
    return units[kept]


def _passes(table: pd.DataFrame, column: str, condition: str, where: str) -> np.ndarray:
    if column not in table:
        raise RecordingError(
            f"The units of {where} have no column {column!r} for the option quality; they have "
            f"{', '.join(map(str, table))}."
        )
    try:
        return satisfied(table[column].to_numpy(), column, condition)
    except SelectionError as error:
        raise RecordingError(f"The option quality does not fit the units of {where}: {error}.") from error


def _electrodes(file: h5py.File) -> pd.DataFrame:
    """Return the columns with one value per electrode, indexed by its id."""
    electrodes = file.get(f"{PROBES}/electrodes")
    if not isinstance(electrodes, h5py.Group):
        raise RecordingError(
            f"Expected in {file.filename!r} a table of electrodes, found none, so its units have no channels; "
            "choose a session file of the release."
        )
    return _columns(electrodes, ["probe_id", DEPTH, "valid_data", "location"])


def _columns(group: h5py.Group, needed: Sequence[str]) -> pd.DataFrame:
    """Return the columns of a table of the file that have one value per row, indexed by id."""
    n_row = len(group["id"]) if "id" in group else 0
    found = nwb_tables.scalar_columns(group, n_row)
    if missing := [name for name in needed if name not in found]:
        raise RecordingError(
            f"Expected in table {group.name!r} of {group.file.filename!r} a column {', '.join(missing)}, found "
            f"{', '.join(found) or 'none'}; choose a session file of the release."
        )
    index = ids_of(group)
    if not index.is_unique:
        raise RecordingError(
            f"Expected in table {group.name!r} of {group.file.filename!r} an id of its own for each row, found "
            f"{index[index.duplicated()][0]} more than once; fetch the file again."
        )
    return pd.DataFrame({name: nwb_tables.values(group[name]) for name in found}, index=index)


def _by_probe(file: h5py.File, probe_id: np.ndarray) -> np.ndarray:
    """Return the rows whose probe the file lists, probe after probe as it lists them."""
    probes = [group for group in file[PROBES].values() if isinstance(group, h5py.Group) and "probe_id" in group.attrs]
    listed = [probe.attrs["probe_id"] for probe in probes]
    rank = pd.Index(listed).get_indexer(pd.Index(probe_id))
    rows = np.argsort(rank, kind="stable")
    return rows[rank[rows] >= 0]
