"""Entropy production from one Newton step of nonequilibrium maximum entropy, on held-out transitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..errors import EstimationError
from ..observables import Observable, checked_n_parameter, observable_named
from ..seeds import stream
from ..spikes.transitions import Transitions
from . import uncertainty
from .conjugate_gradients import DAMPING, StepFit, best_step, step_problem
from .dense_observables import fitting_observable
from .judgement import HeldOut, judge
from .maxent_result import CouplingResult
from .splits import Split, check_fractions, fold_numbers, split_transitions
from .validation import Validation, is_at_limit, is_evidence, score_mean

RIDGE = 1e-4
"""Added to the diagonal of the covariance of g, as the published code does."""
MAX_LENGTH = 4.0
"""Longest step tried, in Newton steps."""


@dataclass(frozen=True, eq=False)
class NewtonStepResult(CouplingResult):
    """The value of one Newton step on held-out transitions, and how far to trust it; nats per transition.

    The fields that are not named here mean what they do in :class:`~neq.estimators.maxent_result.MaxEntResult`.

    Parameters
    ----------
    entropy_production_train
        Objective of the same theta on the training part: in-sample, biased up.
    theta
        The step (observable,).
    observable, n_unit
        What theta belongs to.
    damping
        Weights of the structured covariance and of the variances that validation data preferred.
    step_length
        What the solution was multiplied by, chosen on validation data; 1 without ``line_search``.
    n_iteration
        Iterations of conjugate gradients over all dampings tried.
    converged
        False where the equations of one of them were given up.
    spikes_per_bin
        Mean number of active units in the earlier bin of the held-out transitions.
    n_transition
        All transitions.
    """

    damping: tuple[float, float]
    step_length: float


@dataclass(frozen=True, kw_only=True)
class NewtonStep:
    r"""Take one Newton step from theta = 0 and score it on held-out transitions [1]_.

    The step is :math:`\theta = K^{-1} (\langle g \rangle - \langle g \circ R \rangle)`, K the covariance of
    :math:`g \circ R` over the training part; for the antisymmetric observable :math:`2 K^{-1} \langle g \rangle`. Where
    parameters are not few beside transitions K is too noisy to be inverted, so the step is damped as far as validation
    data ask for (:mod:`neq.estimators.conjugate_gradients`), and they choose its length. As any theta's, its J is a
    bound in the limit of many held-out transitions. ``NewtonStep(damping=((0, 0),), line_search=False)`` is the step as
    published, which makes sense where parameters are few.

    Parameters
    ----------
    observable
        ``"antisymmetric"`` or ``"flow"``.
    split
        ``"blocked"``: parts are contiguous stretches of time. ``"shuffled"``: single transitions at random.
    fractions
        Shares of train, validation and test. Split and seed are those of MaxEnt: the same seed holds out the same part.
    damping
        Pairs (s, lambda) to try: K becomes (1 - s) K + s P + lambda W, with P the structured covariance and W the
        variances of g. From strong to weak: the walk ends where validation stops improving.
    line_search
        Choose the length of the step on validation data; without it the length is 1.
    tolerance
        Residual, relative to the gradient, at which conjugate gradients stop. The default moves values by less than a
        thousandth.
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.
    half
        Take the step on half of the training and validation parts too, to see whether the data limit the estimate.

    References
    ----------
    .. [1] Aguilera, Ito & Kolchinsky, "Inferring entropy production in many-body systems using nonequilibrium MaxEnt",
       arXiv:2505.10444.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spikes = np.tile(np.eye(3, dtype=bool), (2000, 1)) ^ (rng.random((6000, 3)) < 0.2)
    >>> result = NewtonStep().fit(Transitions.from_spikes(spikes), seed=0)
    >>> result.entropy_production > 0.3, result.p_value
    (True, 0.001)
    """

    observable: str = "antisymmetric"
    split: str = "blocked"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    damping: tuple[tuple[float, float], ...] = DAMPING
    line_search: bool = True
    tolerance: float = 1e-2
    n_draw: int = 999
    half: bool = True

    version: ClassVar[int] = 2
    """Raised when the numbers change."""

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        if not self.damping or not all(0 <= s <= 1 and 0 <= weight < np.inf for s, weight in self.damping):
            raise EstimationError(
                f"damping must be pairs (s, lambda), 0 <= s <= 1 and 0 <= lambda; found {self.damping}"
            )
        if not 0 < self.tolerance < 1:
            raise EstimationError(f"tolerance must lie between 0 and 1; found {self.tolerance}")
        uncertainty.check_n_draw(self.n_draw)

    def fit(self, transitions: Transitions, seed: int | np.random.SeedSequence = 0) -> NewtonStepResult:
        """Estimate entropy production.

        Parameters
        ----------
        transitions
            The transitions of the chosen units.
        seed
            Decides the split, the bootstrap and the reversals.

        Raises
        ------
        EstimationError
            There are too few units or transitions, or nothing in them varies.
        """
        family = observable_named(self.observable)
        checked_n_parameter(family, transitions.n_unit)
        split = split_transitions(transitions, self.split, stream(seed, 0), self.fractions)
        train, validation, test = (transitions.take(part) for part in (split.train, split.validation, split.test))
        step = self._step(family, train, validation)
        half = self._half_value(family, transitions, split) if self.half else np.nan
        evidence = is_evidence(step.validation, len(split.validation), self.line_search)
        held_out = replace(
            _hold_out(family, transitions, test, step.theta),
            evidence=evidence,
            at_limit=is_at_limit(step.validation, len(split.validation)),
            half=half,
        )
        return NewtonStepResult(
            **vars(judge([held_out], self.n_draw, stream(seed, 1))),
            entropy_production_train=score_mean(family, train, step.theta, family.mean(train)),
            theta=step.theta,
            observable=family.name,
            n_unit=transitions.n_unit,
            damping=step.damping,
            step_length=step.length,
            n_iteration=step.n_iteration,
            converged=step.converged,
            spikes_per_bin=test.spikes_per_bin,
            n_transition=transitions.n_transition,
            fold=fold_numbers([split], transitions.n_transition),
        )

    def _step(self, family: Observable, train: Transitions, validation: Transitions) -> StepFit:
        judge, longest = Validation(family, validation), MAX_LENGTH if self.line_search else None
        problem = step_problem(fitting_observable(family, train), train, RIDGE)
        return best_step(problem, lambda theta: judge.value(theta, longest), self.damping, self.tolerance)

    def _half_value(self, family: Observable, transitions: Transitions, split: Split) -> float:
        """Return the held-out value of the step of half the training and validation parts; 0 without evidence."""
        parts = (split.train_half, split.validation_half, split.test)
        train, validation, test = (transitions.take(part) for part in parts)
        if not family.variance(train).any():
            return 0.0
        step = self._step(family, train, validation)
        evidence = is_evidence(step.validation, len(split.validation_half), self.line_search)
        return score_mean(family, test, step.theta, family.mean(test)) if evidence else 0.0


def _hold_out(family: Observable, transitions: Transitions, test: Transitions, theta: np.ndarray) -> HeldOut:
    """Score the test part in blocks of independent time."""
    length = uncertainty.block_length(family.score(transitions, theta), len(transitions.row_start) - 1)
    return HeldOut(family.score(test, theta), family.reverse_score(test, theta), uncertainty.time_blocks(test, length))
