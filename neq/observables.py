r"""Observables of a transition and the dual objective of nonequilibrium maximum entropy.

A bound on entropy production follows from any observable :math:`g(x, x')` of a transition [1]_:

.. math:: J(\theta) = \theta \cdot \langle g \rangle - \ln \langle e^{\theta \cdot g \circ R} \rangle,

with R the exchange of the two bins. Both observables here are pairwise, and theta is kept as a matrix (unit, unit).

References
----------
.. [1] Aguilera, Ito & Kolchinsky, "Inferring entropy production in many-body systems using nonequilibrium MaxEnt",
   arXiv:2505.10444.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .errors import EstimationError
from .kernels import observables as kernels
from .spikes.transitions import Transitions


@dataclass(frozen=True)
class Observable:
    """A family of pairwise observables.

    Parameters
    ----------
    name
        ``"antisymmetric"`` or ``"flow"``.
    odd
        True where exchanging the two bins only changes the sign of g.
    """

    name: str
    odd: bool

    def n_parameter(self, n_unit: int) -> int:
        """Return the number of observables of ``n_unit`` units."""
        return n_unit * (n_unit - 1) // 2 if self.odd else n_unit * n_unit

    def matrix(self, theta: np.ndarray, n_unit: int) -> np.ndarray:
        """Return theta (observable,) as a matrix (unit, unit), antisymmetric where g is odd."""
        if not self.odd:
            return np.ascontiguousarray(theta, dtype=float).reshape(n_unit, n_unit)
        matrix = np.zeros((n_unit, n_unit))
        matrix[_upper_triangle(n_unit)] = theta
        return matrix - matrix.T

    def vector(self, matrix: np.ndarray) -> np.ndarray:
        """Return the independent entries of a matrix (unit, unit) as a vector (observable,)."""
        return matrix[_upper_triangle(len(matrix))] if self.odd else matrix.reshape(-1).copy()

    def score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition (transition,)."""
        return transitions.packed.unpack(self._score(transitions, theta, forward=True))

    def reverse_score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition with its two bins exchanged (transition,)."""
        return transitions.packed.unpack(self._score(transitions, theta, forward=False))

    def mean(self, transitions: Transitions) -> np.ndarray:
        """Return the mean of g (observable,)."""
        n_transition = transitions.n_transition
        return self._weighted_sum(transitions, np.ones(n_transition), forward=True) / n_transition

    def reverse_tilted(self, transitions: Transitions, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log normaliser of the tilted reverse process and its mean of g (observable,), in one pass."""
        return self._tilted(transitions, theta, forward=False)

    def variance(self, transitions: Transitions) -> np.ndarray:
        """Return the variance of every g (observable,)."""
        square = self.mean_square(self.changed_together(transitions))
        return np.maximum(square - self.mean(transitions) ** 2, 0.0)

    def mean_square(self, changed_together: np.ndarray) -> np.ndarray:
        """Return the mean square of every g (observable,), given how often both units changed (unit, unit)."""
        single = np.diag(changed_together)
        if self.odd:
            return self.vector(4.0 * (single[:, None] + single[None, :]) - 8.0 * changed_together)
        return self.vector(np.repeat(4.0 * single[:, None], len(single), axis=1))

    def covariance_product(
        self, transitions: Transitions, vector: np.ndarray, mean: np.ndarray, *, forward: bool = True
    ) -> np.ndarray:
        """Return K v, K being the covariance of g, of ``vector`` v (observable,), never making K.

        ``mean`` (observable,) is that of g over the same transitions. With ``forward=False`` g is that of the exchanged
        bins, and so is its mean.
        """
        projection = self._score(transitions, vector, forward=forward)
        product = self._weighted_sum(transitions, projection, forward=forward) / len(projection)
        return product - mean * float(vector @ mean)

    def changed_together(self, transitions: Transitions) -> np.ndarray:
        """Return the share of transitions in which both units changed (unit, unit)."""
        n_unit = transitions.n_unit
        counts = kernels.change_counts(*transitions.packed.lists, n_unit).reshape(n_unit, n_unit)
        both: np.ndarray = counts + np.tril(counts, -1).T + np.triu(counts, 1).T
        return both / transitions.n_transition

    def _score(self, transitions: Transitions, theta: np.ndarray, *, forward: bool) -> np.ndarray:
        matrix = self.matrix(theta, transitions.n_unit)
        flat, row_sum = matrix.reshape(-1), matrix.sum(axis=1)
        score: np.ndarray = kernels.scores(*transitions.packed.lists, flat, row_sum, forward, not self.odd)
        return score

    def _tilted(self, transitions: Transitions, theta: np.ndarray, *, forward: bool) -> tuple[float, np.ndarray]:
        score = self._score(transitions, theta, forward=forward)
        top = score.max()
        score -= top
        weight = np.exp(score, out=score)
        total = weight.sum()
        mean = self._weighted_sum(transitions, weight, forward=forward) / total
        return float(top + np.log(total / len(weight))), mean

    def _weighted_sum(self, transitions: Transitions, weight: np.ndarray, *, forward: bool) -> np.ndarray:
        """Return the sum of g (observable,) with weights in packed order (transition,)."""
        lists = transitions.packed.lists
        pair, change = kernels.weighted_sums(*lists, weight, transitions.n_unit, forward, not self.odd)
        total = 4.0 * pair.reshape(transitions.n_unit, -1) - 2.0 * change[:, None]
        return self.vector(total - total.T if self.odd else total)


