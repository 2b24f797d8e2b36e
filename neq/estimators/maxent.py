"""Entropy production from nonequilibrium maximum entropy, on held-out transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import EstimationError
from ..observables import Observable, checked_n_parameter, observable_named
from ..seeds import stream
from ..spikes.transitions import Transitions
from . import uncertainty
from .dense_observables import fitting_observable
from .judgement import HeldOut, judge
from .maxent_result import MaxEntResult
from .ridge_path import PathFit, PathOptions, Recipe, fit_path
from .splits import Split, check_fractions, fold_numbers, fold_splits, split_transitions
from .validation import score_mean

__all__ = ["MaxEnt", "MaxEntResult"]


@dataclass(frozen=True, eq=False)
class _Fold:
    """What was fitted without the test part of one split, and how it does on the parts.

    ``half`` is the value on the test part of a theta from half of the other parts, NaN where it was not asked for.
    ``n_fitted`` transitions made theta: those of train, and of validation where it was fitted again.
    """

    split: Split
    path: PathFit
    train_value: float
    half: float
    n_fitted: int
    spikes_per_bin: float


@dataclass(frozen=True, kw_only=True)
class MaxEnt:
    r"""Maximise :math:`\theta \cdot \langle g \rangle - \ln \langle e^{\theta \cdot g \circ R} \rangle`.

    Theta is fitted on 70% of the transitions along a ridge path, the ridge and the length of theta are chosen on 20%,
    theta is fitted again on both in the same way, and scored on the remaining 10% [1]_.
    With ``cross_fit`` every stretch of the recording is held out once: the value of a single blocked split hangs on
    which stretches it holds out.

    Parameters
    ----------
    observable
        ``"antisymmetric"`` or ``"flow"``.
    split
        ``"blocked"``: parts are contiguous stretches of time. ``"shuffled"``: single transitions at random, the
        published rule; neighbouring bins then lie in train and test, and neither interval nor p-value knows of it.
    fractions
        Shares of train, validation and test; cross-fitted, the first two share what a fold leaves.
    n_draw
        Bootstrap resamples and random reversals; 0 for neither.
    half
        Fit half of the training and validation parts too, to see whether the data limit the estimate.
    path
        How the ridge path is walked.
    cross_fit
        Number of contiguous folds, each scored under a theta from the others; None for a single split.
    scores
        Return the held-out score of every transition too.

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
    cross_fit: int | None = None
    scores: bool = False

    version: ClassVar[int] = 3
    """Raised when the numbers change."""

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        uncertainty.check_n_draw(self.n_draw)
        if self.cross_fit is not None and not (self.cross_fit >= 2 and float(self.cross_fit).is_integer()):
            raise EstimationError(
                f"cross_fit must be None or a whole number of folds, 2 or more; found {self.cross_fit}"
            )
        if self.cross_fit is not None and self.split != "blocked":
            raise EstimationError(
                f"cross_fit needs split 'blocked', its folds are stretches of time; found {self.split!r}"
            )

    def fit(self, transitions: Transitions, seed: int | np.random.SeedSequence = 0) -> MaxEntResult:
        """Estimate entropy production.

        Parameters
        ----------
        transitions
            The transitions of the chosen units.
        seed
            Decides the split, what is for validation, the bootstrap and the reversals.

        Returns
        -------
        MaxEntResult

        Raises
        ------
        EstimationError
            There are too few units or transitions, or nothing in them varies.
        """
        family = observable_named(self.observable)
        checked_n_parameter(family, transitions.n_unit)
        folds = [self._fit_without(family, transitions, split) for split in self._splits(transitions, stream(seed, 0))]
        held_out = _hold_out(family, transitions, folds)
        chosen = _median_fold(folds).path.recipe or Recipe(np.nan, (np.nan,), np.nan)
        verdict = judge(held_out, self.n_draw, stream(seed, 1), _overlap(folds))
        return MaxEntResult(
            **vars(verdict) | {"reason": _reason(verdict.reason, folds)},
            entropy_production_train=_mean(folds, "train", [fold.train_value for fold in folds]),
            theta=self._published(family, transitions, folds),
            fold_theta=np.stack([fold.path.theta for fold in folds]),
            observable=family.name,
            n_unit=transitions.n_unit,
            cross_fit=self.cross_fit,
            ridge=chosen.ridges[-1],
            shrinkage=chosen.shrinkage,
            length=chosen.length,
            n_iteration=sum(fold.path.n_iteration for fold in folds),
            n_evaluation=sum(fold.path.n_evaluation for fold in folds),
            converged=all(fold.path.turned for fold in folds),
            spikes_per_bin=_mean(folds, "test", [fold.spikes_per_bin for fold in folds]),
            n_transition=transitions.n_transition,
            fold=fold_numbers([fold.split for fold in folds], transitions.n_transition),
            score=_trajectory_scores(transitions, folds, held_out) if self.scores else None,
        )

    def _splits(self, transitions: Transitions, rng: np.random.Generator) -> list[Split]:
        if self.cross_fit is None:
            return [split_transitions(transitions, self.split, rng, self.fractions)]
        return fold_splits(transitions, int(self.cross_fit), rng, self.fractions)

    def _fit_without(self, family: Observable, transitions: Transitions, split: Split) -> _Fold:
        """Fit without the test part of a split; the packed lists of its parts are dropped with this call."""
        train, validation, test = (transitions.take(part) for part in (split.train, split.validation, split.test))
        path = fit_path(fitting_observable(family, train), train, validation, self.path)
        train_value = score_mean(family, train, path.theta, family.mean(train))
        half = np.nan
        if self.half:
            halves = transitions.take(split.train_half), transitions.take(split.validation_half)
            theta = self._half(family, *halves)
            half = score_mean(family, test, theta, family.mean(test))
        n_fitted = len(split.train) + (len(split.validation) if path.refitted else 0)
        return _Fold(split, path, train_value, half, n_fitted, test.spikes_per_bin)

    def _half(self, family: Observable, train: Transitions, validation: Transitions) -> np.ndarray:
        """Return theta from half of the training and validation parts; zero if it shows no evidence."""
        nothing = np.zeros(family.n_parameter(train.n_unit))
        if not family.variance(train).any():
            return nothing
        path = fit_path(fitting_observable(family, train), train, validation, self.path)
        return path.theta if path.evidence else nothing

    def _published(self, family: Observable, transitions: Transitions, folds: Sequence[_Fold]) -> np.ndarray:
        """Return the theta of the couplings: that of the single split, or one from all transitions."""
        if self.cross_fit is None:
            return folds[0].path.theta
        recipe = _median_fold(folds).path.recipe
        if recipe is None:
            return np.zeros_like(folds[0].path.theta)
        return recipe.make(fitting_observable(family, transitions), transitions)


