"""States of a spin system and the spins that an attempted update flips there, a bit each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import EstimationError


@dataclass(frozen=True, eq=False)
class SpinFlips:
    """Samples of single-spin updates.

    Parameters
    ----------
    states
        Spins, bit set where up, packed little end first (sample, byte).
    flips
        Bit set where an attempted update of the spin in that state flips it (sample, byte).
    n_unit
        Number of spins.
    n_restart
        Independent runs of equal length, one after the other along ``sample``.

    Examples
    --------
    >>> flips = SpinFlips.pack(np.array([[1, -1], [1, 1]]), np.array([[True, False], [False, False]]))
    >>> flips.n_sample, flips.frequency().tolist()
    (2, [0.5, 0.0])
    """

    states: np.ndarray
    flips: np.ndarray
    n_unit: int
    n_restart: int = 1

    def __post_init__(self) -> None:
        shape = (len(self.states), (self.n_unit + 7) // 8)
        if self.states.shape != shape or self.flips.shape != shape or self.n_unit < 1:
            raise EstimationError(
                f"expected states and flips of {self.n_unit} spins packed as {shape} (sample, byte); "
                f"found {self.states.shape} and {self.flips.shape}"
            )
        if self.n_restart < 1 or not len(self.states) or len(self.states) % self.n_restart:
            raise EstimationError(
                f"expected samples in runs of equal length; found {len(self.states)} in {self.n_restart} runs"
            )

    @classmethod
    def pack(cls, states: np.ndarray, flips: np.ndarray, n_restart: int = 1) -> SpinFlips:
        """Pack spins (sample, unit) of +-1 and flips (sample, unit) of bool."""
        spins, flips = np.asarray(states), np.asarray(flips)
        if spins.ndim != 2 or spins.shape != flips.shape:
            raise EstimationError(f"expected two arrays (sample, unit); found shapes {spins.shape} and {flips.shape}")
        if not np.isin(spins, (-1, 1)).all():
            raise EstimationError("states must hold -1 and 1 only")
        up, flipped = (np.packbits(array, axis=1, bitorder="little") for array in (spins > 0, flips.astype(bool)))
        return cls(up, flipped, spins.shape[1], n_restart)

    @property
    def n_sample(self) -> int:
        """Number of samples."""
        return len(self.states)

    @property
    def samples_per_restart(self) -> int:
        """Samples of one run."""
        return self.n_sample // self.n_restart

    def restarts(self, first: int, last: int) -> SpinFlips:
        """Return the runs from ``first`` to before ``last``; a view."""
        here = slice(first * self.samples_per_restart, last * self.samples_per_restart)
        return SpinFlips(self.states[here], self.flips[here], self.n_unit, last - first)

    def portions(self, n_sample: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield spins (sample, unit) as float32 of +-1 and flips (sample, unit) as bool, ``n_sample`` at a time."""
        for start in range(0, self.n_sample, n_sample):
            here = slice(start, start + n_sample)
            spins = self._unpack(self.states[here]).astype(np.float32)
            spins *= 2
            spins -= 1
            yield spins, self._unpack(self.flips[here]).view(bool)

    def frequency(self) -> np.ndarray:
        """Return how often an attempted update flips each spin (unit,)."""
        return self.flip_counts().sum(axis=0) / self.n_sample

    def flip_counts(self) -> np.ndarray:
        """Return the number of flips in each run (restart, unit)."""
        length = self.samples_per_restart
        starts = range(0, self.n_sample, length)
        return np.array([self._unpack(self.flips[a : a + length]).sum(axis=0, dtype=np.int64) for a in starts])

    def _unpack(self, packed: np.ndarray) -> np.ndarray:
        return np.unpackbits(packed, axis=1, count=self.n_unit, bitorder="little")
