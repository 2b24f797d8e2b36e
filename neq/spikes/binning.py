"""Bin spike times: which unit fired in which bin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from neq.errors import RecordingError
from neq.kernels import binning as kernels
from neq.variables import SPIKES_VARIABLES, annotate

from .grid import EDGE_ROUNDING, BinGrid
from .recording import Recording

TAIL = 0.1
"""Share of the recording that an epoch may last beyond the last spike of all before it is taken for a mistake."""


@dataclass(frozen=True, eq=False)
class BinnedSpikes:
    """Binned spikes in the small form: for every unit the bins in which it fired. Made by :func:`bin_sparse`.

    Parameters
    ----------
    recording, grid
        What was binned, and where.
    rows
        Ascending bins of each unit, unit after unit (int32).
    offsets
        Where each unit begins in ``rows`` (unit + 1,).
    spike_count
        Spikes of each unit inside the bins (unit,); more than its bins where some bins hold several.
    """

    recording: Recording
    grid: BinGrid
    rows: np.ndarray
    offsets: np.ndarray
    spike_count: np.ndarray

    @property
    def collision_share(self) -> np.ndarray:
        """Share of each unit's spikes that a boolean bin cannot hold because it has one already (unit,)."""
        return 1.0 - np.diff(self.offsets) / np.maximum(self.spike_count, 1) - (self.spike_count == 0)

    @property
    def activity(self) -> np.ndarray:
        """Share of the bins of each condition in which each unit fired (condition, unit)."""
        parts = [self.rows[first:last] for first, last in pairwise(self.offsets.tolist())]
        count = [[np.count_nonzero(mask[part]) for part in parts] for mask in self.grid.condition_mask]
        return np.array(count) / self.grid.condition_mask.sum(axis=1, keepdims=True)

    def blocks(self, n_bin: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first bin and the boolean matrix (bin, unit) of every ``n_bin`` bins; the last may be shorter.

        The matrix is the same memory each time: use it before the next one is asked for.
        """
        position, end = self.offsets[:-1].copy(), self.offsets[1:]
        buffer = np.empty((min(n_bin, self.grid.n_bin), len(end)), dtype=bool)
        for first in range(0, self.grid.n_bin, n_bin):
            block = buffer[: self.grid.n_bin - first]
            block[:] = False
            kernels.fill_block(self.rows, position, end, first, block)
            yield first, block

    def table(self) -> xr.Dataset:
        """Return the Dataset of :func:`bin_spikes` without the spikes themselves."""
        units, grid, spike_count = self.recording.units, self.grid, self.spike_count
        coords = {
            "unit": units.index.to_numpy(),
            "condition": np.array(grid.condition, dtype=object),
            "time": ("bin", grid.time),
            "trial": ("bin", grid.trial),
            "segment": ("bin", grid.segment),
            "spike_count": ("unit", spike_count),
            "collision_share": ("unit", self.collision_share),
        }
        taken = {*coords, "bin", "spikes", "condition_mask", "activity"}
        for name in units.columns:
            column = units[name].to_numpy()
            coords[f"unit_{name}" if name in taken else name] = ("unit", _plain(column))
        lost = 1.0 - len(self.rows) / spike_count.sum() if spike_count.sum() else 0.0
        attrs = {
            "session": self.recording.session,
            "subject": self.recording.subject,
            "bin_size": grid.bin_size,
            "collision_share": float(lost),
            "source": json.dumps(self.recording.source, sort_keys=True),
        }
        per_condition = {
            "condition_mask": (("condition", "bin"), grid.condition_mask),
            "activity": (("condition", "unit"), self.activity),
        }
        return annotate(xr.Dataset(per_condition, coords=coords, attrs=attrs), SPIKES_VARIABLES)


def bin_spikes(recording: Recording, bin_size: float = 0.01) -> xr.Dataset:
    """Bin a recording: which unit fired in which bin.

    Bins are left-closed, with edges ``start + k * bin_size`` counted from the start of the epoch (from the first start
    where epochs overlap); only bins that lie whole inside an epoch are there. No transition may cross a change of
    ``segment``.

    Parameters
    ----------
    recording
        What to bin.
    bin_size
        Width of a bin (s); for a recording made from a binned matrix a whole multiple of its own.

    Returns
    -------
    xarray.Dataset
        ``spikes`` (bin, unit) bool, ``condition_mask`` (condition, bin) bool and ``activity`` (condition, unit); on bin
        ``time`` (left edge, s), ``trial``, ``segment``; on unit the unit table, ``spike_count`` and
        ``collision_share``.

    Raises
    ------
    RecordingError
        The bin size or the recording is not usable.

    Examples
    --------
    >>> from neq.spikes.recording import epoch_table, unit_table
    >>> recording = Recording("a", unit_table([7, 9]), [np.array([0.05, 0.25]), np.array([0.1])], epoch_table(stop=0.3))
    >>> bin_spikes(recording, bin_size=0.1)["spikes"].values.astype(int).tolist()
    [[1, 0], [0, 1], [1, 0]]
    """
    binned = bin_sparse(recording, bin_size)
    spikes = np.empty((binned.grid.n_bin, len(recording.units)), dtype=bool)
    for first, block in binned.blocks(4096):
        spikes[first : first + len(block)] = block
    dataset = binned.table().assign(spikes=(("bin", "unit"), spikes))
    return annotate(dataset, SPIKES_VARIABLES)


def bin_sparse(recording: Recording, bin_size: float = 0.01) -> BinnedSpikes:
    """Bin a recording into the small form, from which :meth:`BinnedSpikes.blocks` makes the matrix piece by piece.

    Reads one unit at a time.

    Raises
    ------
    RecordingError
        The bin size or the recording is not usable.

    Examples
    --------
    >>> from neq.spikes.recording import epoch_table, unit_table
    >>> recording = Recording("a", unit_table([7]), [np.array([0.05, 0.06, 0.25])], epoch_table(stop=0.3))
    >>> binned = bin_sparse(recording, bin_size=0.1)
    >>> binned.rows.tolist(), binned.spike_count.tolist()
    ([0, 2], [3])
    """
    bin_size = _checked_bin_size(recording, bin_size)
    grid = BinGrid.from_epochs(recording.epochs, bin_size)
    if grid.n_bin == 0:
        raise RecordingError(
            f"No epoch of session {recording.session!r} holds a whole bin of {bin_size:g} s "
            f"(the longest lasts {(recording.epochs['stop'] - recording.epochs['start']).max():g} s); use smaller bins."
        )
    first_slot = np.cumsum(grid.n_slot) - grid.n_slot
    slots = (grid.start, grid.stop, first_slot, grid.n_slot, grid.edges, bin_size, grid.slot_row)
    # grown in place: pieces and what they are joined to would take the memory twice
    rows, offsets, counts, last = np.empty(0, dtype=np.int32), [0], [], 0.0
    for times in recording.trains():
        rows.resize(offsets[-1] + len(times), refcheck=False)
        n_row, n_inside = kernels.spike_rows(times, *slots, rows[offsets[-1] :])
        offsets.append(offsets[-1] + n_row)
        counts.append(n_inside)
        last = max(last, times[-1]) if len(times) else last
    _check_tail(recording, last)
    rows.resize(offsets[-1], refcheck=False)
    return BinnedSpikes(recording, grid, rows, np.array(offsets), np.array(counts, dtype=np.int64))


def _plain(column: np.ndarray) -> np.ndarray:
    """Return a column as numbers or, where it is not numeric, as text with "" for what is missing."""
    if column.dtype.kind in "biuf":
        return column
    text = ["" if value is None or value is pd.NA or value != value else str(value) for value in column]
    return np.array(text, dtype=object)


def _checked_bin_size(recording: Recording, bin_size: float) -> float:
    if not (np.isfinite(bin_size) and bin_size > 0):
        raise RecordingError(f"The bin size must be a positive number of seconds, found {bin_size!r}; e.g. 0.01.")
    if recording.bin_size is not None:
        ratio = bin_size / recording.bin_size
        if round(ratio) < 1 or abs(ratio - round(ratio)) > EDGE_ROUNDING:
            raise RecordingError(
                f"Session {recording.session!r} is binned at {recording.bin_size:g} s already, so the bin size must be "
                f"a whole multiple of that, found {bin_size:g} s."
            )
        return round(ratio) * recording.bin_size
    return float(bin_size)


def _check_tail(recording: Recording, last: float) -> None:
    """Refuse an epoch that goes on long after the last spike of all, where the end of the recording is not known."""
    if recording.duration is not None:
        return
    stops = recording.epochs["stop"].to_numpy()
    stop = stops.max()
    if stop - last > max(10.0, TAIL * last):
        condition = recording.epochs["condition"].iloc[int(stops.argmax())]
        raise RecordingError(
            f"Epoch {condition!r} of session {recording.session!r} ends at {stop:g} s, far outside the recording, "
            f"whose last spike is at {last:g} s; correct its times or state the recording's duration."
        )
