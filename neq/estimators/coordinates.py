r"""The coordinates in which a ridge is a plain sum of squares.

A ridge :math:`\lambda \sum_a w_a \theta_a^2 / 2` is :math:`\lambda |y|^2 / 2` in :math:`y_a = \sqrt{w_a} \theta_a`.
For an odd observable w is Var(g): all parameters are held back equally in units of their own noise.

The flow observable holds the antisymmetric one, :math:`f_{ij} - f_{ji} = g_{ij}`, so its theta is written as an
antisymmetric and a symmetric matrix. The first is held back as if it stood alone. The second, whose entries in one row
nearly repeat each other while units are mostly silent, is held back evenly and much more: it has as many parameters,
mostly noise, and little of the bound. With equal weights flow reached two thirds of the antisymmetric held-out value on
a cortical recording; with these both agree within their errors there, and flow is a few percent higher on a retina.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import EstimationError
from ..observables import OBSERVABLES, Observable
from ..spikes.transitions import Transitions

SYMMETRIC_WEIGHT = 64.0
"""Weight of the symmetric part of a flow theta, in units of the mean variance of f."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A change of variables theta (observable,) <-> y (coordinate,).

    Parameters
    ----------
    scale
        1 / sqrt(w) of each coordinate (coordinate,), 0 where its observable never varies: it stays 0.
    n_unit
        Units of a full matrix whose antisymmetric and symmetric parts the coordinates are; 0 where they are theta's
        own entries.
    """

    scale: np.ndarray
    n_unit: int = 0

    def theta(self, y: np.ndarray) -> np.ndarray:
        """Return the parameters (observable,) of coordinates y (coordinate,)."""
        scaled = y * self.scale
        return _join(scaled, self.n_unit) if self.n_unit else scaled

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Return a gradient over theta (observable,) as one over y (coordinate,)."""
        return (_part(gradient, self.n_unit) if self.n_unit else gradient) * self.scale

    def y(self, theta: np.ndarray) -> np.ndarray:
        """Return the coordinates (coordinate,) of parameters theta (observable,)."""
        entries = _part(theta, self.n_unit) if self.n_unit else theta
        return np.divide(entries, self.scale, out=np.zeros_like(entries), where=self.scale > 0)


def coordinates(observable: Observable, transitions: Transitions) -> Coordinates:
    """Choose coordinates from the variances of the observables over ``transitions``.

    Raises
    ------
    EstimationError
        No observable varies.
    """
    variance = observable.variance(transitions)
    varies = variance > 0
    if not varies.any():
        raise EstimationError(
            f"no {observable.name} observable of the {transitions.n_unit} units varies over the training transitions; "
            "choose active units or a longer recording"
        )
    if observable.odd:
        return Coordinates(_inverse_root(variance))
    n_unit = transitions.n_unit
    symmetric = np.full(n_unit * (n_unit + 1) // 2, SYMMETRIC_WEIGHT * variance[varies].mean())
    # of (f_ij - f_ji) / sqrt(2): the parts are a rotation of theta
    antisymmetric = OBSERVABLES["antisymmetric"].variance(transitions) / 2
    return Coordinates(_inverse_root(np.concatenate([antisymmetric, symmetric])), n_unit)


def _inverse_root(weight: np.ndarray) -> np.ndarray:
    return np.divide(1.0, np.sqrt(weight), out=np.zeros_like(weight), where=weight > 0)


def _join(parts: np.ndarray, n_unit: int) -> np.ndarray:
    """Return the matrix, flat (observable,), of an antisymmetric part (pair,) and a symmetric one with its diagonal."""
    n_pair = n_unit * (n_unit - 1) // 2
    antisymmetric, symmetric = np.zeros((n_unit, n_unit)), np.zeros((n_unit, n_unit))
    antisymmetric[np.triu_indices(n_unit, 1)] = parts[:n_pair]
    symmetric[np.triu_indices(n_unit)] = parts[n_pair:]
    symmetric[np.diag_indices(n_unit)] /= np.sqrt(2)
    return ((antisymmetric - antisymmetric.T + symmetric + symmetric.T) / np.sqrt(2)).reshape(-1)


def _part(matrix: np.ndarray, n_unit: int) -> np.ndarray:
    """Return what :func:`_join` joins: a rotation, so that it is the inverse and the transpose of it."""
    square = matrix.reshape(n_unit, n_unit) / np.sqrt(2)
    symmetric = square + square.T
    symmetric[np.diag_indices(n_unit)] /= np.sqrt(2)
    return np.concatenate([(square - square.T)[np.triu_indices(n_unit, 1)], symmetric[np.triu_indices(n_unit)]])
