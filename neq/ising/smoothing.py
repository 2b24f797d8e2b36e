"""Parameters of each time bin from all bins: the fixed-interval smoother of Rauch, Tung and Striebel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neq.kernels import ising as kernels

from .filtering import Filtered


@dataclass(frozen=True, eq=False)
class Smoothed:
    """What all bins say.

    Parameters
    ----------
    theta, covariance
        Mean and covariance (time, parameter), (time, parameter, parameter).
    lag_covariance
        Covariance of the bin before (rows) with this one (columns); zero for the first.
    """

    theta: np.ndarray
    covariance: np.ndarray
    lag_covariance: np.ndarray


def smooth(filtered: Filtered, transition: np.ndarray) -> Smoothed:
    """Return the smoothed parameters, given F (parameter, parameter)."""
    theta, covariance = filtered.theta.copy(), filtered.covariance.copy()
    lag = np.zeros_like(covariance)
    ahead = filtered.covariance[:-1]
    if not np.array_equal(transition, np.eye(len(transition))):
        ahead = ahead @ transition.T
    kernels.smooth(ahead, filtered.predicted, filtered.predicted_precision, theta, covariance, lag)
    return Smoothed(theta, covariance, lag)
