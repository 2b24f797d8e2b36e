"""The grid of whole bins inside the epochs of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .recording import TIME_ROUNDING

EDGE_ROUNDING = 1e-6
"""Share of a bin by which an epoch may fall short of a bin edge and still hold the bin whole (0.3 and 3 * 0.1)."""


@dataclass(frozen=True, eq=False)
class BinGrid:
    """The stored bins, and the edges that a spike time is compared to.

    Epochs that overlap share one grid of edges ``start + k * bin_size``, anchored at the start of the first of them;
    every other epoch has its own, anchored at its own start. A slot is a bin of such a grid, stored where at least one
    epoch holds it whole.

    Parameters
    ----------
    bin_size
        Width of a bin (s).
    start, stop
        First edge and end of each grid (s), (grid,).
    n_slot
        Number of slots of each grid (grid,).
    edges
        Edges of all slots, each grid's ``n_slot + 1`` after one another.
    slot_row
        Row among the stored bins of each slot, -1 where it is not stored.
    time, trial, segment
        Of the stored bins (bin,): left edge (s), trial (-1: none), and a number that changes at every border of an
        epoch and at every gap.
    condition
        Names of the conditions that hold at least one whole bin.
    condition_mask
        Which stored bins each condition holds whole (condition, bin).
    """

    bin_size: float
    start: np.ndarray
    stop: np.ndarray
    n_slot: np.ndarray
    edges: np.ndarray
    slot_row: np.ndarray
    time: np.ndarray
    trial: np.ndarray
    segment: np.ndarray
    condition: list[str]
    condition_mask: np.ndarray

    @property
    def n_bin(self) -> int:
        """Number of stored bins."""
        return len(self.time)

    @classmethod
    def from_epochs(cls, epochs: pd.DataFrame, bin_size: float) -> BinGrid:
        """Lay the grid under ``epochs`` (rows in time order, as a Recording has them).

        Examples
        --------
        >>> epochs = pd.DataFrame({"condition": ["a", "b"], "start": [0.25, 2.0], "stop": [0.6, 2.2], "trial": -1})
        >>> BinGrid.from_epochs(epochs, 0.1).time.round(3).tolist()
        [0.25, 0.35, 0.45, 2.0, 2.1]
        """
        start, stop = epochs["start"].to_numpy(float), epochs["stop"].to_numpy(float)
        reach = np.maximum.accumulate(stop)
        first = np.flatnonzero(np.append(True, start[1:] >= reach[:-1] - TIME_ROUNDING))
        owner = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(start))))
        anchor = start[first]
        n_slot = _whole(np.maximum.reduceat(stop, first) - anchor, bin_size)
        first_slot = np.cumsum(n_slot) - n_slot
        slots = _Slots.mark(epochs, n_slot, first_slot, owner, anchor, bin_size)
        k = np.arange(n_slot.sum()) - np.repeat(first_slot, n_slot)
        left = np.repeat(anchor, n_slot) + k * bin_size
        ends = anchor + n_slot * bin_size
        keep, held = np.asarray(slots.mask.any(axis=0)), slots.mask.any(axis=1)
        return cls(
            bin_size=bin_size,
            start=anchor,
            # Where rounding carries the last edge into the next epoch, the spike belongs to that one.
            stop=np.minimum(ends, np.append(anchor[1:], np.inf)),
            n_slot=n_slot,
            edges=np.insert(left, first_slot + n_slot, ends),
            slot_row=np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32),
            time=left[keep],
            trial=slots.trial[keep],
            segment=slots.segments(keep),
            condition=[slots.condition[row] for row in np.flatnonzero(held)],
            condition_mask=slots.mask[held][:, keep],
        )


@dataclass(frozen=True, eq=False)
class _Slots:
    """What the epochs say of every slot (slot,): the conditions that hold it, its trial, and where a border lies."""

    condition: list[str]
    mask: np.ndarray
    trial: np.ndarray
    border: np.ndarray

    @classmethod
    def mark(
        cls,
        epochs: pd.DataFrame,
        n_slot: np.ndarray,
        first_slot: np.ndarray,
        owner: np.ndarray,
        anchor: np.ndarray,
        bin_size: float,
    ) -> _Slots:
        code, names = pd.factorize(epochs["condition"])
        total = int(n_slot.sum())
        slots = cls(
            condition=[str(name) for name in names],
            mask=np.zeros((len(names), total), dtype=bool),
            trial=np.full(total, -1, dtype=np.int32),
            border=np.zeros(total + 1, dtype=bool),
        )
        slots.border[first_slot] = True
        begin = np.ceil((epochs["start"].to_numpy() - anchor[owner]) / bin_size - EDGE_ROUNDING).astype(np.int64)
        end = _whole(epochs["stop"].to_numpy() - anchor[owner], bin_size)
        trial = epochs["trial"].to_numpy()
        for i in np.flatnonzero(end > begin):
            inside = slice(first_slot[owner[i]] + begin[i], first_slot[owner[i]] + end[i])
            slots.mask[code[i], inside] = True
            slots.border[[inside.start, inside.stop]] = True
            if trial[i] >= 0:
                slots.trial[inside] = trial[i]
        return slots

    def segments(self, keep: np.ndarray) -> np.ndarray:
        """Return the numbers of the runs of kept slots without a border or a gap between them."""
        after_gap = np.append(True, ~keep[:-1])[: len(keep)]
        return (np.cumsum((self.border[:-1] | after_gap)[keep]) - 1).astype(np.int32)


def _whole(length: np.ndarray, bin_size: float) -> np.ndarray:
    """Return how many whole bins fit into each length (s)."""
    return np.floor(length / bin_size + EDGE_ROUNDING).astype(np.int64)
