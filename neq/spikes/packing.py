"""The lists of active units of a set of transitions, laid out in the order in which a kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels import active_units


@dataclass(frozen=True, eq=False)
class Packed:
    """Transitions sorted into groups with the same numbers of active units, their lists one after another.

    A kernel walks it from front to back. Inside a group the length of every loop is the same, which a processor
    predicts; with lengths that change from one transition to the next it guesses wrong several times per transition,
    and at 50 units that costs more than the additions.

    Parameters
    ----------
    unit
        Active units of the later bin, then of the earlier bin, transition after transition (event,).
    n_later, n_earlier
        Active units in the two bins of each group (group,).
    group_end
        Number of transitions up to the end of each group (group,).
    order
        Which transition stands at each place (transition,).
    """

    unit: np.ndarray
    n_later: np.ndarray
    n_earlier: np.ndarray
    group_end: np.ndarray
    order: np.ndarray

    @property
    def lists(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What a kernel reads."""
        return self.unit, self.n_later, self.n_earlier, self.group_end

    def unpack(self, values: np.ndarray) -> np.ndarray:
        """Return values in packed order (transition,) in the order of the transitions."""
        unpacked = np.empty_like(values)
        unpacked[self.order] = values
        return unpacked


def pack(row_start: np.ndarray, unit: np.ndarray, earlier: np.ndarray, later: np.ndarray, n_unit: int) -> Packed:
    """Sort transitions into groups and copy their lists, in 2 bytes per event where the number of units allows.

    Parameters
    ----------
    row_start, unit
        Where each bin's events begin (bin + 1,), and their units (event,).
    earlier, later
        Bins of each transition (transition,).
    n_unit
        Number of units.

    Examples
    --------
    >>> packed = pack(np.array([0, 1, 1, 3]), np.array([5, 2, 7]), np.array([0, 1]), np.array([1, 2]), 8)
    >>> packed.unit.tolist(), packed.n_later.tolist(), packed.n_earlier.tolist()
    ([5, 2, 7], [0, 2], [1, 0])
    """
    count = np.diff(row_start)
    n_later, n_earlier = count[later], count[earlier]
    key = n_later * (n_unit + 1) + n_earlier
    # numpy sorts small integers by radix, in linear time
    order = np.argsort(key.astype(np.min_scalar_type(int(key.max(initial=0)))), kind="stable")
    key = key[order]
    last = np.flatnonzero(np.append(key[1:] != key[:-1], True)) if len(key) else np.zeros(0, np.int64)
    packed = np.empty(int((n_later + n_earlier).sum()), np.uint16 if n_unit <= 1 << 16 else np.uint32)
    active_units.copy_lists(row_start, unit, earlier[order], later[order], packed)
    return Packed(packed, n_later[order][last], n_earlier[order][last], last + 1, order)
