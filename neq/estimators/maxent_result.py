"""What a maximum-entropy estimate says, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..observables import observable_named
from .judgement import Judgement


@dataclass(frozen=True, eq=False)
class CouplingResult(Judgement):
    """What held-out transitions say of a theta that couples pairs of units.

    The fields are those of the same names in :class:`MaxEntResult`.
    """

    entropy_production_train: float
    theta: np.ndarray
    observable: str
    n_unit: int
    n_iteration: int
    converged: bool
    spikes_per_bin: float
    n_transition: int
    fold: np.ndarray

    def coupling(self) -> np.ndarray:
        """Return theta as a matrix (unit_0, unit_1); antisymmetric for the antisymmetric observable.

        Entry (i, j) weighs "i in the later bin, j in the earlier one".
        """
        return observable_named(self.observable).matrix(self.theta, self.n_unit)


@dataclass(frozen=True, eq=False)
class MaxEntResult(CouplingResult):
    """An estimate of a lower bound on entropy production, and how far to trust it.

    All values are in nats per transition and, unless they say otherwise, on held-out transitions. Of a cross-fitted
    estimate they are means over the folds, weighted by their numbers of transitions.

    Parameters
    ----------
    entropy_production
        Held-out objective of the chosen theta, at most ln(number of held-out transitions); 0 where no theta beat
        theta = 0 on validation data by more than chance (flag ``no_evidence``). It estimates a lower bound; it is not
        itself one.
        Cap and zero are applied fold by fold.
    entropy_production_uncapped
        The same without the cap, and of the best non-zero theta where ``entropy_production`` is 0 for want of evidence.
    entropy_production_train
        Objective of the same theta on the training part: in-sample, so biased upwards.
    entropy_production_half
        Held-out objective of a theta from half of the training and validation parts, same test part; NaN where it was
        not asked for.
    fold_entropy_production
        Value of each fold (fold,); a single split has one.
    interval
        95% block-bootstrap interval of ``entropy_production_uncapped``; NaN with a ``reason`` below 20 blocks.
    n_interval_block
        Blocks of the bootstrap.
    p_value
        Share of random reversals of whole held-out blocks that reach the recorded value: tests time-reversal symmetry.
        Cross-fitted it errs on the side of caution: of reversible recordings 1 to 4 in 100 fall below 0.05.
    quality
        Reasons to doubt the value. ``capped``: the cap holds it, or any of its folds, down, or theta was made no longer
        because J reached ln of the number of validation transitions. ``tail_limited``: fewer than 100 effective
        samples. ``no_evidence``: folds with half or more of the held-out transitions show none. ``data_limited``: half
        of the training data change it by more than a tenth and more than one standard error, or there is no evidence.
    theta
        Parameters (observable,) fitted on the training part and, with the ridge and length that validation chose, on
        both; without evidence the best non-zero candidate of the training part. Cross-fitted: fitted on all transitions
        as in the fold that chose the median ridge, for the couplings only; no value here belongs to it.
    fold_theta
        The parameters (fold, observable) that were scored on each fold.
    observable, n_unit
        What theta belongs to.
    cross_fit
        Number of folds; None for a single split.
    ridge
        Chosen ridge, in the coordinates of :mod:`neq.estimators.coordinates`; over folds the median.
    shrinkage, length
        Chosen shrinkage of these coordinates and length of theta, of the same fold.
    n_iteration, n_evaluation
        Iterations of the optimiser, evaluations of the training objective, all folds together.
    converged
        True where validation had stopped improving along the ridge path, in every fold.
    spikes_per_bin
        Mean number of active units in the earlier bin of the held-out transitions.
    n_transition, n_test
        All transitions and held-out ones.
    fold
        Number of the fold that each of the transitions given was held out in (transition,), int16, in their order; -1
        where it never was. A single split is fold 0.
    effective_sample_size, bias
        Of the tilted average over held-out transitions; the bias is in nats, upwards. Over folds the size is the
        harmonic mean: the one that belongs to the mean bias.
    reason
        Why a value is NaN; empty where none is.
    score
        theta.g - ln Z of each of the transitions given (transition,), in their order, under the theta and the
        normaliser of the fold that it was held out in; NaN where it never was. ``transitions.earlier`` and ``.later``
        hold their bins. The mean is ``entropy_production_uncapped``. None unless asked for.
    """

    fold_theta: np.ndarray
    cross_fit: int | None
    ridge: float
    shrinkage: float
    length: float
    n_evaluation: int
    score: np.ndarray | None = None
