"""Columns of the tables of an NWB file, put in the place of others."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def replace_column(table: h5py.Group, name: str, values: np.ndarray | None, **layout: Any) -> None:
    """Put ``values`` in the place of a column, with its attributes; the index that leads to it follows."""
    attributes, dtype = dict(table[name].attrs), table[name].dtype
    del table[name]
    kept = dtype.hasobject or values is None
    column = table.create_dataset(
        name, data=values, dtype=layout.pop("dtype", dtype if kept else values.dtype), **layout
    )
    column.attrs.update(attributes)
    if f"{name}_index" in table:
        table[f"{name}_index"].attrs["target"] = column.ref
