r"""State-space kinetic Ising model: who was active in the bin before decides who is active, by couplings that change.

:math:`P(x_{i,t} = 1 \mid x_{t-1}) = 1 / (1 + e^{-h})` with :math:`h = b_{i,t} + \sum_j J_{ij,t} x_{j,t-1}` [1]_.
The parameters of a unit follow a random walk with noise Q from :math:`N(0, S)`; their posterior is found by a Laplace
filter and a smoother, Q and S by maximum likelihood, in turn.

References
----------
.. [1] Ishihara & Shimazaki, "State-space kinetic Ising model reveals task-dependent entropy flow in sparsely active
   nonequilibrium neuronal dynamics", arXiv:2502.15440.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neq.errors import IsingError
from neq.kernels import ising as smoothing_kernels
from neq.kernels import kinetic_ising as kernels

from .ascent import ascend
from .binned import checked_spikes
from .entropy_flow import EntropyFlow, entropy_flow
from .m_step import shaped

SEARCH_TOLERANCE = 1e-5
"""Largest gradient per trial before the last step of a search."""
MAX_STEP = 5000
NoiseForm = Literal["scalar", "diagonal", "full"]


@dataclass(frozen=True, eq=False, kw_only=True)
class KineticStateSpaceIsingResult:
    """A fitted model; parameter 0 of unit i is its bias b, parameter j + 1 the effect J of unit j on it.

    Parameters
    ----------
    theta_s, sigma_s
        Smoothed mean (time, unit, parameter) and covariance (time, unit, parameter, parameter) of the transition
        from bin t to bin t + 1 of the spikes.
    theta_f, theta_o
        Filtered mode, and mean one step ahead (time, unit, parameter).
    Q, S
        Noise and covariance of the first bin (unit, parameter, parameter).
    rate
        Share of all bins and trials in which each unit is active (unit,).
    n_trial
        Trials.
    mll, mll_list
        Approximate log marginal likelihood (nats) after the last and after each iteration.
    aic
        Akaike's criterion.
    n_iteration, converged
        How the iterations ended; not converged: at their greatest number.
    """

    theta_s: np.ndarray
    sigma_s: np.ndarray
    theta_f: np.ndarray
    theta_o: np.ndarray
    Q: np.ndarray
    S: np.ndarray
    rate: np.ndarray
    n_trial: int
    mll: float
    mll_list: np.ndarray
    aic: float
    n_iteration: int
    converged: bool

    def entropy_flow(self, method: str = "auto") -> EntropyFlow:
        """Return the entropy flow at ``theta_s``; see :func:`neq.ising.entropy_flow.entropy_flow`."""
        return entropy_flow(self.theta_s, self.rate, method)


@dataclass(frozen=True, kw_only=True)
class KineticStateSpaceIsing:
    """State-space kinetic Ising model of spikes in repeated trials.

    Parameters
    ----------
    state_cov
        What of Q is fitted for each unit: one number, its diagonal, or all of it; None: parameters do not change.
    noise, start
        Variances that Q and S begin with.
    max_iter
        Greatest number of iterations.
    tolerance
        They end where the log marginal likelihood rises by no more than this, relative to itself.
    n_jobs
        Units fitted at the same time; the result is the same.

    Examples
    --------
    >>> spikes = np.random.default_rng(0).random((6, 100, 3)) < 0.2
    >>> result = KineticStateSpaceIsing(max_iter=3).fit(spikes)
    >>> result.theta_s.shape
    (5, 3, 4)
    """

    state_cov: NoiseForm | None = "scalar"
    noise: float = 0.5
    start: float = 1.0
    max_iter: int = 100
    tolerance: float = 1e-5
    n_jobs: int = 1

    def fit(
        self, spikes: np.ndarray, progress: Callable[[int, float], Any] = lambda iteration, mll: None
    ) -> KineticStateSpaceIsingResult:
        """Fit the model.

        Parameters
        ----------
        spikes
            0 or 1 (time, trial, unit); the first bin is only what the second one follows.
        progress
            Called with the number of each iteration and the log marginal likelihood after it.

        Raises
        ------
        IsingError
            Spikes or options are not usable.
        """
        binary = checked_spikes(spikes)
        if len(binary) < 2:
            raise IsingError(f"Expected two bins or more, as one follows another; found {len(binary)}.")
        if not (self.noise > 0 and self.start > 0 and self.max_iter >= 1):
            raise IsingError(
                "Expected variances noise and start above 0 and max_iter of 1 or more, found "
                f"{self.noise}, {self.start} and {self.max_iter}."
            )
        fit = _Fit(self, binary)
        start = -binary[1:].size * np.log(2.0)  # of parameters that are all zero
        mll_list, converged = ascend(fit.iterate, start, self.max_iter, self.tolerance, progress)
        return KineticStateSpaceIsingResult(
            **fit.found,
            rate=binary.mean(axis=(0, 1)),
            n_trial=binary.shape[1],
            mll=mll_list[-1],
            mll_list=np.array(mll_list),
            aic=-2.0 * mll_list[-1] + 2.0 * _n_free(self.state_cov, binary.shape[2]),
            n_iteration=len(mll_list),
            converged=converged,
        )


class _Fit:
    """What the iterations change."""

    def __init__(self, options: KineticStateSpaceIsing, binary: np.ndarray) -> None:
        self.options = options
        n_bin, self.n_trial, n_unit = binary.shape
        shape = (n_bin - 1, n_unit, n_unit + 1)
        self.active, self.first = _active_features(binary[:-1])
        features = np.concatenate([np.ones((n_bin - 1, self.n_trial, 1)), binary[:-1]], axis=2)
        summed = binary[1:].astype(float).transpose(0, 2, 1) @ features
        self.observed = np.ascontiguousarray(summed.transpose(1, 0, 2))
        identity = np.broadcast_to(np.eye(n_unit + 1), (n_unit, n_unit + 1, n_unit + 1))
        noise = 0.0 if options.state_cov is None else options.noise
        self.found = {name: np.zeros(shape) for name in ("theta_s", "theta_f", "theta_o")}
        self.found |= {"sigma_s": np.empty((*shape, n_unit + 1)), "Q": noise * identity, "S": options.start * identity}

    def iterate(self) -> float:
        """Make one E step and one M step of every unit and return the log marginal likelihood before the latter."""
        units = range(len(self.observed))
        if self.options.n_jobs == 1:
            return sum(map(self._unit, units))
        with ThreadPoolExecutor(self.options.n_jobs) as pool:
            return sum(pool.map(self._unit, units))

    def _unit(self, unit: int) -> float:
        found, observed = self.found, self.observed[unit]
        n_time, n_parameter = observed.shape
        theta, predicted = found["theta_f"][:, unit].copy(), np.empty(observed.shape)
        covariance, ahead, precision = np.empty((3, n_time, n_parameter, n_parameter))
        likelihood, failed = kernels.filter_unit(
            observed,
            self.active,
            self.first,
            self.n_trial,
            found["S"][unit],
            found["Q"][unit],
            SEARCH_TOLERANCE,
            MAX_STEP,
            theta,
            covariance,
            predicted,
            ahead,
            precision,
        )
        if failed >= 0:
            raise IsingError(f"The parameters of unit {unit} in bin {failed + 1} were not found; take more trials.")
        found["theta_f"][:, unit], found["theta_o"][:, unit] = theta, predicted
        lag = np.zeros_like(covariance)
        smoothing_kernels.smooth(covariance[:-1].copy(), predicted, precision, theta, covariance, lag)
        found["theta_s"][:, unit], found["sigma_s"][:, unit] = theta, covariance
        if self.options.state_cov is not None and n_time > 1:
            found["Q"][unit] = _noise(theta, covariance, lag, self.options.state_cov)
        found["S"][unit] = covariance[0] + np.outer(theta[0], theta[0])
        return float(likelihood)


def _noise(theta: np.ndarray, covariance: np.ndarray, lag: np.ndarray, form: NoiseForm) -> np.ndarray:
    """Return Q of one unit from its smoothed parameters."""
    step, crossed = np.diff(theta, axis=0), lag[1:].sum(axis=0)
    spread = covariance[1:].sum(axis=0) + covariance[:-1].sum(axis=0)
    return shaped((step.T @ step + spread - crossed - crossed.T) / len(step), form)


def _active_features(before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features that are there, trial by trial, and where each trial begins (time, trial + 1)."""
    n_time, n_trial, _ = before.shape
    edges = np.concatenate([[0], np.cumsum(before.sum(axis=2).ravel())])
    places = np.arange(n_time)[:, None] * n_trial + np.arange(n_trial + 1)
    return (np.nonzero(before)[2] + 1).astype(np.int32), edges[places]


def _n_free(state_cov: NoiseForm | None, n_unit: int) -> int:
    """Return the number of fitted numbers: of Q, as the authors count them, and of S."""
    n_parameter = n_unit + 1
    pairs = n_parameter * (n_parameter - 1) // 2
    noise = {None: 0, "scalar": 1, "diagonal": n_parameter, "full": pairs}[state_cov]
    return n_unit * (noise + n_parameter + pairs)
