"""When the repetitions of a group of cells end: a pure function of their first ones in the order of their labels.

A group is all cells that differ in their repetition alone. Nothing but the leading repetitions that have a status
decides, so that neither the order in which cells are computed, nor the number of workers, nor a crash changes it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from neq.errors import ConfigError
from workflows import layout
from workflows.config import StopConfig
from workflows.grid import REPETITION, Grid
from workflows.labels import stored_label
from workflows.studies.base import Label, Study


@dataclass(frozen=True)
class Prefix:
    """What the leading repetitions of each group say; see :func:`prefix`.

    Parameters
    ----------
    length
        Leading repetitions that are decided (int, group): up to the one that met the rule, else up to the first that
        has no status yet.
    counted
        How many of them have a value.
    met
        Whether they meet the rule.
    """

    length: np.ndarray
    counted: np.ndarray
    met: np.ndarray

    def offered(self, rule: StopConfig, ahead: np.ndarray | int = 1) -> np.ndarray:
        """Return how many leading repetitions to compute now (int, group); it may be more than there are.

        Parameters
        ----------
        rule
            The rule.
        ahead
            So many are computed beyond those decided, though one of these may turn out to be the last; those that
            ``at_least`` asks for are not in doubt.
        """
        more = np.maximum(np.maximum(rule.at_least - self.counted, ahead), 1)
        found: np.ndarray = np.where(self.met, self.length, self.length + more)
        return found


def prefix(status: np.ndarray, values: np.ndarray, rule: StopConfig) -> Prefix:
    """Follow the repetitions of each group until the rule is met, or one has no status.

    The standard error is that of the mean over the repetitions that have a value; failed and impossible ones, and
    values that are not finite, are passed over.

    Parameters
    ----------
    status
        Codes (group, repetition), the repetitions in the order of their labels; ``not_needed`` counts as pending.
    values
        The values (group, repetition) whose precision decides.
    rule
        The rule; it is met by ``at_least`` values or more of which the standard error is small enough.

    Examples
    --------
    >>> rule = StopConfig(absolute_sem=0.1, at_least=2)
    >>> values = np.array([[1.0, 2.0, 1.5, 1.5], [1.0, 1.0, 7.0, 7.0]])
    >>> found = prefix(np.array([[1, 1, 1, 0], [1, 1, 1, 1]]), values, rule)
    >>> found.length.tolist(), found.met.tolist()
    ([3, 2], [False, True])
    """
    group = status.shape[:-1]
    length, counted = np.zeros(group, int), np.zeros(group, int)
    mean, squares = np.zeros(group), np.zeros(group)
    met, going = np.zeros(group, bool), np.ones(group, bool)
    with np.errstate(all="ignore"):
        for code, value in zip(np.moveaxis(status, -1, 0), np.moveaxis(values, -1, 0), strict=True):
            going = going & ~met & (code != layout.PENDING) & (code != layout.NOT_NEEDED)
            new = going & (code == layout.OK) & np.isfinite(value)
            length, counted = length + going, counted + new
            # Welford's running sums: the same bits however many groups are looked at together
            step = np.where(new, value - mean, 0.0)
            mean = mean + step / np.maximum(counted, 1)
            squares = squares + np.where(new, step * (value - mean), 0.0)
            met = met | (new & _precise(counted, mean, squares, rule))
    return Prefix(length, counted, met)


def _precise(counted: np.ndarray, mean: np.ndarray, squares: np.ndarray, rule: StopConfig) -> np.ndarray:
    sem = np.sqrt(squares / np.maximum(counted - 1, 1) / np.maximum(counted, 1))
    small = np.zeros(counted.shape, bool)
    if rule.relative_sem is not None:
        small |= sem <= rule.relative_sem * np.abs(mean)
    if rule.absolute_sem is not None:
        small |= sem <= rule.absolute_sem
    return small & (counted >= rule.at_least)


def judged(status: np.ndarray, found: Prefix) -> np.ndarray:
    """Return the status (group, repetition) with ``not_needed`` for all beyond the repetition that met the rule.

    Examples
    --------
    >>> judged(np.array([1, 1, 2, 0]), Prefix(np.array(2), np.array(2), np.array(True))).tolist()
    [1, 1, 4, 4]
    """
    beyond = found.met[..., None] & (np.arange(status.shape[-1]) >= found.length[..., None])
    return np.where(beyond, np.uint8(layout.NOT_NEEDED), status)


@dataclass(frozen=True)
class Repetitions:
    """Where the repetitions of a config lie in a grid, in the order of their labels.

    Parameters
    ----------
    axis
        Position of the axis.
    places
        Positions along it.
    """

    axis: int
    places: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, labels: Collection[Label]) -> Repetitions:
        """Find these labels in a grid; those it does not have are left out.

        Examples
        --------
        >>> from workflows.studies.base import Axis
        >>> Repetitions.of(Grid((Axis("size", (10,)), Axis("repetition", (4, 1, 2)))), (1, 2, 3, 4)).places
        (1, 2, 0)
        """
        there, wanted = grid.labels(REPETITION), {stored_label(REPETITION, label) for label in labels}
        places = [i for i, label in enumerate(there) if label in wanted]
        return cls(grid.names.index(REPETITION), tuple(sorted(places, key=there.__getitem__)))

    def last(self, array: np.ndarray) -> np.ndarray:
        """Return the array (grid) with its repetitions last and in order (group, repetition); a copy."""
        return np.moveaxis(array, self.axis, -1)[..., list(self.places)]

    def put(self, array: np.ndarray, turned: np.ndarray) -> None:
        """Write (group, repetition) into an array (grid), or a part of one that has all repetitions."""
        np.moveaxis(array, self.axis, -1)[..., list(self.places)] = turned


def variable(study: Study) -> str:
    """Return the variable whose precision decides: the first number that the study declares.

    Raises
    ------
    neq.errors.ConfigError
        The study repeats nothing, or has no number.
    """
    names = [output.name for output in study.outputs() if output.dtype in ("f8", "f4") and not output.dims]
    if REPETITION not in [axis.name for axis in study.axes()] or not names:
        raise ConfigError(
            f"sweep.stop ends repetitions of a number, but the study {study.config.study} has no axis {REPETITION!r}, "
            "or no variable that is a number: take sweep.stop out of the config."
        )
    return names[0]
