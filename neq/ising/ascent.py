"""Iterations that raise a likelihood until it rises no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neq.errors import IsingError


def ascend(
    iterate: Callable[[], float], start: float, max_iter: int, tolerance: float, progress: Callable[[int, float], Any]
) -> tuple[list[float], bool]:
    """Return the log likelihood after each iteration, and whether it rises no more.

    Parameters
    ----------
    iterate
        Makes one iteration and returns the log likelihood (negative).
    start
        The log likelihood before the first one.
    max_iter
        Greatest number of iterations.
    tolerance
        They end where it rises by no more than this, relative to itself; a fall ends them too.
    progress
        Called with the number of each iteration and the log likelihood after it.

    Raises
    ------
    IsingError
        There is to be no iteration.

    Examples
    --------
    >>> values = iter([-10.0, -9.0, -8.9999])
    >>> ascend(lambda: next(values), -20.0, 100, 1e-4, lambda number, value: None)
    ([-10.0, -9.0, -8.9999], True)
    """
    if max_iter < 1:
        raise IsingError(f"Expected max_iter of 1 or more, found {max_iter}.")
    before, rise, found = start, np.inf, list[float]()
    while len(found) < max_iter and rise > tolerance:
        value = iterate()
        rise, before = (before - value) / before, value
        found.append(value)
        progress(len(found), value)
    return found, bool(rise <= tolerance)
