r"""State-space Ising model: an Ising model of each time bin, whose parameters change smoothly from bin to bin [1]_.

:math:`\theta_t = F \theta_{t-1} + U u_t + \xi_t` with :math:`\xi_t \sim N(0, Q)`; the words of all trials of a bin are
drawn from the Ising model of :math:`\theta_t`. Its posterior is found by a filter and a smoother (E step) whose
updates are Laplace approximations, and :math:`Q`, :math:`F`, :math:`U` and the mean of the first bin by maximum
likelihood (M step), in turn until the marginal likelihood rises no more.

References
----------
.. [1] Shimazaki, Amari, Brown & Gruen, "State-space analysis of time-varying higher-order spike correlation for
   multiple neural spike train data", PLoS Comput. Biol. 8, e1002385 (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neq.errors import IsingError

from .ascent import ascend
from .binned import checked_spikes
from .filtering import Filtered, StateModel, laplace_filter
from .m_step import MStep, NoiseForm, updated
from .patterns import Patterns
from .smoothing import Smoothed, smooth

SEARCH_TOLERANCE = 1e-8
"""Largest gradient per trial at the mode of a bin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StateSpaceIsingResult:
    """A fitted model.

    Parameters
    ----------
    patterns
        Words and parameters.
    n_trial
        Trials of each bin.
    y
        Means over trials of the products of each set (time, parameter).
    theta_s, sigma_s
        Smoothed mean and covariance (time, parameter), (time, parameter, parameter).
    eta_s
        Expectations at ``theta_s`` (time, parameter).
    theta_f, sigma_f
        Filtered mode and covariance.
    theta_o, sigma_o
        Mean and covariance one step ahead.
    sigma_s_lag
        Covariance of the bin before (rows) with each one (columns); zero for the first.
    Q, F, U
        Noise, transition and gain of the state model.
    mll, mll_list
        Approximate log marginal likelihood (nats) after the last and after each iteration.
    n_iteration, converged
        How the iterations ended; not converged: at their greatest number.
    """

    patterns: Patterns
    n_trial: int
    y: np.ndarray
    theta_s: np.ndarray
    sigma_s: np.ndarray
    eta_s: np.ndarray
    theta_f: np.ndarray
    sigma_f: np.ndarray
    theta_o: np.ndarray
    sigma_o: np.ndarray
    sigma_s_lag: np.ndarray
    Q: np.ndarray
    F: np.ndarray
    U: np.ndarray
    mll: float
    mll_list: np.ndarray
    n_iteration: int
    converged: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class StateSpaceIsing:
    """State-space Ising model of spikes in repeated trials; defaults are those of the public package ``ssll``.

    Parameters
    ----------
    order
        Units of the largest sets with a parameter: 1 independent units, 2 pairs.
    window
        Bins joined to one before the fit.
    state_cov
        Noise Q to begin with: a number (the same for all parameters, fitted as one), two numbers (units, and sets of
        more; fitted each by itself), a vector or a matrix of all parameters; None: none, parameters do not change.
    state_ar
        Transition F to begin with (parameter, parameter); None: the identity, not fitted.
    theta_o, sigma_o
        Mean (number or (parameter,)) and variance of the parameters of the first bin before it is seen.
    max_iter
        Greatest number of iterations.
    tolerance
        They end where the log marginal likelihood rises by no more than this, relative to itself.
    mstep
        False: state model as given.
    form
        ``"ssll"`` or ``"textbook"``, see :func:`neq.ising.m_step.updated`; they differ where F is fitted.
    stationary
        All bins as trials of one.

    Examples
    --------
    >>> spikes = np.random.default_rng(0).random((5, 200, 3)) < 0.2
    >>> result = StateSpaceIsing(order=2).fit(spikes)
    >>> result.theta_s.shape, result.converged
    ((5, 6), True)
    """

    order: int = 2
    window: int = 1
    state_cov: float | Sequence[float] | np.ndarray | None = 0.01
    state_ar: np.ndarray | None = None
    theta_o: float | np.ndarray = 0.0
    sigma_o: float = 0.1
    max_iter: int = 100
    tolerance: float = 1e-4
    mstep: bool = True
    form: MStep = "ssll"
    stationary: bool = False

    def fit(
        self,
        spikes: np.ndarray,
        exogenous: np.ndarray | None = None,
        progress: Callable[[int, float], Any] = lambda iteration, mll: None,
    ) -> StateSpaceIsingResult:
        """Fit the model.

        Parameters
        ----------
        spikes
            0 or 1 (time, trial, unit).
        exogenous
            Input u of each bin (time, input), after ``window``; its gain U is fitted.
        progress
            Called with the number of each iteration and the log marginal likelihood after it.

        Raises
        ------
        IsingError
            Spikes or options are not usable.
        """
        binary = checked_spikes(spikes, self.window)
        given = _checked_input(exogenous, len(binary))
        if self.stationary:
            binary, given = binary.reshape(1, -1, binary.shape[2]), given.mean(axis=0, keepdims=True)
        patterns = Patterns(binary.shape[2], self.order)
        mean = patterns.products(binary).mean(axis=1)
        fit = _Fit(self, patterns, mean, binary.shape[1], given)
        start = -binary.size * np.log(2.0)  # of parameters that are all zero
        mll_list, converged = ascend(fit.iterate, start, self.max_iter, self.tolerance, progress)
        return fit.result(mll_list, converged)

    def start(self, patterns: Patterns, n_input: int) -> tuple[StateModel, NoiseForm]:
        """Return the state model to begin with, and what of its noise is fitted."""
        n_parameter = patterns.n_parameter
        noise, form = _noise(None if self.stationary else self.state_cov, patterns)
        transition = np.eye(n_parameter) if self.state_ar is None else np.array(self.state_ar, dtype=float)
        if transition.shape != (n_parameter, n_parameter):
            raise IsingError(
                f"Expected state_ar of shape {(n_parameter, n_parameter)}, found {transition.shape}; give F of all "
                f"{n_parameter} parameters."
            )
        if not self.sigma_o > 0:
            raise IsingError(f"Expected a variance sigma_o above 0, found {self.sigma_o}.")
        start = np.broadcast_to(np.asarray(self.theta_o, dtype=float), n_parameter).copy()
        covariance = self.sigma_o * np.eye(n_parameter)
        return StateModel(start, covariance, transition, noise, np.zeros((n_parameter, n_input))), form