def _hold_out(family: Observable, transitions: Transitions, folds: Sequence[_Fold]) -> list[HeldOut]:
    """Score every fold under the theta that was fitted without it, in blocks of independent time."""
    tests = [transitions.take(fold.split.test) for fold in folds]
    scores = [_both_scores(family, test, fold.path.theta) for test, fold in zip(tests, folds, strict=True)]
    noises = _noise_of_theta(folds)
    series = np.concatenate([both[0] for both in scores])
    if len(folds) == 1:
        series = family.score(transitions, folds[0].path.theta)
    length = uncertainty.block_length(series, len(transitions.row_start) - 1)
    return [
        HeldOut(
            both[0],
            both[1],
            uncertainty.time_blocks(test, length),
            evidence=fold.path.evidence,
            at_limit=fold.path.at_limit,
            half=fold.half,
            noise=None if noise is None else _both_scores(family, test, noise),
        )
        for test, fold, both, noise in zip(tests, folds, scores, noises, strict=True)
    ]


def _both_scores(family: Observable, transitions: Transitions, theta: np.ndarray) -> np.ndarray:
    """Return theta.g of the recorded and of the exchanged pairs (2, transition)."""
    return np.stack([family.score(transitions, theta), family.reverse_score(transitions, theta)])


def _noise_of_theta(folds: Sequence[_Fold]) -> list[np.ndarray] | list[None]:
    """Return parameters (observable,) that vary as the noise of each fold's theta does; none for a single split.

    It is the jackknife: thetas differ from their mean by the data that they do not share. Of two folds' training data
    the share rho is the same, so the variance of the difference is (1 - rho)(1 - 1 / K) that of the noise.
    """
    n_fold = len(folds)
    if n_fold == 1:
        return [None]
    theta = np.stack([fold.path.theta for fold in folds])
    rho = _overlap(folds) * (n_fold - 2) / (n_fold - 1)
    return list((theta - theta.mean(axis=0)) / np.sqrt((1 - rho) * (1 - 1 / n_fold)))


def _trajectory_scores(transitions: Transitions, folds: Sequence[_Fold], held_out: Sequence[HeldOut]) -> np.ndarray:
    """Return theta.g - ln Z of every transition (transition,), each from the fold that it was held out in."""
    score = np.full(transitions.n_transition, np.nan)
    for fold, part in zip(folds, held_out, strict=True):
        score[fold.split.test] = part.trajectory_score
    return score


def _reason(reason: str, folds: Sequence[_Fold]) -> str:
    """Return why values are NaN: that of the judgement, and that of a ridge that was never needed."""
    n_alike = sum(not np.isfinite(fold.path.ridge) for fold in folds)
    alike = f"no ridge: the training data of {n_alike} of {len(folds)} fits look the same in both directions"
    return "; ".join(part for part in (reason, alike if n_alike else "") if part)


def _mean(folds: Sequence[_Fold], part: str, values: Sequence[float]) -> float:
    """Return the mean of ``values`` (fold,), weighted by the sizes of one part of the splits."""
    size = np.array([len(getattr(fold.split, part)) for fold in folds])
    return float(size / size.sum() @ values)


def _overlap(folds: Sequence[_Fold]) -> float:
    """Return the share of the other folds that a theta was fitted on; 0 for a single split."""
    n_other = [sum(len(other.split.test) for other in folds if other is not fold) for fold in folds]
    return float(np.mean([fold.n_fitted / n for fold, n in zip(folds, n_other, strict=True) if n] or [0.0]))


def _median_fold(folds: Sequence[_Fold]) -> _Fold:
    """Return the fold that chose the median ridge, the weaker of two, of those in which anything could be fitted.

    Ridges of different shrinkages are not quite comparable; which of the folds is taken matters little.
    """
    fitted = [fold for fold in folds if fold.path.recipe]
    return sorted(fitted or folds, key=lambda fold: fold.path.ridge)[len(fitted) // 2]
