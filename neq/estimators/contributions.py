r"""What each pair of units adds to a held-out objective, summed over units, areas and pairs of areas.

With theta fitted elsewhere, the means on held-out transitions give

.. math:: J = \sum_{ij} \theta_{ij} \langle g_{ij} \rangle - \ln Z, \qquad
          Z = \langle e^{\theta \cdot g \circ R} \rangle,

so the contributions :math:`\theta_{ij} \langle g_{ij} \rangle` add up to J + ln Z. The logarithm belongs to no pair: it
is kept as a remainder, and with it everything adds up to J.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import EstimationError
from ..observables import Observable, observable_named
from ..spikes.transitions import Transitions


@dataclass(frozen=True, eq=False)
class AreaContributions:
    """Contributions summed over areas, in nats per transition.

    Parameters
    ----------
    area
        Names of the areas, ascending (area,).
    n_unit
        Units in each (area,).
    value
        What each area adds, every pair split evenly between its two units (area,).
    pair
        What each pair of areas adds (area_0, area_1): the row is that of the later unit, the column that of the earlier
        one. Symmetric for the antisymmetric observable, which has no such direction: an entry off the diagonal is then
        half of what the two areas share. All entries together add up to J + ln Z.
    """

    area: tuple[str, ...]
    n_unit: np.ndarray
    value: np.ndarray
    pair: np.ndarray


@dataclass(frozen=True, eq=False)
class Contributions:
    """Contributions of pairs of units to a held-out objective, in nats per transition.

    Parameters
    ----------
    value
        theta times the mean of g on held-out transitions (observable,), in the order of theta.
    log_normaliser
        ln Z on the same transitions: the remainder, which belongs to no pair.
    n_unit, observable
        What the values belong to.

    Examples
    --------
    >>> parts = Contributions(value=np.array([0.6]), log_normaliser=0.2, n_unit=2)
    >>> round(parts.objective, 3), parts.unit.tolist()
    (0.4, [0.3, 0.3])
    """

    value: np.ndarray
    log_normaliser: float
    n_unit: int
    observable: str = "antisymmetric"

    @property
    def pair(self) -> np.ndarray:
        """Contribution of each pair (unit_0, unit_1), row the later unit, column the earlier one.

        For the antisymmetric observable half of it stands at (i, j) and half at (j, i).
        """
        family = observable_named(self.observable)
        upper = family.matrix(self.value, self.n_unit)
        # entry by entry, the product of two antisymmetric matrices is symmetric
        return (np.triu(upper) + np.triu(upper).T) / 2 if family.odd else upper

    @property
    def total(self) -> float:
        """Sum of all contributions, J + ln Z."""
        return float(self.value.sum())

    @property
    def objective(self) -> float:
        """J: the contributions minus the remainder."""
        return self.total - self.log_normaliser

    @property
    def unit(self) -> np.ndarray:
        """What each unit adds, every pair split evenly between its two (unit,)."""
        return _margin(self.pair)

    def by_area(self, area: Sequence[str] | np.ndarray) -> AreaContributions:
        """Sum over the areas of the units.

        Parameters
        ----------
        area
            Area of each unit (unit,); "" where unknown.

        Raises
        ------
        EstimationError
            There is not one area for each unit.

        Examples
        --------
        >>> parts = Contributions(value=np.array([0.6]), log_normaliser=0.2, n_unit=2)
        >>> parts.by_area(["V1", "LM"]).pair.tolist()
        [[0.0, 0.3], [0.3, 0.0]]
        """
        labels = np.asarray(area, dtype=str)
        if labels.shape != (self.n_unit,):
            raise EstimationError(f"expected one area for each of {self.n_unit} units, found shape {labels.shape}")
        names, number = np.unique(labels, return_inverse=True)
        member = (number == np.arange(len(names))[:, None]).astype(float)
        pair = member @ self.pair @ member.T
        return AreaContributions(tuple(names.tolist()), member.sum(axis=1).astype(int), _margin(pair), pair)


def contributions(
    theta: ArrayLike, transitions: Transitions, observable: str | Observable = "antisymmetric"
) -> Contributions:
    """Say what each pair of units adds to J of ``theta`` on these transitions.

    Parameters
    ----------
    theta
        Parameters (observable,), fitted on other transitions, as in
        :attr:`neq.estimators.maxent_result.MaxEntResult.theta`.
    transitions
        Held-out transitions of the same units.
    observable
        The one that theta belongs to.

    Returns
    -------
    Contributions

    Raises
    ------
    EstimationError
        There are no transitions, theta has another length, is not finite or so large that theta.g overflows.

    Examples
    --------
    >>> spikes = np.tile(np.eye(3, dtype=bool), (100, 1))  # units fire in the order 0, 1, 2, 0, ...
    >>> parts = contributions([-0.5, 0.5, -0.5], Transitions.from_spikes(spikes))
    >>> parts.unit.round(2).tolist(), round(parts.log_normaliser, 2), round(parts.objective, 2)
    ([0.67, 0.67, 0.67], -2.0, 4.0)
    """
    family = observable_named(observable) if isinstance(observable, str) else observable
    parameters = _checked(theta, family, transitions)
    with np.errstate(over="ignore", invalid="ignore"):
        reverse = family.reverse_score(transitions, parameters)
        top = reverse.max()
        log_normaliser = float(top + np.log(np.mean(np.exp(reverse - top))))
    if not np.isfinite(log_normaliser):
        raise EstimationError(
            f"theta.g overflows: theta reaches {np.abs(parameters).max():.2g}, expected is an order of 1; scale it down"
        )
    return Contributions(parameters * family.mean(transitions), log_normaliser, transitions.n_unit, family.name)


def mean_contributions(parts: Sequence[Contributions], weight: ArrayLike) -> Contributions:
    """Return the weighted mean of contributions of one observable of the same units, remainder included.

    Parameters
    ----------
    parts
        Contributions on the folds of a recording, each under its own theta.
    weight
        Weight of each (part,), such as its number of transitions.

    Examples
    --------
    >>> parts = [Contributions(np.array([value]), 0.2, n_unit=2) for value in (0.6, 0.3)]
    >>> round(mean_contributions(parts, [2, 1]).objective, 3)
    0.3
    """
    share = np.asarray(weight, dtype=float) / np.sum(weight)
    kinds = {(part.observable, part.n_unit) for part in parts}
    if len(kinds) != 1 or share.shape != (len(parts),):
        raise EstimationError(
            f"expected contributions of one observable and number of units, and a weight for each of {len(parts)}; "
            f"found {sorted(kinds)} and weights of shape {share.shape}"
        )
    value = share @ np.stack([part.value for part in parts])
    log_normaliser = float(share @ [part.log_normaliser for part in parts])
    return Contributions(value, log_normaliser, parts[0].n_unit, parts[0].observable)


def _margin(pair: np.ndarray) -> np.ndarray:
    """Return the sums of a table of pairs, each entry split evenly between its row and its column."""
    margin: np.ndarray = (pair.sum(axis=0) + pair.sum(axis=1)) / 2
    return margin


def _checked(theta: ArrayLike, family: Observable, transitions: Transitions) -> np.ndarray:
    """Return theta as an array if it fits these transitions."""
    parameters = np.asarray(theta, dtype=float)
    expected = family.n_parameter(transitions.n_unit)
    if parameters.shape != (expected,) or not np.isfinite(parameters).all():
        raise EstimationError(
            f"theta must have {expected} finite entries for {transitions.n_unit} units ({family.name}); "
            f"found shape {parameters.shape} with {int(np.isfinite(parameters).sum())} finite"
        )
    if not transitions.n_transition:
        raise EstimationError("there are no transitions: every stretch is shorter than the lag")
    return parameters
