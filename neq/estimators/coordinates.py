r"""The coordinates in which a ridge is a plain sum of squares.

A ridge :math:`\lambda |y|^2 / 2` holds back every coordinate alike, so the choice of y says what a ridge means. With
the variances W of g, :math:`y_a = \sqrt{W_a} \theta_a`, it holds back every parameter alike in units of its own noise.
But the observables of one unit nearly repeat each other while units are mostly silent: what they share has a variance
that none of them has alone. So y also knows the structured covariance of :mod:`neq.estimators.factor_covariance`,
:math:`P: A \mapsto V A Y + Y A V`, with V, the second moments of the change, kept as their diagonal, and Y, those of
the mid-point, shrunk towards theirs by a share s:

.. math:: |y|^2 = \theta^T P_s \theta, \qquad Y_s = (1 - s) Y + s \, \mathrm{diag} Y

In them the objective is nearly a paraboloid and the optimiser needs few steps. How much of P a ridge should follow
depends on the recording: a network whose couplings are well sampled asks for a small s, a retina for a large one.
Validation data choose (:mod:`neq.estimators.ridge_path`). With s = 1 they are close to those of the variances.

The flow observable holds the antisymmetric one, :math:`f_{ij} - f_{ji} = g_{ij}`, so its theta is written as an
antisymmetric and a symmetric matrix. The first is held back as if it stood alone. The second, whose entries in one row
nearly repeat each other while units are mostly silent, is held back evenly and much more: it has as many parameters,
mostly noise, and little of the bound. With equal weights flow reached two thirds of the antisymmetric held-out value on
a cortical recording; with these both agree within their errors there, and flow is a few percent higher on a retina.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ..errors import EstimationError
from ..observables import OBSERVABLES, Observable
from ..spikes.transitions import Transitions
from .factor_covariance import mid_point_moment

SYMMETRIC_WEIGHT = 64.0
"""Weight of the symmetric part of a flow theta, in units of the mean variance of f."""
SMALLEST_WEIGHT = 1e-4
"""Least eigenvalue of P that is used: coordinates that hardly vary are not stretched without bound."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A change of variables theta (observable,) <-> y (coordinate,).

    Parameters
    ----------
    scale
        What each coordinate is multiplied by (coordinate,).
    n_unit
        Units of the matrices that theta stands for; 0 where the coordinates are theta's own entries.
    flow
        True where the coordinates are the antisymmetric and the symmetric part of a full matrix.
    basis
        U (unit, unit): the scaled antisymmetric matrix B stands for U B U'. None for B itself.
    varies
        False for the pairs (pair,) whose antisymmetric observable never varies: their theta is kept at 0. None where
        ``scale`` does that.
    """

    scale: np.ndarray
    n_unit: int = 0
    flow: bool = False
    basis: np.ndarray | None = None
    varies: np.ndarray | None = None

    def theta(self, y: np.ndarray) -> np.ndarray:
        """Return the parameters (observable,) of coordinates y (coordinate,)."""
        scaled = y * self.scale
        if not self.flow:
            return self._out(scaled)
        n_pair = self.n_unit * (self.n_unit - 1) // 2
        return _join(self._out(scaled[:n_pair]), scaled[n_pair:], self.n_unit)

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Return a gradient over theta (observable,) as one over y (coordinate,): the transpose of :meth:`theta`."""
        if not self.flow:
            return self._into(gradient) * self.scale
        antisymmetric, symmetric = _part(gradient, self.n_unit)
        return np.concatenate([self._into(antisymmetric), symmetric]) * self.scale

    def _out(self, pairs: np.ndarray) -> np.ndarray:
        return pairs if self.basis is None else self._turned(pairs, self.basis) * self.varies

    def _into(self, pairs: np.ndarray) -> np.ndarray:
        return pairs if self.basis is None else self._turned(pairs * self.varies, self.basis.T)

    def _turned(self, pairs: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Return basis A basis' of an antisymmetric matrix A given by its pairs (pair,)."""
        antisymmetric = OBSERVABLES["antisymmetric"]
        return antisymmetric.vector(basis @ antisymmetric.matrix(pairs, self.n_unit) @ basis.T)


@dataclass(frozen=True, eq=False)
class Metric:
    """What transitions say of the sizes of their observables: what coordinates are made from.

    Parameters
    ----------
    flips
        Share of transitions in which each unit changed (unit,).
    mid_point
        Second moment Y of the mid-point (unit, unit).
    varies
        Whether the antisymmetric observable of each pair varies (pair,).
    symmetric_weight
        What the symmetric part of a flow theta is weighted with; None for the antisymmetric observable.
    """

    flips: np.ndarray
    mid_point: np.ndarray
    varies: np.ndarray
    symmetric_weight: float | None

    def coordinates(self, shrinkage: float) -> Coordinates:
        """Return the coordinates of one shrinkage s of Y, 0 to 1."""
        single = np.diag(np.diag(self.mid_point))
        # V U = Y U diag(e) and U' Y U = 1: both factors of P are diagonal in U
        eigenvalue, basis = linalg.eigh(np.diag(4 * self.flips), (1 - shrinkage) * self.mid_point + shrinkage * single)
        n_unit = len(self.flips)
        i, j = np.triu_indices(n_unit, 1)
        scale = 1 / np.sqrt(np.maximum(eigenvalue[i] + eigenvalue[j], SMALLEST_WEIGHT))
        if self.symmetric_weight is None:
            return Coordinates(scale, n_unit, False, basis, self.varies)
        symmetric = np.full(n_unit * (n_unit + 1) // 2, 1 / np.sqrt(self.symmetric_weight))
        # the parts are a rotation of theta, the antisymmetric one that of (f_ij - f_ji) / sqrt(2)
        return Coordinates(np.concatenate([np.sqrt(2) * scale, symmetric]), n_unit, True, basis, self.varies)


def measure_metric(observable: Observable, transitions: Transitions, mean: np.ndarray) -> Metric:
    """Measure the sizes of an observable of pairs over ``transitions``; ``mean`` is its mean there (observable,).

    Raises
    ------
    EstimationError
        No observable varies.
    """
    antisymmetric, both = OBSERVABLES["antisymmetric"], observable.changed_together(transitions)
    variance = observable.mean_square(both) - mean**2
    if not (variance > 0).any():
        raise _nothing_varies(observable, transitions)
    flips, mid_point = np.diag(both).copy(), mid_point_moment(transitions)
    if observable.odd:
        return Metric(flips, mid_point, variance > 0, None)
    flow = observable.matrix(mean, transitions.n_unit)
    varies = antisymmetric.mean_square(both) - antisymmetric.vector(flow - flow.T) ** 2 > 0
    return Metric(flips, mid_point, varies, SYMMETRIC_WEIGHT * variance[variance > 0].mean())


def variance_coordinates(observable: Observable, transitions: Transitions) -> Coordinates:
    """Return the coordinates of the variances of an odd observable of any order.

    Raises
    ------
    EstimationError
        No observable varies.
    """
    variance = observable.variance(transitions)
    if not variance.any():
        raise _nothing_varies(observable, transitions)
    return Coordinates(np.divide(1.0, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0))


def _nothing_varies(observable: Observable, transitions: Transitions) -> EstimationError:
    return EstimationError(
        f"no {observable.name} observable of the {transitions.n_unit} units varies over the training transitions; "
        "choose active units or a longer recording"
    )


def _join(antisymmetric: np.ndarray, symmetric: np.ndarray, n_unit: int) -> np.ndarray:
    """Return the matrix, flat (observable,), of an antisymmetric part (pair,) and a symmetric one with its diagonal."""
    first, second = np.zeros((n_unit, n_unit)), np.zeros((n_unit, n_unit))
    first[np.triu_indices(n_unit, 1)] = antisymmetric
    second[np.triu_indices(n_unit)] = symmetric
    second[np.diag_indices(n_unit)] /= np.sqrt(2)
    return ((first - first.T + second + second.T) / np.sqrt(2)).reshape(-1)


def _part(matrix: np.ndarray, n_unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`_join` joins: a rotation, so that it is the inverse and the transpose of it."""
    square = matrix.reshape(n_unit, n_unit) / np.sqrt(2)
    symmetric = square + square.T
    symmetric[np.diag_indices(n_unit)] /= np.sqrt(2)
    return (square - square.T)[np.triu_indices(n_unit, 1)], symmetric[np.triu_indices(n_unit)]
