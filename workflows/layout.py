"""What lies in a sweep's store: the engine's own variables, the codes of status, and how an array is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from neq.variables import QUALITY_FLAGS
from workflows.grid import SIZE, Grid, Index
from workflows.studies.base import Axis, Output, Prepared

FORMAT = 1
"""Raised when stores of older versions can no longer be read."""
PENDING, OK, FAILED, IMPOSSIBLE, NOT_NEEDED = range(5)
STATUS_NAMES = ("pending", "ok", "failed", "impossible", "not_needed")
STATUS = "status"
FROZEN = "frozen"
"""Attribute of a store that is a copy for sharing."""
SESSION, SUBJECT = "session", "subject"
"""An axis of many studies, and the coordinate on it that names the animals."""

ENGINE_OUTPUTS = (
    Output("quality", "u1", long_name="reasons to doubt the value"),
    Output("error_type", "str", long_name="type of the exception"),
    Output("error", "str", long_name="why there is no value", comment="message, then the end of the traceback"),
    Output("attempts", "u1", units="1", long_name="times the cell was started"),
    Output("seconds", "f4", units="s", long_name="time the cell took"),
    Output("peak_memory", "f4", units="MiB", long_name="peak memory of the process in the cell"),
    Output("run", "str", long_name="run that computed the cell"),
    Output(STATUS, "u1", long_name="state of the cell", comment="the only sign that a cell is done; written last"),
)
"""On every store after the study's own variables; ``status`` is last because it is written last."""

_FILLS: dict[str, Any] = {"f8": np.nan, "f4": np.nan, "i8": 0, "u1": 0, "bool": False, "str": ""}
_CODECS = ZstdCodec(level=1, checksum=True)
"""With zstd's checksum, so that a flipped bit is an error on reading and never a number."""


def fill_value(output: Output) -> Any:
    """Return the value of a cell that has none.

    Examples
    --------
    >>> fill_value(Output("n", "i8")), fill_value(Output("drawn_unit", "i8", fill=-1))
    (0, -1)
    """
    return _FILLS[output.dtype] if output.fill is None else output.fill


def numpy_dtype(output: Output) -> Any:
    """Return the dtype of the variable in memory."""
    return np.dtypes.StringDType() if output.dtype == "str" else np.dtype(output.dtype)


def array_chunk(output: Output, chunk: Index, dimensions: Mapping[str, int]) -> Index:
    """Return the chunk of a variable: one block, or one cell for a big one.

    Examples
    --------
    >>> array_chunk(Output("theta", dims=("pair",), own_chunk=True), (1, 5), {"pair": 45})
    (1, 1, 45)
    """
    cells = (1,) * len(chunk) if output.own_chunk else chunk
    return cells + tuple(max(1, dimensions[dim]) for dim in output.dims)


def create_array(
    group: zarr.Group, output: Output, grid: Grid, chunk: Index, dimensions: Mapping[str, int]
) -> zarr.Array:
    """Create one variable of the store; flat chunk names, so that nobody has to make folders for chunks."""
    return group.create_array(
        output.name,
        shape=grid.shape + tuple(dimensions[dim] for dim in output.dims),
        chunks=array_chunk(output, chunk, dimensions),
        dtype=str if output.dtype == "str" else output.dtype,
        fill_value=fill_value(output),
        compressors=_CODECS,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=grid.names + output.dims,
        attributes=_attributes(output),
    )


def create_coordinate(group: zarr.Group, axis: Axis) -> zarr.Array:
    """Create the coordinate of an axis and write its labels."""
    labels = coordinate_values(axis)
    attributes = {key: text for key, text in (("units", axis.units), ("long_name", axis.long_name)) if text}
    if axis.name == SIZE:
        attributes["comment"] = "number of units drawn; 0 stands for all units"
    array = group.create_array(
        axis.name,
        shape=labels.shape,
        dtype=str if labels.dtype.kind == "T" else labels.dtype,
        compressors=_CODECS,
        dimension_names=(axis.name,),
        attributes=attributes,
    )
    array[:] = labels
    return array


def coordinate_values(axis: Axis) -> np.ndarray:
    """Return the labels of an axis as the array that is stored."""
    kind = {str: np.dtypes.StringDType(), int: np.int64, float: np.float64}[type(axis.labels[0])]
    return np.array(axis.labels, dtype=kind)


def subjects(grid: Grid, prepared: Sequence[Prepared]) -> np.ndarray | None:
    """Return the animal of each session, "" where it is not known; None where there is no axis of sessions.

    Examples
    --------
    >>> prepared = [Prepared({"session": "s2"}, facts={"subject": "m1"}), Prepared({"session": "s1"})]
    >>> subjects(Grid((Axis("session", ("s1", "s2")),)), prepared).tolist()
    ['', 'm1']
    """
    if SESSION not in grid.names or SUBJECT in grid.names:
        return None
    known = {one.labels.get(SESSION): str(one.facts[SUBJECT]) for one in prepared if one.facts.get(SUBJECT)}
    return np.array([known.get(session, "") for session in grid.labels(SESSION)], dtype=np.dtypes.StringDType())


def write_subjects(group: zarr.Group, names: np.ndarray | None) -> None:
    """Make the coordinate that names the animals, or make it anew where it says something else.

    Without it, in stores older than it too, no animal is known.
    """
    if names is None or (not names.any() and SUBJECT not in group):
        return
    try:
        there = np.asarray(group[SUBJECT][:])
    except Exception:  # not there; or damage, which shows itself as whatever zarr and its codecs raise
        there = None
    if there is None or not np.array_equal(there, names):
        attributes = {"long_name": "animal of the session", "comment": "empty: unknown"}
        shape: dict[str, Any] = {"shape": names.shape, "dtype": str, "dimension_names": (SESSION,)}
        made = group.create_array(SUBJECT, **shape, compressors=_CODECS, attributes=attributes, overwrite=True)
        made[:] = names
    if group.attrs.get("coordinates") != SUBJECT:
        # for xarray, to which it were a variable like others
        group.attrs["coordinates"] = SUBJECT


def chunk_path(folder: Path, name: str, chunk_numbers: Index) -> Path:
    """Return where a chunk of a variable lies in the store at ``folder``.

    Examples
    --------
    >>> chunk_path(Path("sweep.zarr"), "status", (0, 2)).as_posix()
    'sweep.zarr/status/c.0.2'
    """
    return folder / name / ".".join(("c", *map(str, chunk_numbers)))


def _attributes(output: Output) -> dict[str, Any]:
    attributes: dict[str, Any] = {"long_name": output.long_name} if output.long_name else {}
    attributes |= {"units": output.units} if output.units else {}
    attributes |= {"comment": output.comment} if output.comment else {}
    if output.name == STATUS:
        attributes |= {"flag_values": list(range(len(STATUS_NAMES))), "flag_meanings": " ".join(STATUS_NAMES)}
    if output.name == "quality":
        attributes |= {"flag_masks": list(QUALITY_FLAGS.values()), "flag_meanings": " ".join(QUALITY_FLAGS)}
    return attributes
