"""Filter of one unit of a kinetic Ising model: logistic regression on who was active in the bin before.

Inputs are lists of active units, as few are active: ``active[first[t, l] : first[t, l + 1]]`` are the features of trial
``l`` in bin ``t``, unit ``j`` being feature ``j + 1``; feature 0 is always there.
"""

from __future__ import annotations

import numpy as np

from . import symmetric
from ._jit import kernel


@kernel
def log_one_plus_exp(field):
    """Return ln(1 + e^field) without overflow."""
    return max(field, 0.0) + np.log1p(np.exp(-abs(field)))


@kernel
def log_normaliser(theta, active, first, n_trial):
    """Return the sum over trials of ln(1 + e^field)."""
    total = 0.0
    for trial in range(n_trial):
        field = theta[0]
        for k in range(first[trial], first[trial + 1]):
            field += theta[active[k]]
        total += log_one_plus_exp(field)
    return total


@kernel
def slope(theta, active, first, n_trial, gradient, curvature):
    """Write the sum over trials of expected features and its derivative (lower triangle)."""
    gradient[:] = 0.0
    curvature[:] = 0.0
    for trial in range(n_trial):
        begin, end = first[trial], first[trial + 1]
        field = theta[0]
        for k in range(begin, end):
            field += theta[active[k]]
        rate = 1.0 / (1.0 + np.exp(-field))
        weight = rate * (1.0 - rate)
        gradient[0] += rate
        curvature[0, 0] += weight
        for k in range(begin, end):
            feature = active[k]
            gradient[feature] += rate
            curvature[feature, 0] += weight
            for q in range(begin, k + 1):
                curvature[feature, active[q]] += weight


@kernel
def filter_unit(
    observed,
    active,
    first,
    n_trial,
    start_covariance,
    noise,
    tolerance,
    max_step,
    theta,
    covariance,
    predicted,
    predicted_covariance,
    predicted_precision,
):
    """Filter one unit through all bins; parameters are 0 with ``start_covariance`` before the first.

    ``observed`` (time, parameter) are sums over trials of the features of those in which the unit was active.
    ``theta`` (time, parameter) holds where the searches begin, and then the modes.

    Returns
    -------
    tuple
        The log marginal likelihood, and the first bin whose search does not end, -1 where all do.
    """
    n_time, n_parameter = observed.shape
    gradient = np.empty(n_parameter)
    curvature, lower = np.empty((n_parameter, n_parameter)), np.empty((n_parameter, n_parameter))
    likelihood = 0.0
    for t in range(n_time):
        if t == 0:
            predicted[t] = 0.0
            predicted_covariance[t] = start_covariance
        else:
            predicted[t] = theta[t - 1]
            predicted_covariance[t] = covariance[t - 1] + noise
        likelihood -= 0.5 * symmetric.factorise(predicted_covariance[t], lower)
        symmetric.invert(lower, predicted_precision[t])
        for _ in range(max_step + 1):
            slope(theta[t], active, first[t], n_trial, gradient, curvature)
            gradient += predicted_precision[t] @ (theta[t] - predicted[t]) - observed[t]
            for i in range(n_parameter):
                for j in range(i + 1):
                    curvature[i, j] += predicted_precision[t, i, j]
            log_determinant = symmetric.factorise(curvature, lower)
            steepest = np.max(np.abs(gradient))
            symmetric.solve(lower, gradient)
            theta[t] -= gradient
            # the step that follows the last look is taken too: at its end the gradient is next to nothing
            if steepest <= tolerance * n_trial:
                break
        if steepest > tolerance * n_trial or not np.all(np.isfinite(theta[t])):
            return likelihood, t
        symmetric.invert(lower, covariance[t])
        normaliser = log_normaliser(theta[t], active, first[t], n_trial)
        apart = theta[t] - predicted[t]
        likelihood += theta[t] @ observed[t] - normaliser - 0.5 * log_determinant
        likelihood -= 0.5 * (apart @ (predicted_precision[t] @ apart))
    return likelihood, -1
