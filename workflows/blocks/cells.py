"""One cell, run so that whatever happens in it becomes data."""

from __future__ import annotations

import contextlib
import os
import re
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from neq.errors import ImpossibleError
from workflows import layout
from workflows.studies.base import Cell, Output, Prepared, Study

ERROR_CHARACTERS = 4_000
TRACEBACK_FRAMES = 6
_MIB = 2**20


def run_cell(
    study: Study,
    cell: Cell,
    prepared: Prepared | None,
    run_folder: Path,
    outputs: Mapping[str, Output],
    dimensions: Mapping[str, int],
) -> dict[str, Any]:
    """Compute one cell and return its record: status, quality, values, error_type and error by variable name.

    Parameters
    ----------
    outputs
        The study's variables by name.
    dimensions
        Lengths of their extra dimensions.
    """
    try:
        values = study.compute(cell, study.open_inputs(cell, prepared, run_folder))
        return {"status": layout.OK, **_checked(values, outputs, dimensions)}
    except ImpossibleError as error:
        return {"status": layout.IMPOSSIBLE, "error": _steady(str(error)) or "impossible"}
    except Exception as error:
        return failure(type(error).__name__, _text(error))


def failure(error_type: str, error: str) -> dict[str, Any]:
    """Return the record of a failed cell."""
    return {"status": layout.FAILED, "error_type": error_type, "error": error}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Run cells on one thread and let no warning, of Python or numpy, end them: results carry their own flags."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


class Meter:
    """Time and peak memory of one cell.

    Examples
    --------
    >>> meter = Meter()
    >>> sorted(meter.read())
    ['peak_memory', 'seconds']
    """

    def __init__(self) -> None:
        # Linux keeps the peak since this write; elsewhere the memory at the end of the cell has to do
        self._peak = _write("/proc/self/clear_refs", b"5")
        self._start = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return seconds and MiB since the meter was made."""
        seconds = time.perf_counter() - self._start
        peak = _peak_bytes() if self._peak else None
        memory = psutil.Process().memory_info().rss if peak is None else peak
        return {"seconds": seconds, "peak_memory": memory / _MIB}


def _checked(values: Mapping[str, Any], outputs: Mapping[str, Output], dimensions: Mapping[str, int]) -> dict[str, Any]:
    """Return the values in the dtypes of the store; anything that does not fit is an error of the study."""
    unknown = sorted(set(values) - set(outputs) - {"quality"})
    if unknown:
        raise ValueError(f"compute returned {', '.join(unknown)}, which outputs() does not declare")
    quality = _typed("quality", values.get("quality", 0), "u1")
    checked = {"quality": quality}
    for name, output in outputs.items():
        if name not in values:
            continue
        value = str(values[name]) if output.dtype == "str" and not output.dims else values[name]
        array = np.asarray(value) if output.dtype == "str" else _typed(name, value, output.dtype)
        limits = tuple(dimensions[dim] for dim in output.dims)
        if array.ndim != len(limits) or any(n > limit for n, limit in zip(array.shape, limits, strict=True)):
            raise ValueError(
                f"{name} has shape {array.shape}, which does not fit into {dict(zip(output.dims, limits, strict=True))}"
            )
        checked[name] = value if output.dtype == "str" else array
    return checked


def _typed(name: str, value: Any, dtype: str) -> np.ndarray:
    array = np.asarray(value)
    typed = array.astype(dtype)
    if np.dtype(dtype).kind != "f" and not np.array_equal(array, typed):
        raise ValueError(f"{name} = {value!r} is no {np.dtype(dtype).name}")
    return typed


def _text(error: Exception) -> str:
    """Return message and end of the traceback, the same bits wherever the cell runs."""
    below = error.__traceback__.tb_next if error.__traceback__ else None
    told = traceback.TracebackException(type(error), error, below, limit=-TRACEBACK_FRAMES, compact=True)
    tail = _steady("".join(told.format()))[-ERROR_CHARACTERS:]
    return f"{_steady(str(error))[:ERROR_CHARACTERS]}\n\n{tail}"


def _steady(text: str) -> str:
    """Return text without memory addresses, which differ from run to run, nor characters that no file can hold."""
    return re.sub(r"\b0x[0-9a-fA-F]{6,}\b", "0x...", text).encode("utf-8", "replace").decode("utf-8")


def _write(path: str, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    return True


def _peak_bytes() -> int | None:
    """Return the peak memory of this process as Linux has it."""
    with open("/proc/self/status", "rb") as file:
        _, found, rest = file.read().partition(b"VmHWM:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else None
