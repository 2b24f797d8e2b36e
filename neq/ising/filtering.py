"""Parameters of each time bin from the bins up to it: a filter whose updates are Laplace approximations."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from neq.errors import IsingError
from neq.kernels import ising as kernels

from .patterns import Patterns

MAX_STEP = 5000
"""Newton steps of one bin after which the search is given up."""


@dataclass(frozen=True, eq=False)
class StateModel:
    r"""How parameters change: :math:`\theta_t = F \theta_{t-1} + U u_t + \xi_t` with :math:`\xi_t \sim N(0, Q)`.

    Parameters
    ----------
    start_mean, start_covariance
        Of the first bin before it is seen (parameter,), (parameter, parameter).
    transition
        F (parameter, parameter).
    noise
        Q (parameter, parameter).
    gain
        U (parameter, input).
    """

    start_mean: np.ndarray
    start_covariance: np.ndarray
    transition: np.ndarray
    noise: np.ndarray
    gain: np.ndarray


@dataclass(frozen=True, eq=False)
class Filtered:
    """What the bins up to each one say.

    Parameters
    ----------
    theta, covariance
        Mode and covariance given the bins up to this one (time, parameter), (time, parameter, parameter).
    predicted, predicted_covariance, predicted_precision
        Mean, covariance and its inverse given the bins before this one.
    log_normaliser
        At ``theta`` (time,).
    log_volume
        ln det of ``covariance`` less that of ``predicted_covariance`` (time,).
    """

    theta: np.ndarray
    covariance: np.ndarray
    predicted: np.ndarray
    predicted_covariance: np.ndarray
    predicted_precision: np.ndarray
    log_normaliser: np.ndarray
    log_volume: np.ndarray


def laplace_filter(
    patterns: Patterns,
    mean: np.ndarray,
    n_trial: int,
    model: StateModel,
    exogenous: np.ndarray,
    start: np.ndarray,
    tolerance: float,
) -> Filtered:
    """Return the filtered parameters.

    Parameters
    ----------
    patterns
        Words and parameters.
    mean
        Means over trials of the products of each set (time, parameter).
    n_trial
        Trials behind them.
    model
        How parameters change.
    exogenous
        Input of each bin (time, input).
    start
        Where each search begins (time, parameter).
    tolerance
        Largest gradient per trial at the mode.

    Raises
    ------
    IsingError
        A search does not end.
    """
    n_time, n_parameter = mean.shape
    vectors, matrices = (n_time, n_parameter), (n_time, n_parameter, n_parameter)
    found = Filtered(
        theta=start.copy(),
        covariance=np.empty(matrices),
        predicted=np.empty(vectors),
        predicted_covariance=np.empty(matrices),
        predicted_precision=np.empty(matrices),
        log_normaliser=np.empty(n_time),
        log_volume=np.empty(n_time),
    )
    found.predicted[0], found.predicted_covariance[0] = model.start_mean, model.start_covariance
    failed = kernels.laplace_filter(
        mean,
        float(n_trial),
        model.transition,
        not np.array_equal(model.transition, np.eye(n_parameter)),
        model.noise,
        exogenous @ model.gain.T,
        patterns.mask,
        patterns.union,
        patterns.n_unit,
        tolerance,
        MAX_STEP,
        *(getattr(found, field.name) for field in fields(Filtered)),
    )
    if failed >= 0:
        raise IsingError(
            f"The parameters of time bin {failed} were not found in {MAX_STEP} steps; take a smaller state_cov or "
            "sigma_o, or more trials."
        )
    return found
