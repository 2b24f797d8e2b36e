"""Spike times of many units in one array, read one unit at a time, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from neq.errors import RecordingError


class SpikeTrains(Sequence[np.ndarray]):
    """Spike times of all units in one flat array, cut out one unit at a time.

    Parameters
    ----------
    flat
        Anything that gives an array when sliced, all spikes of the first unit, then of the second ...: an array, a
        memory map or an open HDF5 dataset, of which only the slices asked for are read.
    offsets
        Where each unit begins in ``flat``, and the end of the last one (unit + 1,).
    rate
        Divides the entries: 1 where they are seconds, the sampling rate (Hz) where they are samples.
    owner
        Kept alive with the trains (the open file of a dataset).
    rows
        Which units of ``offsets`` there are here, in this order; by default all.

    Examples
    --------
    >>> trains = SpikeTrains(np.array([30, 60, 45]), offsets=[0, 2, 3], rate=30)
    >>> [train.tolist() for train in trains]
    [[1.0, 2.0], [1.5]]
    """

    def __init__(self, flat: Any, offsets: Any, rate: float = 1.0, owner: Any = None, rows: Any = None) -> None:
        self.flat, self.offsets, self.rate, self.owner = flat, np.asarray(offsets, dtype=np.int64), rate, owner
        chosen = range(len(self.offsets) - 1) if rows is None else np.asarray(rows, dtype=np.int64).tolist()
        self.rows: Sequence[int] = chosen
        if len(self.offsets) == 0 or (np.diff(self.offsets) < 0).any() or self.offsets[-1] > len(flat):
            raise RecordingError(
                f"The spike index must rise from 0 to at most the number of spike times ({len(flat)}), "
                "but it does not; the source is damaged, export it again."
            )

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, row: slice) -> list[np.ndarray]: ...
    def __getitem__(self, row: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row = self.rows[row]
        times = np.asarray(self.flat[self.offsets[row] : self.offsets[row + 1]], dtype=float)
        return times if self.rate == 1.0 else times / self.rate

    def take(self, positions: Any) -> SpikeTrains:
        """Return the trains at ``positions``, in that order; nothing is read."""
        rows = np.asarray(self.rows, dtype=np.int64)[positions]
        return SpikeTrains(self.flat, self.offsets, self.rate, self.owner, rows)

    def last(self) -> float:
        """Return the time of the last spike in ``flat`` (s), 0 where there is none; read in pieces."""
        step, end = 1 << 20, int(self.offsets[-1])
        pieces = (np.asarray(self.flat[start : min(start + step, end)], dtype=float) for start in range(0, end, step))
        return max((float(np.nanmax(piece)) for piece in pieces if not np.isnan(piece).all()), default=0.0) / self.rate

    def span(self) -> tuple[float, float]:
        """Return the first and the last spike of the units that are here (s), reading no others; NaN without spikes."""
        filled = [row for row in self.rows if self.offsets[row] < self.offsets[row + 1]]
        first = min((float(self.flat[self.offsets[row]]) for row in filled), default=np.nan)
        last = max((float(self.flat[self.offsets[row + 1] - 1]) for row in filled), default=np.nan)
        return first / self.rate, last / self.rate


def train_problem(times: np.ndarray) -> str:
    """Say what is wrong with the spike times of one unit, "" where nothing is.

    Examples
    --------
    >>> train_problem(np.array([0.5, 0.2]))
    'has spike times that are not ascending (0.2 s after 0.5 s)'
    """
    if times.ndim != 1:
        return f"must have spike times in one dimension, but they have shape {times.shape}"
    bad = int(np.count_nonzero(~np.isfinite(times)))
    if bad:
        return f"has {bad} spike times that are NaN or infinite"
    if len(times) and times.min() < 0:
        return f"has {np.count_nonzero(times < 0)} negative spike times (first {times[times < 0][0]:g} s)"
    falls = np.flatnonzero(times[1:] < times[:-1])
    if len(falls):
        return f"has spike times that are not ascending ({times[falls[0] + 1]:g} s after {times[falls[0]]:g} s)"
    return ""