OBSERVABLES = {name: Observable(name, odd) for name, odd in (("antisymmetric", True), ("flow", False))}


def observable_named(name: str) -> Observable:
    """Return the observable called ``name``.

    Raises
    ------
    EstimationError
        There is none of this name.
    """
    if name not in OBSERVABLES:
        raise EstimationError(f"observable must be one of {', '.join(OBSERVABLES)}; found {name!r}")
    return OBSERVABLES[name]


def checked_n_parameter(observable: Observable, n_unit: int) -> int:
    """Return the number of observables of ``n_unit`` units.

    Raises
    ------
    EstimationError
        There is none, for want of units.
    """
    n_parameter = observable.n_parameter(n_unit)
    if not n_parameter:
        raise EstimationError(f"the {observable.name} observable needs 2 units or more; found {n_unit}")
    return n_parameter


def objective(
    transitions: Transitions, theta: ArrayLike, observable: str = "antisymmetric"
) -> tuple[float, np.ndarray]:
    r"""Evaluate the dual objective J and its gradient.

    Parameters
    ----------
    transitions
        The transitions.
    theta
        Parameters (observable,): the upper triangle, row by row, for ``antisymmetric``; all (i, j) row by row for
        ``flow``.
    observable
        ``"antisymmetric"``, :math:`x'_i x_j - x_i x'_j`, or ``"flow"``, :math:`(x'_i - x_i) x_j`.

    Returns
    -------
    value : float
        J in nats per transition.
    gradient : ndarray
        Its gradient (observable,).

    Raises
    ------
    EstimationError
        There are no transitions, or theta has another length, is not finite or so large that theta.g overflows.

    Examples
    --------
    >>> spikes = np.tile(np.eye(3, dtype=bool), (100, 1))  # units fire in the order 0, 1, 2, 0, ...
    >>> value, gradient = objective(Transitions.from_spikes(spikes), np.zeros(3))
    >>> value, gradient.shape
    (0.0, (3,))
    """
    family = observable_named(observable)
    parameters = np.asarray(theta, dtype=float)
    expected = family.n_parameter(transitions.n_unit)
    if parameters.shape != (expected,):
        raise EstimationError(
            f"theta must have {expected} entries for {transitions.n_unit} units; found {parameters.shape}"
        )
    if not np.isfinite(parameters).all():
        raise EstimationError("theta holds NaN or infinite entries")
    if not transitions.n_transition:
        raise EstimationError("there are no transitions: every stretch is shorter than the lag")
    mean = family.mean(transitions)
    with np.errstate(over="ignore", invalid="ignore"):
        log_normaliser, reverse_mean = family.reverse_tilted(transitions, parameters)
        value, gradient = float(parameters @ mean - log_normaliser), mean - reverse_mean
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise EstimationError(
            f"theta.g overflows: theta reaches {np.abs(parameters).max():.2g}, expected is an order of 1; scale it down"
        )
    return value, gradient


@lru_cache(maxsize=16)
def _upper_triangle(n_unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places (row, column) of the upper triangle, row by row; asked for at every evaluation."""
    return np.triu_indices(n_unit, 1)
