r"""The covariance that the observables would have if the two factors of each were independent.

With the change :math:`\Delta = x' - x` of a transition and its mid-point :math:`y = (x + x') / 2` both observables are
products of two factors: :math:`\theta \cdot g = \Delta^T A y` for the antisymmetric one (A antisymmetric), and
:math:`-\Delta^T A x'` for flow of the exchanged bins. Were the factors independent, their covariance would be

.. math:: P: A \mapsto V A Y + Y A V \quad \text{or} \quad A \mapsto V A M

with :math:`V = \langle \Delta \Delta^T \rangle`, :math:`Y = \langle y y^T \rangle` and
:math:`M = \langle x' x'^T \rangle`, all (unit, unit): P is inverted for the price of four products of such matrices and
yet holds the sums over units and the correlated firing that make the covariance of the observables ill-conditioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import linalg, sparse

from ..observables import Observable
from ..spikes.transitions import Transitions

LOADING = 1e-4
"""Added to the diagonals of V, Y and M: constant and duplicate units would make P singular."""
MAX_TRANSITION = 30_000
"""Transitions on which V, Y and M are measured, or ten per unit: they need not be exact."""
ROWS_AT_ONCE = 4096
"""Transitions held as matrices at a time."""


@dataclass(frozen=True, eq=False)
class FactorCovariance:
    """The covariance P of g were the two factors of g independent.

    Parameters
    ----------
    observable, n_unit
        Whose covariance it is.
    change
        Second moment V of the change (unit, unit).
    state
        Second moment of the other factor (unit, unit): Y of the mid-point, or M of the later bin for flow.
    """

    observable: Observable
    n_unit: int
    change: np.ndarray
    state: np.ndarray

    @cached_property
    def _basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Return e (unit,) and U (unit, unit) with V U = Y U diag(e) and U' Y U = 1: both factors are diagonal in U."""
        eigenvalue, basis = linalg.eigh(self.change, self.state)
        return eigenvalue, basis

    def damped(self, weight: float) -> FactorCovariance:
        """Return P with ``weight`` times the diagonal of V added to V: what stands for P + weight W."""
        if not weight:
            return self
        return replace(self, change=self.change + weight * np.diag(np.diag(self.change)))

    def product(self, theta: np.ndarray) -> np.ndarray:
        """Return P theta (observable,)."""
        product = self.change @ self.observable.matrix(theta, self.n_unit) @ self.state
        return self.observable.vector(product - product.T if self.observable.odd else product)

    def solve(self, vector: np.ndarray) -> np.ndarray:
        """Return P^-1 of a vector (observable,)."""
        eigenvalue, basis = self._basis
        divisor = eigenvalue[:, None] + (eigenvalue[None, :] if self.observable.odd else 0.0)
        inside = basis.T @ self.observable.matrix(vector, self.n_unit) @ basis
        return self.observable.vector(basis @ (inside / divisor) @ basis.T)


def factor_covariance(observable: Observable, transitions: Transitions) -> FactorCovariance:
    """Measure V and Y (or M) on transitions, evenly thinned where there are very many."""
    change = _moment(transitions, lambda earlier, later: later - earlier)
    state = mid_point_moment(transitions) if observable.odd else _moment(transitions, lambda earlier, later: later)
    return FactorCovariance(observable, transitions.n_unit, change, state)


def mid_point_moment(transitions: Transitions) -> np.ndarray:
    """Measure Y (unit, unit), on thinned transitions."""
    return _moment(transitions, lambda earlier, later: (later + earlier) / 2)


def _moment(transitions: Transitions, factor: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the second moment (unit, unit) of a function of earlier and later spins (transition, unit)."""
    total, n_used = np.zeros((transitions.n_unit, transitions.n_unit)), 0
    for earlier, later in _spins(transitions):
        rows = factor(earlier, later)
        total += rows.T @ rows
        n_used += len(rows)
    return total / n_used + LOADING * np.eye(transitions.n_unit)


def _spins(transitions: Transitions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the spins of the earlier and the later bin (transition, unit) of thinned transitions, block by block."""
    n_unit, n_transition = transitions.n_unit, transitions.n_transition
    n_used = min(max(MAX_TRANSITION, 10 * n_unit), n_transition)
    used = np.linspace(0, n_transition - 1, n_used).astype(np.int64)
    lists = (np.ones(len(transitions.unit), np.float32), transitions.unit, transitions.row_start)
    active = sparse.csr_array(lists, shape=(len(transitions.row_start) - 1, n_unit))
    for first in range(0, n_used, ROWS_AT_ONCE):
        rows = used[first : first + ROWS_AT_ONCE]
        yield 2 * active[transitions.earlier[rows]].toarray() - 1, 2 * active[transitions.later[rows]].toarray() - 1
