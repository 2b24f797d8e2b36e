r"""Odd observables of one, two and three units, nested: those of order k include all of lower order.

With spins :math:`x = 2 s - 1` in the earlier bin and :math:`x'` in the later one,

* order 1: :math:`x'_i - x_i`,
* order 2: :math:`x'_i x_j - x_i x'_j` for i < j,
* order 3: :math:`x'_i x_j x_k - x_i x'_j x'_k` for j < k and every other i.

All change their sign when the bins are exchanged. Multiplied out in the spikes they are sums over *active* units,
triples and pairs, whose coefficients are linear in theta (:mod:`neq.kernels.orders`): nothing of the size of
transitions times observables is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import EstimationError
from ..kernels import orders as kernels
from ..spikes.transitions import Transitions

MAX_ORDER = 3
MAX_UNIT = 40
"""Most units with observables of three units: these 40 have 29,640 triples, and their number grows with the cube."""


@dataclass(frozen=True, eq=False)
class NestedObservable:
    """The odd observables up to an order, and the point from which theta is counted.

    Theta (observable,) holds order 1, then order 2 (i < j row by row), then order 3 (pair (j, k) with j < k row by row,
    and for each of them i ascending). It has the methods of :class:`neq.observables.Observable` that a fit calls.

    Parameters
    ----------
    order
        1, 2 or 3.
    origin
        Theta (observable,) that is added to every theta the methods are given; none by default. A ridge then pulls
        towards it instead of towards zero. The objective that a fit sees differs by a constant from that of the sum.
    """

    order: int
    origin: np.ndarray | None = None

    odd = True

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"order {self.order}"

    def n_parameter(self, n_unit: int) -> int:
        """Return the number of observables of ``n_unit`` units.

        Examples
        --------
        >>> [NestedObservable(order).n_parameter(40) for order in (1, 2, 3)]
        [40, 820, 30460]
        """
        n_pair = n_unit * (n_unit - 1) // 2
        return sum((n_unit, n_pair, n_pair * (n_unit - 2))[: self.order])

    def score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition (transition,)."""
        theta = theta if self.origin is None else self.origin + theta
        score: np.ndarray = kernels.scores(*_lists(transitions), *_coefficients(theta, transitions.n_unit, self.order))
        return score

    def reverse_score(self, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
        """Return theta.g of every transition with its two bins exchanged (transition,)."""
        return -self.score(transitions, theta)

    def mean(self, transitions: Transitions) -> np.ndarray:
        """Return the mean of g (observable,)."""
        return self._weighted_mean(transitions, np.full(transitions.n_transition, 1 / transitions.n_transition))

    def reverse_tilted(self, transitions: Transitions, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log normaliser of the tilted reverse process and its mean of g (observable,)."""
        score = self.reverse_score(transitions, theta)
        top = score.max()
        weight = np.exp(score - top)
        total = weight.sum()
        # The exchanged transitions are averaged, and g of those is -g.
        mean = -self._weighted_mean(transitions, weight / total)
        return float(top + np.log(total / len(weight))), mean

    def variance(self, transitions: Transitions) -> np.ndarray:
        """Return the variance of every g (observable,)."""
        moments = kernels.change_moments(*_lists(transitions), transitions.n_unit, self.order > 2)
        # g is 2 or -2 where an odd number of its units changed, and 0 elsewhere.
        often = _odd_changes(*moments, order=self.order) / transitions.n_transition
        return np.maximum(4.0 * often - self.mean(transitions) ** 2, 0.0)

    def _weighted_mean(self, transitions: Transitions, weight: np.ndarray) -> np.ndarray:
        sums = kernels.weighted_sums(*_lists(transitions), weight, transitions.n_unit, self.order > 2)
        return _observables(*sums, order=self.order)


def check_order(order: int, n_unit: int) -> None:
    """Refuse an order that these units do not have.

    Raises
    ------
    EstimationError
        The order is not 1, 2 or 3, there are fewer units than it has, or too many for order 3.
    """
    if order not in range(1, MAX_ORDER + 1):
        raise EstimationError(f"max_order must be 1, 2 or 3; found {order!r}")
    if n_unit < order:
        raise EstimationError(f"observables of order {order} need {order} units or more; found {n_unit}")
    if order > 2 and n_unit > MAX_UNIT:
        raise EstimationError(
            f"observables of order 3 are for at most {MAX_UNIT} units; found {n_unit}: select fewer or use max_order=2"
        )


def _lists(transitions: Transitions) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return transitions.row_start, transitions.unit, transitions.earlier, transitions.later


def _coefficients(theta: np.ndarray, n_unit: int, order: int) -> tuple[np.ndarray, ...]:
    """Return the tables l, q, p and c of :mod:`neq.kernels.orders` of a theta (observable,)."""
    linear, quadratic = 2.0 * theta[:n_unit], np.zeros((n_unit, n_unit))
    own, cubic = np.zeros((0, 0)), np.zeros((0, 0, 0))
    if order > 1:
        pair = _antisymmetric(theta[n_unit : n_unit + n_unit * (n_unit - 1) // 2], n_unit)
        linear = linear - 2.0 * pair.sum(axis=1)
        quadratic = 4.0 * pair
    if order > 2:
        triple = _symmetric(theta[-len(_triples(n_unit)[0]) :], n_unit)
        # a: of the later i with one earlier j, b: of the pair (j, k) alone; each sum over k meets every pair once
        a, b = triple.sum(axis=1).T, triple.sum(axis=2)
        linear = linear + a.sum(axis=1) - 2.0 * b.sum(axis=1)
        quadratic = quadratic - 4.0 * (a - a.T)
        own, cubic = 4.0 * b, 8.0 * triple
    return linear, np.ascontiguousarray(quadratic), own, cubic


def _observables(
    linear: np.ndarray, quadratic: np.ndarray, own: np.ndarray, cubic: np.ndarray, *, order: int
) -> np.ndarray:
    """Return the sums of g (observable,) from the kernel's sums: the transpose of :func:`_coefficients`."""
    parts = [2.0 * linear]
    flow = quadratic - quadratic.T
    if order > 1:
        i, j = _pairs(len(linear))
        parts.append(4.0 * flow[i, j] - 2.0 * (linear[i] - linear[j]))
    if order > 2:
        j, k, i = _triples(len(linear))
        same_bin = (own + own.T)[j, k]
        product = (cubic + cubic.transpose(1, 0, 2))[j, k, i]
        parts.append(
            8.0 * product - 4.0 * (flow[i, j] + flow[i, k] - same_bin) + 2.0 * (linear[i] - linear[j] - linear[k])
        )
    return np.concatenate(parts)


def _odd_changes(single: np.ndarray, both: np.ndarray, three: np.ndarray, *, order: int) -> np.ndarray:
    """Return how often an odd number of the units of each g changed (observable,), from joint counts of changes."""
    parts = [single]
    if order > 1:
        i, j = _pairs(len(single))
        parts.append(single[i] + single[j] - 2.0 * both[i, j])
    if order > 2:
        j, k, i = _triples(len(single))
        two = both[i, j] + both[i, k] + both[j, k]
        parts.append(single[i] + single[j] + single[k] - 2.0 * two + 4.0 * three[j, k, i])
    return np.concatenate(parts)


def _antisymmetric(values: np.ndarray, n_unit: int) -> np.ndarray:
    """Return values (pair,) as an antisymmetric matrix (unit, unit)."""
    matrix = np.zeros((n_unit, n_unit))
    matrix[_pairs(n_unit)] = values
    return matrix - matrix.T


def _symmetric(values: np.ndarray, n_unit: int) -> np.ndarray:
    """Return values (triple,) as a table (j, k, i), the same for (j, k) and (k, j)."""
    j, k, i = _triples(n_unit)
    table = np.zeros((n_unit, n_unit, n_unit))
    table[j, k, i] = values
    table[k, j, i] = values
    return table


@lru_cache(maxsize=16)
def _pairs(n_unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return i and j of every pair (pair,), row by row."""
    return np.triu_indices(n_unit, 1)


@lru_cache(maxsize=16)
def _triples(n_unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return j, k and i of every triple (triple,): the pair row by row, and for each all other i."""
    j, k = (np.repeat(place, n_unit) for place in _pairs(n_unit))
    i = np.tile(np.arange(n_unit), n_unit * (n_unit - 1) // 2)
    other = (i != j) & (i != k)
    return j[other], k[other], i[other]
