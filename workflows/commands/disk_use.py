"""How much room a sweep takes on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from workflows import layout
from workflows.grid import Blocks, Grid
from workflows.studies.base import Output, Prepared, Study

_FILE_BYTES = 4096
_TEXT_BYTES = 24


def store_bytes(study: Study, grid: Grid, blocks: Blocks, dimensions: Mapping[str, int]) -> int:
    """Return the size of the store on disk without compression, whole file system blocks counted."""

    def one(output: Output) -> int:
        item = _TEXT_BYTES if output.dtype == "str" else np.dtype(output.dtype).itemsize
        cells = 1 if output.own_chunk else math.prod(blocks.chunk)
        content = item * cells * math.prod(max(1, dimensions[dim]) for dim in output.dims)
        return math.ceil(content / _FILE_BYTES) * _FILE_BYTES * (grid.n_cell if output.own_chunk else blocks.n_block)

    return sum(one(output) for output in (*study.outputs(), *layout.ENGINE_OUTPUTS))


def spikes_bytes(folder: Path, prepared: Sequence[Prepared], n_source: int) -> int:
    """Return the size of all prepared inputs, scaled from those that are there."""
    paths = [folder / one.path for one in prepared if one.path]
    sizes = [
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
        for path in paths
    ]
    return round(sum(sizes) / len(sizes) * n_source) if sizes else 0
