"""Entropy production from nonequilibrium maximum entropy, on held-out transitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import EstimationError
from ..observables import Observable, observable_named
from ..spikes.transitions import Transitions
from . import uncertainty
from .ridge_path import PathFit, PathOptions, fit_path, score_mean
from .splits import Split, split_transitions

RELATIVE_CHANGE = 0.1
"""A change of this share between half and all of the training data calls an estimate data-limited."""
MIN_EFFECTIVE_SAMPLE = 100.0
"""Below this effective number of held-out transitions the tail decides."""


@dataclass(frozen=True, eq=False)
class MaxEntResult:
    """An estimate of a lower bound on entropy production, and how far to trust it.

    All values are in nats per transition and, unless they say otherwise, on held-out transitions.

    Parameters
    ----------
    entropy_production
        Held-out objective of the chosen theta, at most ln(number of held-out transitions); 0 where no theta beat
        theta = 0 on validation data (flag ``no_evidence``). It estimates a lower bound; it is not itself one.
    entropy_production_uncapped
        The same without the cap, and of the best non-zero theta where ``entropy_production`` is 0 for want of evidence.
    entropy_production_train
        Objective of the same theta on the training part: in-sample, biased up.
    entropy_production_half
        Held-out objective of a theta from half of the training part, same test part; NaN where it was not asked for.
    interval
        95% block-bootstrap interval of ``entropy_production_uncapped``; NaN with a ``reason`` below 20 blocks.
    n_interval_block
        Blocks of the bootstrap.
    p_value
        Share of random reversals of whole held-out blocks that reach the recorded value: tests time-reversal symmetry.
    quality
        Reasons to doubt the value: ``capped``, ``tail_limited``, ``no_evidence``, ``data_limited``.
    theta
        Parameters (observable,) fitted on the training part; the best non-zero candidate.
    observable, n_unit
        What theta belongs to.
    ridge
        Chosen ridge, in units of the variance of g.
    n_iteration, n_evaluation
        Iterations of the optimiser, evaluations of the training objective.
    converged
        True where validation had stopped improving along the ridge path.
    spikes_per_bin
        Mean number of active units in the earlier bin of the held-out transitions.
    n_transition, n_test
        All transitions and held-out ones.
    effective_sample_size, bias
        Of the tilted average over held-out transitions; the bias is in nats, upwards.
    reason
        Why a value is NaN; empty where none is.
    """

    entropy_production: float
    entropy_production_uncapped: float
    entropy_production_train: float
    entropy_production_half: float
    interval: tuple[float, float]
    n_interval_block: int
    p_value: float
    quality: frozenset[str]
    theta: np.ndarray
    observable: str
    n_unit: int
    ridge: float
    n_iteration: int
    n_evaluation: int
    converged: bool
    spikes_per_bin: float
    n_transition: int
    n_test: int
    effective_sample_size: float
    bias: float
    reason: str = ""

    def coupling(self) -> np.ndarray:
        """Return theta as a matrix (unit_0, unit_1); antisymmetric for the antisymmetric observable.

        Entry (i, j) weighs "i in the later bin, j in the earlier one".
        """
        return observable_named(self.observable).matrix(self.theta, self.n_unit)


@dataclass(frozen=True, kw_only=True)
class MaxEnt:
    r"""Maximise :math:`\theta \cdot \langle g \rangle - \ln \langle e^{\theta \cdot g \circ R} \rangle`.

    Theta is fitted on 70% of the transitions along a ridge path, chosen on 20% and scored on the remaining 10% [1]_.

    Parameters
    ----------
    observable
        ``"antisymmetric"`` or ``"flow"``.
    split
        ``"blocked"``: parts are contiguous stretches of time. ``"shuffled"``: single transitions at random, the
        published rule.
    fractions
        Shares of train, validation and test.
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.
    half
        Fit half of the training part too, to see whether the data limit the estimate.
    path
        How the ridge path is walked.

    References
    ----------
    .. [1] Aguilera, Ito & Kolchinsky, "Inferring entropy production in many-body systems using nonequilibrium MaxEnt",
       arXiv:2505.10444.

    Examples
    --------
    Three units that fire in turn, with noise, look different played backwards:

    >>> rng = np.random.default_rng(0)
    >>> spikes = np.tile(np.eye(3, dtype=bool), (2000, 1)) ^ (rng.random((6000, 3)) < 0.2)
    >>> result = MaxEnt().fit(Transitions.from_spikes(spikes), seed=0)
    >>> result.entropy_production > 0.3, result.p_value
    (True, 0.001)
    """

    observable: str = "antisymmetric"
    split: str = "blocked"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    n_draw: int = 999
    half: bool = True
    path: PathOptions = field(default_factory=PathOptions)

    version: ClassVar[int] = 1
    """Raised when the numbers change."""

    def __post_init__(self) -> None:
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise EstimationError(f"fractions must be three positive shares that add up to 1; found {self.fractions}")
        if self.n_draw < 0:
            raise EstimationError(f"n_draw must be 0 or more; found {self.n_draw}")

    def fit(self, transitions: Transitions, seed: int | np.random.SeedSequence = 0) -> MaxEntResult:
        """Estimate entropy production.

        Parameters
        ----------
        transitions
            The transitions of the chosen units.
        seed
            Decides the split, the bootstrap and the reversals.

        Returns
        -------
        MaxEntResult

        Raises
        ------
        EstimationError
            There are too few units or transitions, or nothing in them varies.
        """
        family = observable_named(self.observable)
        if not family.n_parameter(transitions.n_unit):
            raise EstimationError(f"the {family.name} observable needs 2 units or more; found {transitions.n_unit}")
        split = split_transitions(transitions, self.split, _stream(seed, 0), self.fractions)
        train, validation = transitions.take(split.train), transitions.take(split.validation)
        path = fit_path(family, train, validation, self.path)
        half = self._half(family, transitions, split, validation)
        return _judge(self, family, transitions, split, train, path, half, _stream(seed, 1))

    def _half(
        self, family: Observable, transitions: Transitions, split: Split, validation: Transitions
    ) -> np.ndarray | None:
        """Return theta from half of the training part; zero if it shows no evidence, None if not asked for."""
        if not self.half:
            return None
        path = fit_path(family, transitions.take(split.train_half), validation, self.path)
        return path.theta if path.validation > 0 else np.zeros_like(path.theta)


def _judge(
    estimator: MaxEnt,
    family: Observable,
    transitions: Transitions,
    split: Split,
    train: Transitions,
    path: PathFit,
    theta_half: np.ndarray | None,
    rng: np.random.Generator,
) -> MaxEntResult:
    """Score theta on the test part and say how far to trust the value."""
    test = transitions.take(split.test)
    score = family.score(transitions, path.theta)
    reverse = family.reverse_score(test, path.theta)
    length = uncertainty.block_length(score, len(transitions.row_start) - 1)
    blocks = uncertainty.block_scores(score[split.test], reverse, uncertainty.time_blocks(test, length))
    interval, deviation, reason = _interval(blocks, estimator.n_draw, rng)
    tail = uncertainty.tail_weight(reverse)
    cap = float(np.log(test.n_transition))
    value = min(blocks.objective, cap) if path.validation > 0 else 0.0
    half = np.nan if theta_half is None else min(score_mean(family, test, theta_half, family.mean(test)), cap)
    return MaxEntResult(
        entropy_production=value,
        entropy_production_uncapped=blocks.objective,
        entropy_production_train=score_mean(family, train, path.theta, family.mean(train)),
        entropy_production_half=half,
        interval=interval,
        n_interval_block=blocks.n_block,
        p_value=uncertainty.reversal_p_value(blocks, estimator.n_draw, rng) if estimator.n_draw else np.nan,
        quality=_doubts(path, blocks.objective, value, half, cap, deviation, tail),
        theta=path.theta,
        observable=family.name,
        n_unit=transitions.n_unit,
        ridge=path.ridge,
        n_iteration=path.n_iteration,
        n_evaluation=path.n_evaluation,
        converged=path.turned,
        spikes_per_bin=test.spikes_per_bin,
        n_transition=transitions.n_transition,
        n_test=test.n_transition,
        effective_sample_size=tail.effective_sample_size,
        bias=tail.bias,
        reason=reason,
    )


def _doubts(
    path: PathFit,
    raw: float,
    value: float,
    half: float,
    cap: float,
    deviation: float,
    tail: uncertainty.TailWeight,
) -> frozenset[str]:
    """Return the names of the reasons to doubt a value; half is NaN where it was not asked for."""
    evidence = path.validation > 0
    flags = {
        "capped": evidence and raw > cap,
        "tail_limited": tail.effective_sample_size < MIN_EFFECTIVE_SAMPLE,
        "no_evidence": not evidence,
        "data_limited": not evidence or abs(value - half) > max(RELATIVE_CHANGE * abs(value), deviation),
    }
    return frozenset(name for name, holds in flags.items() if holds)


def _interval(
    blocks: uncertainty.BlockScores, n_draw: int, rng: np.random.Generator
) -> tuple[tuple[float, float], float, str]:
    """Return the interval, the standard deviation of its draws and the reason where there is none."""
    if not n_draw:
        return (np.nan, np.nan), 0.0, "no interval: n_draw is 0"
    if blocks.n_block < uncertainty.MIN_BLOCK:
        reason = (
            f"no interval: {blocks.n_block} held-out blocks of independent time, {uncertainty.MIN_BLOCK} are needed"
        )
        return (np.nan, np.nan), 0.0, reason
    draws = blocks.bootstrap(n_draw, rng)
    return uncertainty.percentile_interval(draws), float(draws.std(ddof=1)), ""


def _stream(seed: int | np.random.SeedSequence, number: int) -> np.random.Generator:
    """Return one of the independent streams of a seed; the sequence itself is left as it was."""
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, number)))
