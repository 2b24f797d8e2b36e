r"""The observables for dense activity: matrix products instead of lists of active units.

Where a third of the units is active in a bin there are too many pairs to walk through, and single-precision products of
spins +-1 are faster: :math:`\theta \cdot g = x'^T \theta x` for the antisymmetric observable,
:math:`(x' - x)^T \theta x` for flow. Sums are good to about 1e-6, enough to fit theta but not to report values: those
come from :class:`neq.observables.Observable`, which has the same methods.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..observables import Observable
from ..spikes.transitions import Transitions

PAIRS_TO_BE_DENSE = 0.07
"""Share of the N^2 pairs that are active in a mean transition from which on matrix products are faster; measured."""
ROWS_AT_ONCE = 2048
"""Transitions multiplied at a time: two blocks of them stay in the second-level cache."""


def fitting_observable(observable: Observable, transitions: Transitions) -> Observable:
    """Return the faster form of an observable to fit theta with, by how dense the activity is.

    Examples
    --------
    >>> from neq.observables import observable_named
    >>> spikes = np.random.default_rng(0).random((100, 5)) < [[0.9]]
    >>> type(fitting_observable(observable_named("flow"), Transitions.from_spikes(spikes))).__name__
    'DenseObservable'
    """
    count = np.diff(transitions.row_start)
    share = np.mean(count[transitions.earlier] * count[transitions.later]) / transitions.n_unit**2
    if share < PAIRS_TO_BE_DENSE:
        return observable
    return DenseObservable(observable.name, observable.odd)


class DenseObservable(Observable):
    """An observable on spins +-1 as matrices (transition, unit)."""

    def score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition (transition,)."""
        return self._score(transitions, theta, forward=True)

    def reverse_score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition with its two bins exchanged (transition,)."""
        return self._score(transitions, theta, forward=False)

    def _score(self, transitions: Transitions, theta: np.ndarray, *, forward: bool) -> np.ndarray:
        matrix = self.matrix(theta, transitions.n_unit).astype(np.float32)
        score = np.empty(transitions.n_transition)
        for rows, left, right in self._blocks(transitions, forward):
            score[rows] = np.einsum("ti,ti->t", left @ matrix, right)
        return score

    def _weighted_sum(self, transitions: Transitions, weight: np.ndarray, *, forward: bool) -> np.ndarray:
        total = np.zeros((transitions.n_unit, transitions.n_unit))
        single = weight.astype(np.float32)[:, None]
        for rows, left, right in self._blocks(transitions, forward):
            total += (left * single[rows]).T @ right
        return self.vector(total - total.T if self.odd else total)

    def changed_together(self, transitions: Transitions) -> np.ndarray:
        """Return the share of transitions in which both units changed (unit, unit)."""
        both = np.zeros((transitions.n_unit, transitions.n_unit))
        for first in range(0, transitions.n_transition, ROWS_AT_ONCE):
            earlier, later = (spins[first : first + ROWS_AT_ONCE] for spins in transitions.spins)
            changed = (earlier != later).astype(np.float32)
            both += changed.T @ changed
        return both / transitions.n_transition

    def _blocks(self, transitions: Transitions, forward: bool) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield blocks of transitions with the two factors of their pairs, (transition, unit) each."""
        earlier, later = transitions.spins
        start, stop = (earlier, later) if forward else (later, earlier)
        for first in range(0, transitions.n_transition, ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            yield rows, stop[rows] if self.odd else stop[rows] - start[rows], start[rows]
