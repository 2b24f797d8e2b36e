r"""Stationary Gaussian chain in discrete time, with its exact entropy production.

Of :math:`x' = E x + \text{noise}`, noise of covariance :math:`N`, the stationary covariance solves
:math:`S = E S E^T + N`. Earlier and later state are jointly Gaussian with :math:`\langle x' x^T \rangle = C = E S`, and
so are they exchanged. The Kullback-Leibler divergence of the two laws is the mean of half the difference of two
quadratic forms. In it count only the blocks between earlier and later state, as the marginal laws are the same:

.. math:: \Sigma = \tfrac12 \mathrm{Tr} [ (N^{-1} E - E^T N^{-1})^T (C - C^T) ].

It is zero where :math:`C` is symmetric, and the first factor then is, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from neq.errors import ModelError
from neq.kernels import autoregression

from .network import check_counts


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianChain:
    """Stationary chain x' = E x + noise.

    Parameters
    ----------
    propagator
        E (unit, unit), all of whose eigenvalues are smaller than 1 in size.
    noise
        Covariance (unit, unit) of the noise of one step, positive definite.
    stationary
        Stationary covariance (unit, unit) where it is known better than the equation gives it.

    Raises
    ------
    ModelError
        The chain is not stable, the noise no positive definite covariance, or the shapes do not fit.

    Examples
    --------
    >>> chain = GaussianChain(propagator=np.array([[0.5, -0.5], [0.5, 0.5]]), noise=np.eye(2))
    >>> np.diag(chain.covariance())
    array([2., 2.])
    >>> round(chain.entropy_production(), 12)
    2.0
    """

    propagator: np.ndarray
    noise: np.ndarray
    stationary: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("propagator", "noise"):
            object.__setattr__(self, name, checked_square(getattr(self, name), name))
        checked_covariance(self.noise, "noise", len(self.propagator))
        if self.stationary is not None:
            checked_covariance(checked_square(self.stationary, "stationary"), "stationary", len(self.propagator))
        radius = float(np.abs(linalg.eigvals(self.propagator)).max())
        if self.stationary is None and radius >= 1.0:
            raise ModelError(f"expected a propagator with all eigenvalues below 1 in size, found {radius:.6g}")

    @property
    def n_unit(self) -> int:
        """Number of units."""
        return len(self.propagator)

    @cached_property
    def _covariance(self) -> np.ndarray:
        if self.stationary is not None:
            return self.stationary
        covariance = linalg.solve_discrete_lyapunov(self.propagator, self.noise)
        return (covariance + covariance.T) / 2

    def covariance(self) -> np.ndarray:
        """Return the stationary covariance (unit, unit)."""
        return self._covariance.copy()

    def lagged_covariance(self, lag: int = 1) -> np.ndarray:
        """Return the covariance (later unit, earlier unit) of states ``lag`` steps apart."""
        if lag < 0:
            return self.lagged_covariance(-lag).T
        return np.linalg.matrix_power(self.propagator, lag) @ self._covariance

    def entropy_production(self) -> float:
        """Return the exact entropy production in nats per step."""
        lagged = self.lagged_covariance()
        form = linalg.cho_solve(linalg.cho_factor(self.noise), self.propagator)
        return max(0.0, float(np.sum((form - form.T) * (lagged - lagged.T)) / 2))

    # --- sampling

    def stream(
        self,
        n_step: int,
        *,
        seed: np.random.Generator | int = 0,
        start: np.ndarray | None = None,
        block: int = 8192,
    ) -> Iterator[np.ndarray]:
        """Yield states as blocks (step, unit), exact in distribution; the size of the blocks changes no value.

        Parameters
        ----------
        n_step
            Number of states.
        seed
            A generator, which is advanced, or the root of a new one.
        start
            State (unit,) one step before the first; by default it is drawn from the stationary law.
        block
            Largest number of states held at once.
        """
        check_counts(n_step=(n_step, 0), block=(block, 1))
        generator = np.random.default_rng(seed)
        state = np.array(self._draw(generator) if start is None else start, dtype=float)
        if state.shape != (self.n_unit,) or not np.isfinite(state).all():
            raise ModelError(f"expected start as {self.n_unit} finite numbers, got shape {state.shape}")
        forward, root = np.ascontiguousarray(self.propagator.T), np.linalg.cholesky(self.noise).T.copy()
        for first in range(0, n_step, block):
            out = generator.standard_normal((min(block, n_step - first), self.n_unit))
            autoregression.advance(forward, root, state, out)
            yield out

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.linalg.cholesky(self._covariance) @ generator.standard_normal(self.n_unit)

    def simulate(
        self, n_step: int, *, seed: np.random.Generator | int = 0, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the states (step, unit) of one run; the arguments are those of :meth:`stream`.

        Examples
        --------
        >>> GaussianChain(propagator=0.5 * np.eye(3), noise=np.eye(3)).simulate(100).shape
        (100, 3)
        """
        blocks = list(self.stream(n_step, seed=seed, start=start))
        return np.concatenate(blocks) if blocks else np.empty((0, self.n_unit))

    def restarts(
        self, n_step: int, *, n_restart: int = 1000, first: int = 0, seed: int = 0, block: int = 8192
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of a run and a block (step, unit) of its states, run after run.

        Parameters
        ----------
        n_step
            States of each run.
        n_restart, first
            Number of independent runs, and number of the first: run k has the k-th stream spawned from ``seed``.
        seed
            Root of all streams.
        block
            Largest number of states held at once.
        """
        check_counts(n_restart=(n_restart, 1), first=(first, 0))
        for run in range(first, first + n_restart):
            stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(run,)))
            for states in self.stream(n_step, seed=stream, block=block):
                yield run, states


def checked_square(matrix: np.ndarray, name: str) -> np.ndarray:
    """Return a square matrix of finite numbers as floats, or raise ModelError."""
    values = np.ascontiguousarray(matrix, dtype=float)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not len(values):
        raise ModelError(f"expected {name} as a square matrix (unit, unit), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ModelError(f"{name} must hold finite numbers; found NaN or infinity")
    return values


def checked_covariance(matrix: np.ndarray, name: str, n_unit: int) -> None:
    """Raise ModelError unless a matrix is (n_unit, n_unit), symmetric to rounding, and positive definite."""
    if len(matrix) != n_unit:
        raise ModelError(f"expected {name} of {n_unit} units, got shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-10, atol=1e-12 * np.abs(matrix).max()):
        raise ModelError(f"expected a symmetric {name}; found entries that differ from their mirror image")
    value = linalg.eigvalsh(matrix)
    if value[0] <= 1e-14 * n_unit * value[-1]:
        raise ModelError(
            f"expected a positive definite {name}, found eigenvalues from {value[0]:.3g} to {value[-1]:.3g}: "
            "along a direction without noise every irreversible flow would cost infinite entropy production"
        )
