"""Whole arrays of a store read chunk by chunk without zarr's machinery, which takes half a millisecond for each."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping
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
    values = np.full(shape, _fill(metadata["fill_value"]), _DTYPES[metadata["data_type"]])
    counts = [math.ceil(n / c) for n, c in zip(shape, chunk, strict=True)]
    places = list(itertools.product(*map(range, counts)))
    separator = metadata["chunk_key_encoding"]["configuration"]["separator"]
    names = [separator.join(("c", *map(str, place))) for place in places]
    zipped = any(codec["name"] == "zstd" for codec in metadata["codecs"])
    for place, content in zip(places, _contents(folder, names), strict=True):
        if content is not None:
            block = _decoded(Zstd().decode(content) if zipped else content, values.dtype, chunk)
            region = tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, chunk, strict=True))
            part = values[region]
            part[...] = block[tuple(slice(n) for n in part.shape)]
    return values


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


def _decoded(content: bytes, dtype: np.dtype, chunk: list[int]) -> np.ndarray:
    flat = VLenUTF8().decode(content) if dtype.kind == "O" else np.frombuffer(content, dtype)
    return flat.reshape(chunk)


def _contents(folder: Path, names: list[str]) -> Iterable[bytes | None]:
    """Return the bytes of each chunk, in order, None where there is no file; several are read at once."""
    if len(names) < READERS:
        return [_content(folder, name) for name in names]
    parts = np.array_split(np.array(names), READERS)
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda part: [_content(folder, name) for name in part.tolist()], parts)
        return list(itertools.chain.from_iterable(read))


def _content(folder: Path, name: str) -> bytes | None:
    try:
        return Path(folder, name).read_bytes()
    except FileNotFoundError:
        return None