class _Fit:
    """What the iterations change."""

    filtered: Filtered
    smoothed: Smoothed

    def __init__(
        self, options: StateSpaceIsing, patterns: Patterns, mean: np.ndarray, n_trial: int, exogenous: np.ndarray
    ) -> None:
        self.options, self.patterns, self.mean = options, patterns, mean
        self.n_trial, self.exogenous = n_trial, exogenous
        self.model, self.noise = options.start(patterns, exogenous.shape[1])
        self.theta = np.zeros_like(mean)

    def iterate(self) -> float:
        """Make one E step and one M step and return the log marginal likelihood."""
        options, given = self.options, self.exogenous
        self.filtered = laplace_filter(
            self.patterns, self.mean, self.n_trial, self.model, given, self.theta, SEARCH_TOLERANCE
        )
        self.smoothed = smooth(self.filtered, self.model.transition)
        self.theta = self.smoothed.theta
        if options.mstep:
            fit_transition = options.state_ar is not None
            self.model = updated(self.model, self.smoothed, given, self.noise, fit_transition, options.form)
        # of the first bin with its new mean, of the others as they were predicted: so ssll has it
        self.filtered.predicted[0] = self.model.start_mean
        return _marginal_likelihood(self.filtered, self.mean, self.n_trial)

    def result(self, mll_list: Sequence[float], converged: bool) -> StateSpaceIsingResult:
        """Return what the last iteration left."""
        return StateSpaceIsingResult(
            patterns=self.patterns,
            n_trial=self.n_trial,
            y=self.mean,
            theta_s=self.smoothed.theta,
            sigma_s=self.smoothed.covariance,
            eta_s=np.array([self.patterns.expectations(theta) for theta in self.smoothed.theta]),
            theta_f=self.filtered.theta,
            sigma_f=self.filtered.covariance,
            theta_o=self.filtered.predicted,
            sigma_o=self.filtered.predicted_covariance,
            sigma_s_lag=self.smoothed.lag_covariance,
            Q=self.model.noise,
            F=self.model.transition,
            U=self.model.gain,
            mll=mll_list[-1],
            mll_list=np.array(mll_list),
            n_iteration=len(mll_list),
            converged=converged,
        )


def _noise(state_cov: Any, patterns: Patterns) -> tuple[np.ndarray, NoiseForm]:
    """Return Q to begin with, and what of it is fitted."""
    n_parameter, n_unit = patterns.n_parameter, patterns.n_unit
    value = np.zeros(()) if state_cov is None else np.asarray(state_cov, dtype=float)
    if value.shape in ((), (1,)):
        noise = float(value.reshape(-1)[0]) * np.eye(n_parameter)
        form: NoiseForm = "scalar" if value.any() else "none"
    elif value.shape == (2,) != (n_parameter,):
        noise, form = np.diag(np.repeat(value, [n_unit, n_parameter - n_unit])), "diagonal"
    elif value.shape == (n_parameter,):
        noise, form = np.diag(value), "diagonal"
    elif value.shape == (n_parameter, n_parameter):
        noise, form = value.copy(), "full"
    else:
        raise IsingError(
            f"Expected state_cov as one number, two, {n_parameter} of them or a matrix of shape "
            f"{(n_parameter, n_parameter)}, found shape {value.shape}."
        )
    smallest = np.linalg.eigvalsh((noise + noise.T) / 2).min() if np.isfinite(noise).all() else np.nan
    if form != "none" and not (smallest > 0 and np.allclose(noise, noise.T)):
        raise IsingError(
            f"Expected state_cov symmetric and positive definite, found {smallest:.3g} as its smallest eigenvalue."
        )
    return noise, form


def _checked_input(exogenous: np.ndarray | None, n_time: int) -> np.ndarray:
    given = np.zeros((n_time, 0)) if exogenous is None else np.asarray(exogenous, dtype=float)
    if given.ndim != 2 or len(given) != n_time or not np.isfinite(given).all():
        raise IsingError(
            f"Expected exogenous input as finite numbers of shape ({n_time}, inputs), found shape {given.shape}; "
            "one row for each bin (after window)."
        )
    return given


def _marginal_likelihood(filtered: Filtered, mean: np.ndarray, n_trial: int) -> float:
    """Return the Laplace approximation of the log probability of all spikes (nats)."""
    apart = (filtered.theta - filtered.predicted)[:, :, None]
    pull = (apart * (filtered.predicted_precision @ apart)).sum()
    fit = n_trial * ((mean * filtered.theta).sum() - filtered.log_normaliser.sum())
    return float(fit + 0.5 * (filtered.log_volume.sum() - pull))
