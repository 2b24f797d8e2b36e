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
exactly zero for symmetric couplings, in both dynamics: one at a time they obey detailed balance with respect to the
Boltzmann weight of :math:`\sum_i b_i s_i + \tfrac12 \sum_{ij} W_{ij} s_i s_j`, and all at once (with couplings of
units to themselves, too) :math:`p(s) P(s' \mid s) \propto e^{b \cdot (s + s') + s' W s}` is symmetric [1]_. What is
exact is the value per step, so between neighbouring states of a run with ``thin=1``; states further apart show less.

References
----------
.. [1] Peretto, "Collective properties of neural networks: a statistical physics approach", Biol. Cybern. 50, 51 (1984).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neq.errors import ModelError
from neq.kernels import glauber

from . import enumeration
from .enumeration import MAX_ENUMERATED as MAX_ENUMERATED
from .network import BinaryNetwork, check_counts
from .sampling import ParallelSampler, SequentialSampler, by_source


@dataclass(frozen=True)
class EntropyProductionSample:
    """Monte Carlo estimate: ``value`` in nats per step, its ``standard_error`` over ``n_restart`` independent runs."""

    value: float
    standard_error: float
    n_restart: int


@dataclass(frozen=True, eq=False, kw_only=True)
class KineticIsing(BinaryNetwork):
    """Network of 0/1 units under Glauber dynamics.

    Parameters
    ----------
    couplings
        W (target, source): how much an active source adds to the field of the target. A numpy array, or a sparse
        matrix or array of scipy, kept as a CSR array. The same seed gives the same states either way.
    bias
        b (unit,).
    dynamics
        ``"parallel"``: all units update in each step. ``"sequential"``: a step is the attempted update of one
        random unit; the diagonal of the couplings must then be zero.

    Raises
    ------
    ModelError
        Shapes that do not fit, numbers that are not finite, or units coupled to themselves in sequential dynamics.

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

    # --- sampling

    def stream(
        self,
        n_step: int,
        *,
        seed: np.random.Generator | int = 0,
        burn_in: int = 1000,
        thin: int = 1,
        block: int = 8192,
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

        Raises
        ------
        ModelError
            A number is out of its range, or fields are too large for sequential dynamics.
        """
        check_counts(n_step=(n_step, 0), burn_in=(burn_in, 0), thin=(thin, 1), block=(block, 1))
        generator = np.random.default_rng(seed)
        kind = ParallelSampler if self.dynamics == "parallel" else SequentialSampler
        sampler = kind(self.couplings, self.bias, generator)
        sampler.advance(burn_in * self._sweep, np.empty((1, self.n_unit), dtype=bool))
        for start in range(0, n_step, block):
            out = np.empty((min(block, n_step - start), self.n_unit), dtype=bool)
            sampler.advance(thin, out)
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

    def restarts(
        self,
        n_step: int,
        *,
        n_restart: int = 1000,
        first: int = 0,
        seed: int = 0,
        warm_up: float = 0.1,
        thin: int | None = None,
        block: int = 8192,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of a run and a block (step, unit) of its states, run after run.

        Parameters
        ----------
        n_step
            States of each run.
        n_restart
            Number of independent runs.
        first
            Number of the first. Run k has the k-th stream spawned from ``seed``, whoever else makes the others: runs
            may be dealt out to several processes, and more added later.
        seed
            Root of all streams.
        warm_up
            Share of a run's steps made before its first state, on top of ``n_step``.
        thin
            Steps from one state to the next; by default as many as make one update per unit.
        block
            Largest number of states held at once.

        Examples
        --------
        >>> model = KineticIsing(couplings=np.zeros((3, 3)), bias=np.zeros(3), dynamics="sequential")
        >>> [(run, states.shape) for run, states in model.restarts(50, n_restart=2, first=10)]
        [(10, (50, 3)), (11, (50, 3))]
        """
        check_counts(n_restart=(n_restart, 1), first=(first, 0))
        if not 0.0 <= warm_up < np.inf:
            raise ModelError(f"expected warm_up as a share of a run, 0 or more, got {warm_up}")
        thin = self._sweep if thin is None else thin
        burn_in = int(np.ceil(warm_up * n_step * thin / self._sweep))
        for run in range(first, first + n_restart):
            stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(run,)))
            for states in self.stream(n_step, seed=stream, burn_in=burn_in, thin=thin, block=block):
                yield run, states

    @property
    def _sweep(self) -> int:
        """Return the steps that make one update per unit."""
        return 1 if self.dynamics == "parallel" else self.n_unit

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
            raise ModelError(f"expected n_restart >= 2 and n_step >= 1, got {n_restart} and {n_step}")
        streams = np.random.SeedSequence(seed).spawn(n_restart)
        runs = np.array([self._run_dissipation(n_step, stream, burn_in, thin) for stream in streams])
        return EntropyProductionSample(float(runs.mean()), float(runs.std(ddof=1) / np.sqrt(n_restart)), n_restart)

    def _run_dissipation(self, n_step: int, stream: np.random.SeedSequence, burn_in: int, thin: int) -> float:
        """Return the entropy production per step along one run."""
        blocks = self.stream(n_step, seed=np.random.default_rng(stream), burn_in=burn_in, thin=thin)
        layouts = by_source(self.couplings), by_source((self.couplings - self.couplings.T) / 2)
        total = sum(glauber.dissipation(*layouts, self.bias, block) for block in blocks)
        return self._factor * total / n_step

    # --- exact values by enumeration

    @property
    def _factor(self) -> float:
        """Return c of the module's formula."""
        return 2.0 if self.dynamics == "parallel" else 1.0 / self.n_unit

    def log_transition(self) -> np.ndarray:
        """Return ln P(later | earlier) as (earlier, later) over all 2^n states; bit i of a state's number is unit i."""
        return enumeration.log_transition(self.dense_couplings, self.bias, one_at_a_time=self.dynamics == "sequential")

    def stationary(self) -> np.ndarray:
        """Return the stationary probability (state,) of all 2^n states.

        Examples
        --------
        >>> KineticIsing(couplings=np.zeros((1, 1)), bias=np.array([np.log(3.0)])).stationary()
        array([0.25, 0.75])
        """
        return enumeration.stationary(np.exp(self.log_transition()))

    def activity(self) -> np.ndarray:
        """Return the exact stationary mean (unit,) of each unit, module by module."""
        mean = np.empty(self.n_unit)
        for module in self.modules:
            mean[module] = self.select_units(module).stationary() @ enumeration.all_states(len(module))
        return mean

    def module_entropy_production(self) -> np.ndarray:
        """Return what each of :attr:`modules` adds to the exact entropy production (module,), in nats per step.

        Raises
        ------
        ModelError
            A module has more than 12 units: use :meth:`sample_entropy_production`.
        """
        return np.array([self._factor * self.select_units(module)._dissipation() for module in self.modules])

    def entropy_production(self) -> float:
        """Return the exact entropy production in nats per step: per bin, or per attempted update."""
        return float(self.module_entropy_production().sum())

    def _dissipation(self) -> float:
        """Return the stationary mean of what the kernel of this name sums."""
        couplings = self.dense_couplings
        if np.array_equal(couplings, couplings.T):
            return 0.0
        return enumeration.mean_dissipation(self.stationary(), couplings, self.bias)
