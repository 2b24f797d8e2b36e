"""What a decomposition by interaction order returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class OrderDecompositionResult:
    """Entropy production of nested observables, held out, by order: the first entry is order 1.

    Values are in nats per transition. Order 1 telescopes: its mean over an unbroken recording is a difference between
    the two ends, so in stationary data it adds nothing and its value shows drift.

    Parameters
    ----------
    entropy_production
        Held-out objective of each order (order,), at most ln(number of held-out transitions).
    entropy_production_uncapped
        The same without the cap (order,).
    entropy_production_train
        Unregularised training objective of the same theta (order,): never lower than the one before. Biased up.
    interval
        95% block-bootstrap intervals of ``entropy_production_uncapped`` (order, 2).
    increment
        What each order adds, without the cap (order,); 0 where validation preferred the theta of the order below (flag
        ``no_evidence``). That of order 1 is its value.
    increment_interval
        95% intervals of the increments (order, 2), paired: the same blocks are drawn for both orders. Without evidence
        they are those of the best candidate that was turned down.
    theta
        Parameters of each order (observable,); their order is that of
        :class:`~neq.estimators.order_features.NestedObservable`.
    ridge
        Chosen ridge of the best candidate of each order (order,), in units of the variance of g.
    n_evaluation
        Evaluations of the training objective (order,).
    converged
        True where validation had stopped improving along the path (order,).
    quality
        For each order the reasons to doubt its value: ``capped``, ``tail_limited``, ``no_evidence``.
    n_unit, n_transition, n_test, n_interval_block
        Units, all transitions, held-out ones, and blocks of the bootstrap.
    reason
        Why the intervals are NaN; empty where they are not.
    """

    entropy_production: np.ndarray
    entropy_production_uncapped: np.ndarray
    entropy_production_train: np.ndarray
    interval: np.ndarray
    increment: np.ndarray
    increment_interval: np.ndarray
    theta: tuple[np.ndarray, ...]
    ridge: np.ndarray
    n_evaluation: np.ndarray
    converged: np.ndarray
    quality: tuple[frozenset[str], ...]
    n_unit: int
    n_transition: int
    n_test: int
    n_interval_block: int
    reason: str = ""

    @property
    def order(self) -> np.ndarray:
        """The orders (order,): 1, 2, ..."""
        return np.arange(1, len(self.theta) + 1)
