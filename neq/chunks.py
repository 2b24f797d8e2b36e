"""Whole arrays of a store read chunk by chunk without zarr's machinery, which takes half a millisecond for each."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.vlen import VLenUTF8
from numcodecs.zstd import Zstd

READERS = 8
"""Files read at the same time: what counts on a file server is its latency."""
_DTYPES = {"bool": "?", "uint8": "u1", "int64": "<i8", "float32": "<f4", "float64": "<f8", "string": "O"}
_CODECS = (["bytes"], ["bytes", "zstd"], ["vlen-utf8"], ["vlen-utf8", "zstd"])


def read_array(folder: Path) -> np.ndarray | None:
    """Read a zarr v3 array of the plain kind that sweeps are stored in; text comes as objects.

    A chunk that is not there reads as the fill value, as in zarr.

    Parameters
    ----------
    folder
        The array's folder, with its ``zarr.json``.

    Returns
    -------
    ndarray or None
        None for an array of another kind (sharded, other codecs): read that with zarr.

    Raises
    ------
    Exception
        Whatever a damaged file makes json, the codecs or numpy raise. The caller reads again with zarr, which says
        what is wrong.

    Examples
    --------
    >>> import tempfile, zarr
    >>> with tempfile.TemporaryDirectory() as place:
    ...     array = zarr.create_array(place, shape=(5,), chunks=(2,), dtype="u1", fill_value=7)
    ...     array[1:3] = 1
    ...     read_array(Path(place))
    array([7, 1, 1, 7, 7], dtype=uint8)
    """
    metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    if not _plain(metadata):
        return None
    shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    counts = [math.ceil(n / c) for n, c in zip(shape, chunk, strict=True)]
    separator = metadata["chunk_key_encoding"]["configuration"]["separator"]
    names = [separator.join(("c", *map(str, place))) for place in itertools.product(*map(range, counts))]
    dtype = np.dtype(_DTYPES[metadata["data_type"]])
    rows = np.full((len(names), math.prod(chunk)), _fill(metadata["fill_value"]), dtype)
    zipped = any(codec["name"] == "zstd" for codec in metadata["codecs"])
    _read(folder, names, rows, zipped)
    return _joined(rows, counts, chunk)[tuple(slice(n) for n in shape)]


def _plain(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata describe nothing that :func:`read_array` does not know."""
    codecs = metadata["codecs"]
    little = all(codec.get("configuration", {}).get("endian", "little") == "little" for codec in codecs)
    return (
        metadata["zarr_format"] == 3
        and metadata["data_type"] in _DTYPES
        and [codec["name"] for codec in codecs] in _CODECS
        and little
        and metadata["chunk_grid"]["name"] == "regular"
        and metadata["chunk_key_encoding"]["name"] == "default"
        and not metadata.get("storage_transformers")
        and isinstance(_fill(metadata["fill_value"]), float | int) == (metadata["data_type"] != "string")
    )


def _fill(stored: Any) -> Any:
    return math.nan if stored == "NaN" else stored


def _read(folder: Path, names: list[str], rows: np.ndarray, zipped: bool) -> None:
    """Put the values of each chunk (chunk, value in it) into its row; several files are read at once."""
    if len(names) < READERS:
        _read_part(folder, names, rows, zipped)
        return
    ends = np.linspace(0, len(names), READERS + 1).astype(int)

    def read(start: int, stop: int) -> None:
        _read_part(folder, names[start:stop], rows[start:stop], zipped)

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(read, ends[:-1].tolist(), ends[1:].tolist()))


def _read_part(folder: Path, names: list[str], rows: np.ndarray, zipped: bool) -> None:
    last, values = b"", None
    for name, row in zip(names, rows, strict=True):
        content = _content(folder, name)
        if content is None:
            continue
        # status and text are often the same in one chunk after another
        if values is None or content != last:
            last, values = content, _decoded(Zstd().decode(content) if zipped else content, rows.dtype)
            if values.shape != row.shape:
                raise ValueError(f"{name} holds {values.size} values, expected {row.size}")
        row[:] = values


def _decoded(content: bytes, dtype: np.dtype) -> np.ndarray:
    return VLenUTF8().decode(content) if dtype.kind == "O" else np.frombuffer(content, dtype)


def _joined(rows: np.ndarray, counts: list[int], chunk: list[int]) -> np.ndarray:
    """Lay the chunks (chunk, value in it) out side by side."""
    n = len(counts)
    order = [axis for pair in zip(range(n), range(n, 2 * n), strict=True) for axis in pair]
    return rows.reshape(*counts, *chunk).transpose(order).reshape([i * c for i, c in zip(counts, chunk, strict=True)])


def _content(folder: Path, name: str) -> bytes | None:
    try:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        return None
