"""New parameters of the state model from what all bins say (the M step)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from .filtering import StateModel
from .smoothing import Smoothed

NoiseForm = Literal["none", "scalar", "diagonal", "full"]
MStep = Literal["ssll", "textbook"]


def updated(
    model: StateModel,
    smoothed: Smoothed,
    exogenous: np.ndarray,
    noise: NoiseForm,
    fit_transition: bool,
    form: MStep,
) -> StateModel:
    """Return the state model after one M step: start, then Q, F and U, each from the latest of the others.

    Parameters
    ----------
    model
        Before.
    smoothed
        Given all bins under ``model``.
    exogenous
        Input of each bin (time, input).
    noise
        What of Q is fitted.
    fit_transition
        Whether F is fitted.
    form
        ``"textbook"``: expectations as they are. ``"ssll"``: as the public package has them, with the covariance of
        neighbours transposed, which makes no difference while F is the identity.
    """
    model = replace(model, start_mean=smoothed.theta[0].copy())
    if len(smoothed.theta) < 2:
        return model
    if noise != "none":
        model = replace(model, noise=_noise(model, smoothed, exogenous, noise, form))
    if fit_transition:
        model = replace(model, transition=_transition(model, smoothed, exogenous, form))
    if exogenous.shape[1]:
        model = replace(model, gain=_gain(model, smoothed, exogenous))
    return model


def _pairs(smoothed: Smoothed, form: MStep) -> np.ndarray:
    """Return Cov(theta_t, theta_t-1) of every bin but the first, with theta_t in the rows, or as ssll has it."""
    lag = smoothed.lag_covariance[1:]
    return lag.transpose(0, 2, 1) if form == "textbook" else lag


def _noise(model: StateModel, smoothed: Smoothed, exogenous: np.ndarray, noise: NoiseForm, form: MStep) -> np.ndarray:
    transition, theta, covariance = model.transition, smoothed.theta, smoothed.covariance
    step = theta[1:] - theta[:-1] @ transition.T - exogenous[1:] @ model.gain.T
    crossed = _pairs(smoothed, form).sum(axis=0) @ transition.T
    spread = covariance[1:].sum(axis=0) + transition @ covariance[:-1].sum(axis=0) @ transition.T
    return shaped((spread - crossed - crossed.T + step.T @ step) / len(step), noise)


def shaped(found: np.ndarray, noise: NoiseForm) -> np.ndarray:
    """Return what of a covariance (parameter, parameter) is fitted.

    Examples
    --------
    >>> shaped(np.array([[1.0, 0.5], [0.5, 3.0]]), "scalar").tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    if noise == "scalar":
        return float(np.trace(found)) / len(found) * np.eye(len(found))
    return np.diag(np.diag(found)) if noise == "diagonal" else (found + found.T) / 2


def _transition(model: StateModel, smoothed: Smoothed, exogenous: np.ndarray, form: MStep) -> np.ndarray:
    theta, before = smoothed.theta[1:] - exogenous[1:] @ model.gain.T, smoothed.theta[:-1]
    crossed = _pairs(smoothed, form).sum(axis=0) + theta.T @ before
    return np.linalg.solve((smoothed.covariance[:-1].sum(axis=0) + before.T @ before).T, crossed.T).T


def _gain(model: StateModel, smoothed: Smoothed, exogenous: np.ndarray) -> np.ndarray:
    step, given = smoothed.theta[1:] - smoothed.theta[:-1] @ model.transition.T, exogenous[1:]
    return np.linalg.solve(given.T @ given, given.T @ step).T
