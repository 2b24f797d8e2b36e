"""Entropy production from the multidimensional thermodynamic uncertainty relation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import EstimationError
from ..observables import Observable, observable_named
from ..seeds import stream
from ..spikes.transitions import Transitions
from . import uncertainty
from .conjugate_gradients import StepProblem, best_step, solve_step, step_problem
from .scalar_relation import HeldOutRelation, evaluate_relation, signed_relation
from .splits import Split, check_fractions, fold_numbers, split_transitions

MAX_RELATIVE_BIAS = 0.1
"""Share of the value above which its bias calls it data-limited."""


@dataclass(frozen=True, eq=False)
class MTURResult:
    """The multidimensional uncertainty relation, evaluated on the data it was optimised on; nats per transition.

    Parameters
    ----------
    entropy_production
        ln(1 + 2 q) with q = <g>' K^-1 <g>, at most ln(number of transitions). In-sample, so biased upwards.
    entropy_production_uncapped
        The same without the cap.
    bias
        How far sampling alone is expected to lift ``entropy_production_uncapped``, were transitions independent and g
        Gaussian; NaN with a ``reason`` where parameters are not fewer than transitions.
    entropy_production_held_out
        The relation for the one observable theta.g on transitions that had no part in choosing theta, with the sign of
        its mean there, at most ln(number of these transitions); NaN where it was not asked for.
    entropy_production_held_out_uncapped
        The same without the cap.
    interval
        95% block-bootstrap interval of ``entropy_production_held_out_uncapped``; NaN with a ``reason`` where there is
        none.
    n_interval_block
        Blocks of the bootstrap.
    p_value
        Share of random reversals of whole held-out blocks whose mean of theta.g reaches the recorded one.
    quality
        Reasons to doubt ``entropy_production``. ``capped``: the cap holds it down. ``data_limited``: it is 0, or the
        bias is unknown or a tenth of it or more.
    quality_held_out
        Reasons to doubt ``entropy_production_held_out``. ``capped``: the cap holds it down.
    theta
        K^-1 <g> (observable,): the most precise of all currents is theta.g.
    observable, n_unit
        What theta belongs to.
    n_effective_parameter
        Parameters that the ridge leaves free, from the variances of g.
    n_iteration
        Iterations of conjugate gradients.
    converged
        True where their residual came below the tolerance.
    spikes_per_bin
        Mean number of active units in the earlier bin of a transition.
    n_transition, n_test
        All transitions and held-out ones.
    fold
        0 where a transition was held out, -1 where it was not (transition,), int16.
    reason
        Why a value is NaN; empty where none is.
    """

    entropy_production: float
    entropy_production_uncapped: float
    bias: float
    entropy_production_held_out: float
    entropy_production_held_out_uncapped: float
    interval: tuple[float, float]
    n_interval_block: int
    p_value: float
    quality: frozenset[str]
    quality_held_out: frozenset[str]
    theta: np.ndarray
    observable: str
    n_unit: int
    n_effective_parameter: float
    n_iteration: int
    converged: bool
    spikes_per_bin: float
    n_transition: int
    n_test: int
    fold: np.ndarray
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MTUR:
    r"""Evaluate :math:`\ln(1 + 2 \langle g \rangle^T K^{-1} \langle g \rangle)`, K the covariance of g.

    For every observable f that changes sign when the two bins are exchanged, entropy production is at least
    :math:`\ln(1 + 2 \langle f \rangle^2 / \mathrm{Var} f)` [1]_; this is the best of them that is linear in g [2]_. The
    relation does not hold for observables of another symmetry, so ``flow`` is refused. The optimum is found on the
    data on which it is evaluated, which lifts the value by about 2 (parameters / transitions) even where nothing is
    irreversible: see ``bias``, and ``held_out`` for a value without it.

    Parameters
    ----------
    observable
        ``"antisymmetric"``.
    ridge
        Added to the diagonal of K, as the published code does; it lowers the value.
    held_out
        Choose theta on 70% of the transitions, its damping on 20%, and evaluate the relation for theta.g on the rest.
    split, fractions
        How these parts are dealt; as in :class:`~neq.estimators.maxent.MaxEnt`.
    n_draw
        Bootstrap resamples and random reversals of the held-out part; 0 for neither.

    References
    ----------
    .. [1] Hasegawa & Van Vu, "Fluctuation theorem uncertainty relation", Phys. Rev. Lett. 123, 110602 (2019).
    .. [2] Dechant, "Multidimensional thermodynamic uncertainty relations", J. Phys. A 52, 035001 (2019).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spikes = np.tile(np.eye(3, dtype=bool), (2000, 1)) ^ (rng.random((6000, 3)) < 0.2)
    >>> result = MTUR(held_out=True).fit(Transitions.from_spikes(spikes), seed=0)
    >>> result.entropy_production > 0.2, result.entropy_production_held_out > 0.2, result.bias < 0.01
    (True, True, True)
    """

    observable: str = "antisymmetric"
    ridge: float = 1e-4
    held_out: bool = False
    split: str = "blocked"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    n_draw: int = 999

    version: ClassVar[int] = 2
    """Raised when the numbers change."""

    def __post_init__(self) -> None:
        if not observable_named(self.observable).odd:
            raise EstimationError(
                "the uncertainty relation holds only for observables that change sign when the two bins are exchanged, "
                f"which {self.observable!r} does not; use observable 'antisymmetric', or NewtonStep or MaxEnt"
            )
        check_fractions(self.fractions)
        if not 0 < self.ridge < np.inf:
            raise EstimationError(f"ridge must be a positive number; found {self.ridge}")
        uncertainty.check_n_draw(self.n_draw)

    def fit(self, transitions: Transitions, seed: int | np.random.SeedSequence = 0) -> MTURResult:
        """Estimate entropy production.

        Parameters
        ----------
        transitions
            The transitions of the chosen units.
        seed
            Decides the split, the bootstrap and the reversals of the held-out value; the other one is free of chance.

        Raises
        ------
        EstimationError
            There are too few units or transitions, or nothing in them varies.
        """
        family = observable_named(self.observable)
        problem = step_problem(family, transitions, self.ridge)
        solution = solve_step(problem)
        theta = solution.theta / 2
        raw = float(np.log1p(2 * problem.mean @ theta))
        value = min(raw, float(np.log(transitions.n_transition)))
        n_free = float(np.sum(problem.variance / (problem.variance + self.ridge)))
        bias = sampling_bias(float(problem.mean @ theta), n_free, transitions.n_transition)
        held_out, reason, splits = HeldOutRelation(), "no held-out value: held_out is False", []
        if self.held_out:
            splits = [split_transitions(transitions, self.split, stream(seed, 0), self.fractions)]
            held_out, reason = self._held_out(family, transitions, splits[0], stream(seed, 1))
        if np.isnan(bias):
            reason = f"no bias: {n_free:.0f} parameters, {transitions.n_transition} transitions; {reason}".rstrip("; ")
        return MTURResult(
            **vars(held_out),
            entropy_production=value,
            entropy_production_uncapped=raw,
            bias=bias,
            quality=_doubts(raw, value, bias),
            theta=theta,
            observable=family.name,
            n_unit=transitions.n_unit,
            n_effective_parameter=n_free,
            n_iteration=solution.n_iteration,
            converged=solution.converged,
            spikes_per_bin=transitions.spikes_per_bin,
            n_transition=transitions.n_transition,
            fold=fold_numbers(splits, transitions.n_transition),
            reason=reason,
        )

    def _held_out(
        self, family: Observable, transitions: Transitions, split: Split, rng: np.random.Generator
    ) -> tuple[HeldOutRelation, str]:
        """Evaluate the relation on the test part for a theta from the others, and say why there is no interval."""
        train, validation, test = (transitions.take(part) for part in (split.train, split.validation, split.test))
        theta = _direction(step_problem(family, train, self.ridge), validation)
        length = uncertainty.block_length(family.score(transitions, theta), len(transitions.row_start) - 1)
        blocks = uncertainty.time_blocks(test, length)
        return evaluate_relation(family.score(test, theta), blocks, self.n_draw, rng)


def sampling_bias(precision: float, n_parameter: float, n_transition: int) -> float:
    r"""Return how far sampling lifts ln(1 + 2 q), q = <g>' K^-1 <g> having been found equal to ``precision``.

    For n independent Gaussian vectors of p entries n q is Hotelling's statistic, and
    :math:`q (n - p - 2) / n - p / n` has the mean that q has without sampling. NaN where p is not below n - 2.

    Examples
    --------
    >>> round(sampling_bias(0.01, n_parameter=10, n_transition=1000), 3)
    0.02
    """
    left = n_transition - n_parameter - 2
    if left <= 0:
        return np.nan
    free_of_bias = max((precision * left - n_parameter) / n_transition, 0.0)
    return float(np.log1p(2 * precision) - np.log1p(2 * free_of_bias))


def _direction(problem: StepProblem, validation: Transitions) -> np.ndarray:
    """Return the damped theta (observable,) whose theta.g is the most precise on ``validation``."""

    def validate(theta: np.ndarray) -> tuple[float, float]:
        score = problem.observable.score(validation, theta)
        return float(signed_relation(score.mean(), np.mean(score**2))), 1.0

    return best_step(problem, validate).theta


def _doubts(raw: float, value: float, bias: float) -> frozenset[str]:
    """Return the names of the reasons to doubt the in-sample value."""
    flags = {"capped": raw > value, "data_limited": not bias < MAX_RELATIVE_BIAS * raw}
    return frozenset(name for name, holds in flags.items() if holds)
