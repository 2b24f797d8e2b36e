r"""Words of binary units and the parameters of a log-linear (Ising) model of any order.

The probability of a word :math:`x \in \{0, 1\}^N` is :math:`p(x) = \exp(\sum_d \theta_d \prod_{i \in d} x_i - \psi)`,
one parameter for each set ``d`` of at most ``order`` units. Sets, and words, are in the order of their size, then
lexicographic: ``(0,), (1,), (2,), (0, 1), (0, 2), ...``; silence is the first word.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from neq.errors import IsingError
from neq.kernels import ising as kernels

MAX_UNIT = 20
"""Above it the words of a time bin alone are tens of megabytes, and a fit of many bins takes hours."""


def interaction_sets(n_unit: int, order: int) -> tuple[tuple[int, ...], ...]:
    """Return all sets of 1 to ``order`` of ``n_unit`` units, by their size, then lexicographic.

    Examples
    --------
    >>> interaction_sets(3, 2)
    ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    """
    return tuple(units for size in range(1, order + 1) for units in combinations(range(n_unit), size))


@dataclass(frozen=True)
class Patterns:
    """The words of some units and the sets of units that have a parameter.

    Parameters
    ----------
    n_unit
        Units, at most :data:`MAX_UNIT`.
    order
        Units of the largest sets: 1 independent units, 2 pairs.

    Raises
    ------
    IsingError
        There can be no such model, or not in memory.

    Examples
    --------
    >>> patterns = Patterns(3, order=2)
    >>> patterns.sets
    ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    >>> patterns.words.tolist()[:5]
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    >>> patterns.expectations(np.zeros(6)).tolist()
    [0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    """

    n_unit: int
    order: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.order <= self.n_unit:
            raise IsingError(
                f"Expected an order from 1 to the number of units ({self.n_unit}), found {self.order}; lower it."
            )
        if self.n_unit > MAX_UNIT:
            raise IsingError(
                f"Exact sums over the words of {self.n_unit} units need {8 * 2.0**self.n_unit / 2**30:.3g} GiB for one "
                f"time bin; take at most {MAX_UNIT} units."
            )

    @property
    def n_parameter(self) -> int:
        """Number of sets with a parameter."""
        return sum(math.comb(self.n_unit, size) for size in range(1, self.order + 1))

    @functools.cached_property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """Units of each parameter."""
        return interaction_sets(self.n_unit, self.order)

    @functools.cached_property
    def words(self) -> np.ndarray:
        """All words (word, unit), uint8."""
        sets = [(), *interaction_sets(self.n_unit, self.n_unit)]
        words = np.zeros((len(sets), self.n_unit), dtype=np.uint8)
        for word, units in zip(words, sets, strict=True):
            word[list(units)] = 1
        return words

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """Sets as numbers whose bits are their units (parameter,)."""
        return np.array([sum(1 << unit for unit in units) for units in self.sets], dtype=np.int64)

    @functools.cached_property
    def union(self) -> np.ndarray:
        """Units of two sets together, as a number (parameter, parameter)."""
        return self.mask[:, None] | self.mask[None, :]

    @functools.cached_property
    def _place(self) -> np.ndarray:
        """Number of each word, in the order of ``words``."""
        return self.words.astype(np.int64) @ (1 << np.arange(self.n_unit))

    def probabilities(self, theta: np.ndarray) -> np.ndarray:
        """Return the probabilities of ``words`` (word,) under ``theta`` (parameter,)."""
        words = np.empty(1 << self.n_unit)
        kernels.word_probabilities(self._checked(theta), self.mask, self.n_unit, words)
        return words[self._place]

    def log_normaliser(self, theta: np.ndarray) -> float:
        r"""Return :math:`\psi`, the log of the sum over all words (nats)."""
        return float(kernels.word_probabilities(self._checked(theta), self.mask, self.n_unit, self._memory()))

    def expectations(self, theta: np.ndarray) -> np.ndarray:
        r"""Return :math:`\eta`, the probability that all units of each set are active (parameter,)."""
        words = self._memory()
        kernels.word_probabilities(self._checked(theta), self.mask, self.n_unit, words)
        kernels.joint_activity(words, self.n_unit)
        return words[self.mask]

    def fisher_information(self, theta: np.ndarray) -> np.ndarray:
        """Return the covariance of the products that the parameters multiply (parameter, parameter)."""
        eta, fisher = np.empty(self.n_parameter), np.empty((self.n_parameter, self.n_parameter))
        kernels.moments(self._checked(theta), self.mask, self.union, self.n_unit, self._memory(), eta, fisher)
        return fisher

    def products(self, spikes: np.ndarray) -> np.ndarray:
        """Return for every set whether all of its units are active (..., parameter), from ``spikes`` (..., unit)."""
        return np.stack([spikes[..., list(units)].all(axis=-1) for units in self.sets], axis=-1)

    def _memory(self) -> np.ndarray:
        return np.empty(1 << self.n_unit)

    def _checked(self, theta: np.ndarray) -> np.ndarray:
        theta = np.ascontiguousarray(theta, dtype=float)
        if theta.shape != (self.n_parameter,) or not np.isfinite(theta).all():
            raise IsingError(
                f"Expected theta as {self.n_parameter} finite numbers, one for each set of at most {self.order} of "
                f"{self.n_unit} units, found shape {theta.shape}; see Patterns.sets."
            )
        return theta
