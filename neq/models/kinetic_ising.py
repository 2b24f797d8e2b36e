r"""Kinetic Ising network: 0/1 units under Glauber dynamics, with its exact entropy production.

Units are :math:`s_i \in \{0, 1\}` and :math:`P(s'_i = 1 \mid s) = 1 / (1 + e^{-h_i})` with
:math:`h_i = b_i + \sum_j W_{ij} s_j`. Spins :math:`x = 2 s - 1` with fields :math:`H` and couplings :math:`J`, where
:math:`P(x'_i) \propto e^{\beta x'_i (H_i + \sum_j J_{ij} x_j)}`, are the same network with
:math:`W = 4 \beta J` and :math:`b = 2 \beta (H - J 1)`: see :meth:`KineticIsing.from_spins`.

In a stationary state the entropy production per step is the mean of
:math:`\ln P(s' \mid s) - \ln P(s \mid s')`, as :math:`\ln p(s) - \ln p(s')` averages to zero. All of it that is a
difference of a function of the state averages to zero too, and what is left is a mean over single states:

.. math:: \Sigma = c \sum_i \Big\langle P(s'_i = 1 \mid s) \sum_j \tfrac12 (W_{ij} - W_{ji}) s_j \Big\rangle

with :math:`c = 2` where all units update at once and :math:`c = 1 / N` per attempted update of one random unit. It is
exactly zero for symmetric couplings, in both dynamics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special
from scipy.sparse import csgraph

from neq.kernels import glauber

MAX_ENUMERATED = 12
"""Largest module whose states are enumerated: the matrix of 4096 x 4096 transitions takes 134 MB."""


@dataclass(frozen=True)
class EntropyProductionSample:
    """Monte Carlo estimate: ``value`` in nats per step, its ``standard_error`` over ``n_restart`` independent runs."""

    value: float
    standard_error: float
    n_restart: int


@dataclass(frozen=True, eq=False, kw_only=True)
class KineticIsing:
    """Network of 0/1 units under Glauber dynamics.

    Parameters
    ----------
    couplings
        W (target, source): how much an active source adds to the field of the target.
    bias
        b (unit,).
    dynamics
        ``"parallel"``: all units update in each step. ``"sequential"``: a step is the attempted update of one
        random unit; the diagonal of the couplings must then be zero.

    References
    ----------
    .. [1] Aguilera, Igarashi & Shimazaki, Nat. Commun. 14, 3685 (2023).

    Examples
    --------
    A unit that drives another and gets nothing back:

    >>> model = KineticIsing(couplings=np.array([[0.0, 0.0], [2.0, 0.0]]), bias=np.array([-1.0, -1.0]))
    >>> round(model.entropy_production(), 4)
    0.1817
    """

    couplings: np.ndarray
    bias: np.ndarray
    dynamics: Literal["parallel", "sequential"] = "parallel"

    def __post_init__(self) -> None:
        for name in ("couplings", "bias"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=float))
        n_unit = self.bias.size
        if self.bias.ndim != 1 or n_unit == 0 or self.couplings.shape != (n_unit, n_unit):
            raise ValueError(
                "expected bias (unit,) and couplings (unit, unit), "
                f"got shapes {self.bias.shape} and {self.couplings.shape}"
            )
        if not (np.isfinite(self.couplings).all() and np.isfinite(self.bias).all()):
            raise ValueError("couplings and bias must be finite numbers; found NaN or infinity")
        if self.dynamics not in ("parallel", "sequential"):
            raise ValueError(f"dynamics must be 'parallel' or 'sequential', got {self.dynamics!r}")
        if self.dynamics == "sequential" and np.diag(self.couplings).any():
            raise ValueError("sequential dynamics needs couplings with a zero diagonal; set W_ii = 0")

    @classmethod
    def from_spins(
        cls,
        couplings: np.ndarray,
        field: np.ndarray | None = None,
        *,
        beta: float = 1.0,
        dynamics: Literal["parallel", "sequential"] = "parallel",
    ) -> KineticIsing:
        """Return the network whose spins x = 2 s - 1 have these ``couplings`` (target, source) and ``field`` (unit,).

        Examples
        --------
        >>> KineticIsing.from_spins(np.array([[0.0, 1.0], [0.0, 0.0]]), beta=0.5).bias
        array([-1.,  0.])
        """
        couplings = np.asarray(couplings, dtype=float)
        field = np.zeros(len(couplings)) if field is None else np.asarray(field, dtype=float)
        bias = 2.0 * beta * (field - couplings.sum(axis=1))
        return cls(couplings=4.0 * beta * couplings, bias=bias, dynamics=dynamics)

    @property
    def n_unit(self) -> int:
        """Number of units."""
        return self.bias.size

    @property
    def modules(self) -> list[np.ndarray]:
        """Units (unit,) of each group that no coupling connects to the rest, in order of their first unit."""
        _, label = csgraph.connected_components(self.couplings != 0, directed=False)
        groups = [np.flatnonzero(label == value) for value in np.unique(label)]
        return sorted(groups, key=lambda group: int(group[0]))

    def select_units(self, units: np.ndarray) -> KineticIsing:
        """Return the network of these units alone, without the couplings that reach them from the others."""
        return KineticIsing(
            couplings=self.couplings[np.ix_(units, units)], bias=self.bias[units], dynamics=self.dynamics
        )

    # --- sampling

    def stream(
        self, n_step: int, *, seed: np.random.Generator | int = 0, burn_in: int = 1000, thin: int = 1, block: int = 8192
    ) -> Iterator[np.ndarray]:
        """Yield the states as blocks (step, unit) of bool, whose size changes no value.

        Parameters
        ----------
        n_step
            Number of states.
        seed
            A generator, which is advanced, or the root of a new one.
        burn_in
            Updates per unit made before the first state.
        thin
            Steps from one state to the next.
        block
            Largest number of states held at once.
        """
        generator = np.random.default_rng(seed)
        advance, couplings, sweep = glauber.parallel, np.ascontiguousarray(self.couplings.T), 1
        if self.dynamics == "sequential":
            advance, couplings, sweep = glauber.sequential, self.couplings, self.n_unit
        state = generator.random(self.n_unit) < special.expit(self.bias)
        advance(couplings, self.bias, state, generator, burn_in * sweep, np.empty((1, self.n_unit), dtype=bool))
        for start in range(0, n_step, block):
            out = np.empty((min(block, n_step - start), self.n_unit), dtype=bool)
            advance(couplings, self.bias, state, generator, thin, out)
            yield out

    def simulate(
        self, n_step: int, *, seed: np.random.Generator | int = 0, burn_in: int = 1000, thin: int = 1
    ) -> np.ndarray:
        """Return the states (step, unit) of one run as bool; the arguments are those of :meth:`stream`.

        Examples
        --------
        >>> model = KineticIsing(couplings=np.zeros((3, 3)), bias=np.full(3, -3.0))
        >>> model.simulate(1000).shape
        (1000, 3)
        """
        blocks = list(self.stream(n_step, seed=seed, burn_in=burn_in, thin=thin))
        return np.concatenate(blocks) if blocks else np.empty((0, self.n_unit), dtype=bool)

    def sample_entropy_production(
        self, n_step: int, *, n_restart: int = 20, seed: int = 0, burn_in: int = 1000, thin: int = 1
    ) -> EntropyProductionSample:
        """Estimate the entropy production per step without bias, for networks too large to enumerate.

        Parameters
        ----------
        n_step
            States per run.
        n_restart
            Independent runs, each on its own stream spawned from ``seed``; the standard error is taken over them.
        """
        if n_restart < 2 or n_step < 1:
            raise ValueError(f"expected n_restart >= 2 and n_step >= 1, got {n_restart} and {n_step}")
        streams = np.random.SeedSequence(seed).spawn(n_restart)
        runs = np.array([self._run_dissipation(n_step, stream, burn_in, thin) for stream in streams])
        return EntropyProductionSample(float(runs.mean()), float(runs.std(ddof=1) / np.sqrt(n_restart)), n_restart)

    def _run_dissipation(self, n_step: int, stream: np.random.SeedSequence, burn_in: int, thin: int) -> float:
        """Return the entropy production per step along one run."""
        blocks = self.stream(n_step, seed=np.random.default_rng(stream), burn_in=burn_in, thin=thin)
        incoming, antisymmetric = np.ascontiguousarray(self.couplings.T), np.ascontiguousarray(self._antisymmetric.T)
        total = sum(glauber.dissipation(incoming, antisymmetric, self.bias, block) for block in blocks)
        return self._factor * total / n_step

    # --- exact values by enumeration

    @property
    def _antisymmetric(self) -> np.ndarray:
        """Return the antisymmetric part of the couplings (target, source)."""
        return (self.couplings - self.couplings.T) / 2

    @property
    def _factor(self) -> float:
        """Return c of the module's formula."""
        return 2.0 if self.dynamics == "parallel" else 1.0 / self.n_unit

    def log_transition(self) -> np.ndarray:
        """Return ln P(later | earlier) as (earlier, later) over all 2^n states; bit i of a state's number is unit i."""
        states = _states(self.n_unit)
        field = states @ self.couplings.T + self.bias
        if self.dynamics == "parallel":
            joint: np.ndarray = field @ states.T - np.logaddexp(0.0, field).sum(axis=1, keepdims=True)
            return joint
        flip = special.expit(np.where(states == 0, field, -field)) / self.n_unit
        number = np.arange(len(states))
        probability = np.diag(1.0 - flip.sum(axis=1))
        for unit in range(self.n_unit):
            probability[number, number ^ (1 << unit)] = flip[:, unit]
        with np.errstate(divide="ignore"):
            return np.log(probability)

    def stationary(self) -> np.ndarray:
        """Return the stationary probability (state,) of all 2^n states.

        Examples
        --------
        >>> KineticIsing(couplings=np.zeros((1, 1)), bias=np.array([np.log(3.0)])).stationary()
        array([0.25, 0.75])
        """
        system = np.exp(self.log_transition()).T
        system[np.diag_indices_from(system)] -= 1.0
        system[-1] = 1.0
        norm = np.zeros(len(system))
        norm[-1] = 1.0
        probability = np.linalg.solve(system, norm).clip(min=0.0)
        return probability / probability.sum()

    def activity(self) -> np.ndarray:
        """Return the exact stationary mean (unit,) of each unit, module by module."""
        mean = np.empty(self.n_unit)
        for module in self.modules:
            mean[module] = self.select_units(module).stationary() @ _states(len(module))
        return mean

    def module_entropy_production(self) -> np.ndarray:
        """Return what each of :attr:`modules` adds to the exact entropy production (module,), in nats per step.

        Raises
        ------
        ValueError
            A module has more than 12 units: use :meth:`sample_entropy_production`.
        """
        return np.array([self._factor * self.select_units(module)._dissipation() for module in self.modules])

    def entropy_production(self) -> float:
        """Return the exact entropy production in nats per step: per bin, or per attempted update."""
        return float(self.module_entropy_production().sum())

    def _dissipation(self) -> float:
        """Return the stationary mean of what the kernel of this name sums."""
        if not self._antisymmetric.any():
            return 0.0
        probability, states = self.stationary(), _states(self.n_unit)
        active = special.expit(states @ self.couplings.T + self.bias)
        return float(probability @ (active * (states @ self._antisymmetric.T)).sum(axis=1))


def _states(n_unit: int) -> np.ndarray:
    """Return all states (state, unit) as 0.0 and 1.0."""
    if n_unit > MAX_ENUMERATED:
        raise ValueError(
            f"a module of {n_unit} units has too many states to enumerate (at most {MAX_ENUMERATED} units); "
            "use sample_entropy_production"
        )
    return ((np.arange(2**n_unit)[:, np.newaxis] >> np.arange(n_unit)) & 1).astype(float)
