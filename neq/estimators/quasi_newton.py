r"""Minimise a function plus a ridge by limited-memory quasi-Newton steps that outlive a change of the ridge.

Along a path of ridges the function stays the same and only :math:`\lambda |y|^2 / 2` changes, whose curvature is known.
So the pairs of steps and gradient changes that the two-loop recursion [1]_ works from are kept of the function alone,
and :math:`\lambda` times the step is added when they are used: each ridge starts with what the ones before it learned.
An optimiser begun anew at every ridge would spend most of a short visit learning the curvature again.

References
----------
.. [1] Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35, 773 (1980).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Value and gradient (parameter,) at a point (parameter,)."""

N_PAIR = 10
"""Steps remembered."""
SUFFICIENT = 1e-4
"""Share of the decrease promised by the slope that a step must bring."""
MAX_HALVING = 30
"""Times a step is halved before the search gives up."""


@dataclass
class QuasiNewton:
    """A point, the function there, and what its last steps say of the function's curvature.

    Parameters
    ----------
    function
        The function without its ridge.
    point
        Where it stands (parameter,).
    """

    function: Function
    point: np.ndarray
    n_evaluation: int = 0
    _pairs: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=lambda: deque(maxlen=N_PAIR))

    def __post_init__(self) -> None:
        self.value, self.gradient = self._evaluate(self.point)

    def steps(self, ridge: float, most: int, tolerance: float = 1e-6) -> Iterator[np.ndarray]:
        """Make up to ``most`` steps at this ridge and yield the point (parameter,) after each.

        A step that brings no more than the share ``tolerance`` of the value is the last; where curvatures differ much,
        one may be short though others would not be.
        """
        for _ in range(most):
            fall = self.step(ridge)
            if fall > 0:
                yield self.point
            if fall <= tolerance * abs(self.value):
                return

    def step(self, ridge: float) -> float:
        """Make one step and return by how much function and ridge fell; 0 where they cannot."""
        loss = self.value + ridge / 2 * float(self.point @ self.point)
        tilt = self.gradient + ridge * self.point
        direction = self._direction(tilt, ridge)
        slope = float(tilt @ direction)
        share = 1.0
        for _ in range(MAX_HALVING):
            point = self.point + share * direction
            value, gradient = self._evaluate(point)
            fall = loss - value - ridge / 2 * float(point @ point)
            if fall >= -SUFFICIENT * share * slope:
                self._move(point, value, gradient)
                return fall
            share /= 2
        return 0.0

    def _evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        self.n_evaluation += 1
        return self.function(point)

    def _move(self, point: np.ndarray, value: float, gradient: np.ndarray) -> None:
        step, change = point - self.point, gradient - self.gradient
        if step @ change > 0:
            self._pairs.append((step, change))
        self.point, self.value, self.gradient = point, value, gradient

    def _direction(self, gradient: np.ndarray, ridge: float) -> np.ndarray:
        """Return minus the inverse curvature times a gradient (parameter,); at first it is taken as 1."""
        direction = -gradient
        used = []
        for step, change in reversed(self._pairs):
            curved = change + ridge * step
            scale = 1 / float(curved @ step)
            along = scale * float(step @ direction)
            direction -= along * curved
            used.append((step, curved, scale, along))
        if used:
            step, curved, *_ = used[0]
            direction *= float(step @ curved) / float(curved @ curved)
        else:
            direction /= 1 + ridge
        for step, curved, scale, along in reversed(used):
            direction += (along - scale * float(curved @ direction)) * step
        return direction
