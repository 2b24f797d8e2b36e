"""Transitions: pairs of bins a fixed lag apart that no trial, epoch or gap separates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ..errors import EstimationError
from ..kernels import active_units
from .packing import Packed, pack


@dataclass(frozen=True, eq=False)
class Transitions:
    """Pairs of bins (earlier, later), kept as lists of active units.

    Build it with :meth:`from_spikes`. All parts of a split share the lists; only the pairs differ. A part that is
    evaluated gets a compact copy of its own lists, see :attr:`packed`.

    Parameters
    ----------
    row_start
        Where each bin's events begin, (bin + 1,).
    unit
        Active units, ascending in each bin, (event,) uint32.
    earlier, later
        Bin numbers of each pair, (transition,).
    run
        Number of the uninterrupted stretch that each pair lies in, (transition,).
    n_unit
        Number of units.
    lag
        Bins between the two of a pair.
    """

    row_start: np.ndarray
    unit: np.ndarray
    earlier: np.ndarray
    later: np.ndarray
    run: np.ndarray
    n_unit: int
    lag: int

    @classmethod
    def from_spikes(
        cls, array: ArrayLike, segment: ArrayLike | None = None, lag: int = 1, *, trial: ArrayLike | None = None
    ) -> Transitions:
        """Find all transitions of a binned population.

        Parameters
        ----------
        array
            Spikes (bin, unit), boolean or 0/1.
        segment
            A number for each bin (bin,); a pair of bins lies inside a stretch of equal numbers or it is no transition.
            ``trial`` is another name for it.
        lag
            Bins between the earlier and the later one, at least 1.

        Returns
        -------
        Transitions

        Raises
        ------
        EstimationError
            The array is not (bin, unit) of 0 and 1, the segments have another length, or the lag is below 1.

        Examples
        --------
        >>> spikes = np.eye(4, dtype=bool)
        >>> Transitions.from_spikes(spikes).n_transition
        3
        >>> Transitions.from_spikes(spikes, segment=[0, 0, 1, 1]).n_transition
        2
        """
        spikes = _binary(array)
        if not (lag >= 1 and float(lag).is_integer()):
            raise EstimationError(f"lag must be a whole number of bins, at least 1; found {lag!r}")
        lag = int(lag)
        if segment is not None and trial is not None:
            raise EstimationError("segment and trial are two names of one thing; give only one of them")
        run = _runs(trial if segment is None else segment, len(spikes))
        earlier = np.flatnonzero(run[: len(spikes) - lag] == run[lag:]) if lag < len(spikes) else np.zeros(0, np.int64)
        count = active_units.count_active(spikes)
        row_start = np.concatenate([[0], np.cumsum(count)])
        unit = np.empty(row_start[-1], np.uint32)
        active_units.list_active(spikes, row_start, unit)
        return cls(row_start, unit, earlier, earlier + lag, run[earlier], spikes.shape[1], int(lag))

    @property
    def n_transition(self) -> int:
        """Number of transitions."""
        return len(self.earlier)

    @property
    def spikes_per_bin(self) -> float:
        """Mean number of active units in the earlier bin of a transition; NaN without transitions."""
        if not self.n_transition:
            return float("nan")
        return float(np.mean(np.diff(self.row_start)[self.earlier]))

    @cached_property
    def packed(self) -> Packed:
        """The lists in the order in which the kernels read them; made on first use, for this set of pairs alone."""
        return pack(self.row_start, self.unit, self.earlier, self.later, self.n_unit)

    @cached_property
    def spins(self) -> tuple[np.ndarray, np.ndarray]:
        """Spins +-1 of the earlier and the later bins as float32 (transition, unit), for dense activity."""
        n_bin = len(self.row_start) - 1
        spins = np.full((n_bin, self.n_unit), -1, np.float32)
        spins[np.repeat(np.arange(n_bin), np.diff(self.row_start)), self.unit] = 1
        return spins[self.earlier], spins[self.later]

    def select_units(self, ix: ArrayLike) -> Transitions:
        """Return the transitions of some units only, in the order of their positions ``ix`` (unit,) or by a mask.

        Examples
        --------
        >>> Transitions.from_spikes(np.eye(4, dtype=bool)).select_units([0, 2]).n_unit
        2
        """
        chosen = np.asarray(ix)
        if chosen.dtype == bool and chosen.shape == (self.n_unit,):
            chosen = np.flatnonzero(chosen)
        if chosen.dtype.kind not in "iu" or ((chosen < 0) | (chosen >= self.n_unit)).any():
            raise EstimationError(f"units are selected by position, 0 to {self.n_unit - 1}, or by a mask; found {ix!r}")
        if len(np.unique(chosen)) != len(chosen):
            raise EstimationError("a unit was selected twice; select each unit once")
        position = np.full(self.n_unit, -1, np.int64)
        position[chosen] = np.arange(len(chosen))
        row_start, unit = active_units.keep_units(self.row_start, self.unit, position)
        return replace(self, row_start=row_start, unit=unit, n_unit=len(chosen))

    def take(self, ix: ArrayLike) -> Transitions:
        """Return the transitions at positions ``ix`` (transition,); the lists of active units are shared."""
        index = np.asarray(ix)
        return replace(self, earlier=self.earlier[index], later=self.later[index], run=self.run[index])

    def join(self, other: Transitions) -> Transitions:
        """Return these transitions and those of another part of the same split; the lists of units are shared."""
        if other.unit is not self.unit:
            raise EstimationError("only parts of one set of transitions can be joined")
        pairs = zip((self.earlier, self.later, self.run), (other.earlier, other.later, other.run), strict=True)
        earlier, later, run = (np.concatenate(pair) for pair in pairs)
        return replace(self, earlier=earlier, later=later, run=run)

    def exchange(self, where: ArrayLike) -> Transitions:
        """Return the same transitions with earlier and later bin exchanged ``where`` (transition,) is True."""
        mask = np.asarray(where, dtype=bool)
        return replace(
            self, earlier=np.where(mask, self.later, self.earlier), later=np.where(mask, self.earlier, self.later)
        )


def _binary(array: ArrayLike) -> np.ndarray:
    """Return the spikes as a contiguous uint8 array (bin, unit) of 0 and 1."""
    spikes = np.asarray(array)
    if spikes.ndim != 2:
        raise EstimationError(f"spikes must be an array (bin, unit); found {spikes.ndim} dimensions")
    if spikes.dtype != bool:
        if not np.isin(spikes, (0, 1)).all():
            raise EstimationError("spikes must hold only 0 and 1 (or False and True); binarise counts first")
        spikes = spikes.astype(bool)
    return np.ascontiguousarray(spikes).view(np.uint8)


def _runs(segment: ArrayLike | None, n_bin: int) -> np.ndarray:
    """Count the stretches of equal numbers, so that a number used again later does not join two of them."""
    if segment is None:
        return np.zeros(n_bin, np.int64)
    number = np.asarray(segment)
    if number.shape != (n_bin,):
        raise EstimationError(f"segment must have one number per bin ({n_bin}); found shape {number.shape}")
    return np.concatenate([[0], np.cumsum(number[1:] != number[:-1])]).astype(np.int64)[:n_bin]
