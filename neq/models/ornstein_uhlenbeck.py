r"""Ornstein-Uhlenbeck process: continuous linear dynamics with noise, and its exact entropy production.

Of :math:`du = -A u\, dt + \sqrt{2 D}\, dW` the stationary covariance solves :math:`A S + S A^T = 2 D`. What keeps the
state from equilibrium is the antisymmetric :math:`Q = A S - D`, which turns the state round in the probability current
:math:`-Q S^{-1} u\, p(u)`. The entropy production per unit time [1]_ is

.. math:: \sigma = \mathrm{Tr} [ Q^T D^{-1} Q S^{-1} ] = \mathrm{Tr} [ A^T D^{-1} A S ] - \mathrm{Tr} A.

Substitution gives :math:`A Q + Q A^T = A D - D A^T`, which is what is solved here: close to equilibrium, where
:math:`A D` is symmetric, :math:`Q` then keeps its relative precision, and at equilibrium it is zero instead of a
rounding error.

Seen at intervals :math:`\tau` only, the process is a :class:`~neq.models.GaussianChain` with
:math:`E = e^{-A \tau}` and noise :math:`\int_0^\tau e^{-A t} 2 D e^{-A^T t} dt`. Its entropy production per interval is
at most :math:`\sigma \tau`, and approaches it as :math:`\tau \to 0`.

References
----------
.. [1] Godreche & Luck, "Characterising the nonequilibrium stationary states of Ornstein-Uhlenbeck processes",
   J. Phys. A 52, 035002 (2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from neq.errors import ModelError

from .gaussian_chain import GaussianChain, checked_covariance, checked_square


@dataclass(frozen=True, eq=False, kw_only=True)
class OrnsteinUhlenbeck:
    r"""Stationary process du = -A u dt + sqrt(2 D) dW.

    Parameters
    ----------
    drift
        A (unit, unit), in 1 / time; the real parts of its eigenvalues are positive.
    diffusion
        D (unit, unit), symmetric and positive definite. Where D is singular entropy production is infinite, unless
        nothing irreversible happens along the directions without noise: that is refused.

    Raises
    ------
    ModelError
        The drift is not stable, the diffusion no positive definite covariance, or the shapes do not fit.

    Examples
    --------
    Attraction at rate 1 and rotation at frequency 2 produce 2 omega^2 / k:

    >>> model = OrnsteinUhlenbeck(drift=np.array([[1.0, -2.0], [2.0, 1.0]]), diffusion=np.eye(2))
    >>> round(model.entropy_production_rate(), 12)
    8.0
    """

    drift: np.ndarray
    diffusion: np.ndarray

    def __post_init__(self) -> None:
        for name in ("drift", "diffusion"):
            object.__setattr__(self, name, checked_square(getattr(self, name), name))
        checked_covariance(self.diffusion, "diffusion", len(self.drift))
        slowest = float(linalg.eigvals(self.drift).real.min())
        if slowest <= 1e-14 * np.abs(self.drift).max():
            raise ModelError(
                "expected a stable drift A in du = -A u dt, all eigenvalues with a positive real part; "
                f"found a real part of {slowest:.3g}"
            )

    @property
    def n_unit(self) -> int:
        """Number of units."""
        return len(self.drift)

    @cached_property
    def circulation(self) -> np.ndarray:
        """Antisymmetric Q = A S - D (unit, unit): the part of A S that detailed balance forbids."""
        forced = self.drift @ self.diffusion
        solution = linalg.solve_continuous_lyapunov(self.drift, forced - forced.T)
        return (solution - solution.T) / 2

    @property
    def is_reversible(self) -> bool:
        """Whether detailed balance holds: A D is symmetric, to rounding.

        Then S = A^-1 D solves the equation of S, A S = D is symmetric, and no current flows.
        """
        forced = self.drift @ self.diffusion
        return bool(np.abs(forced - forced.T).max() <= 1e-13 * self.n_unit * np.abs(forced).max())

    @cached_property
    def _covariance(self) -> np.ndarray:
        covariance = linalg.solve(self.drift, self.circulation + self.diffusion)
        return (covariance + covariance.T) / 2

    def stationary_covariance(self) -> np.ndarray:
        """Return the stationary covariance S (unit, unit)."""
        return self._covariance.copy()

    def lagged_covariance(self, interval: float) -> np.ndarray:
        """Return the stationary covariance (later unit, earlier unit) of states ``interval`` apart."""
        if interval < 0:
            return self.lagged_covariance(-interval).T
        return linalg.expm(-self.drift * interval) @ self._covariance

    def entropy_production_rate(self) -> float:
        """Return the exact entropy production in nats per unit time."""
        noise_root = np.linalg.cholesky(self.diffusion)
        state_root = np.linalg.cholesky(self._covariance)
        half = linalg.solve_triangular(noise_root, self.circulation, lower=True)
        return float(np.sum(linalg.solve_triangular(state_root, half.T, lower=True) ** 2))

    def entropy_production(self, interval: float) -> float:
        """Return the exact entropy production in nats per transition of the process seen every ``interval``."""
        return self.sampled(interval).entropy_production() if self.circulation.any() else 0.0

    def sampled(self, interval: float) -> GaussianChain:
        """Return the chain of states seen every ``interval``; exact for any interval.

        The noise is integrated over an interval of a few hundredths of the fastest time and doubled from there on: a
        sum of positive terms, where S - E S E^T would lose all digits of a short interval.

        Examples
        --------
        >>> model = OrnsteinUhlenbeck(drift=np.eye(1), diffusion=np.eye(1))
        >>> model.sampled(np.log(2.0)).noise
        array([[0.75]])
        """
        if not 0.0 < interval < np.inf:
            raise ModelError(f"expected an interval above 0, got {interval}")
        size = linalg.norm(self.drift, 1) * interval
        n_double = max(0, int(np.ceil(np.log2(size))) + 3)
        propagator, noise = self._short(interval / 2.0**n_double)
        for _ in range(n_double):
            noise = noise + propagator @ noise @ propagator.T
            propagator = propagator @ propagator
        return GaussianChain(propagator=propagator, noise=(noise + noise.T) / 2, stationary=self._covariance)

    def _short(self, interval: float) -> tuple[np.ndarray, np.ndarray]:
        """Return propagator and noise (unit, unit) of a short interval from one exponential (C. F. Van Loan, 1978)."""
        n_unit, zero = self.n_unit, np.zeros_like(self.drift)
        block = linalg.expm(np.block([[self.drift, 2.0 * self.diffusion], [zero, -self.drift.T]]) * interval)
        propagator = block[n_unit:, n_unit:].T
        return propagator, propagator @ block[:n_unit, n_unit:]

    def stream(
        self,
        n_step: int,
        interval: float,
        *,
        seed: np.random.Generator | int = 0,
        start: np.ndarray | None = None,
        block: int = 8192,
    ) -> Iterator[np.ndarray]:
        """Yield states ``interval`` apart as blocks (step, unit), exact in distribution: see GaussianChain.stream."""
        return self.sampled(interval).stream(n_step, seed=seed, start=start, block=block)

    def simulate(
        self,
        n_step: int,
        interval: float,
        *,
        seed: np.random.Generator | int = 0,
        start: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the states (step, unit) of one run, ``interval`` apart.

        Examples
        --------
        >>> OrnsteinUhlenbeck(drift=np.eye(2), diffusion=np.eye(2)).simulate(100, 0.1).shape
        (100, 2)
        """
        return self.sampled(interval).simulate(n_step, seed=seed, start=start)

    def restarts(
        self,
        n_step: int,
        interval: float,
        *,
        n_restart: int = 1000,
        first: int = 0,
        seed: int = 0,
        block: int = 8192,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of a run and a block (step, unit) of its states: see GaussianChain.restarts."""
        return self.sampled(interval).restarts(n_step, n_restart=n_restart, first=first, seed=seed, block=block)
