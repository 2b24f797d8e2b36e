r"""Entropy flow of a kinetic Ising model whose parameters change: how much likelier each step is than its reverse.

:math:`\sigma_t = E \ln [p_t(x_t \mid x_{t-1}) / p_t(x_{t-1} \mid x_t)]` under the parameters of bin t: a forward
conditional entropy taken from a backward cross-entropy, unit by unit [1]_. In nats per bin; it may be negative, as the
entropy of the population itself changes.

References
----------
.. [1] Ishihara & Shimazaki, arXiv:2502.15440.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neq.errors import IsingError

MAX_EXACT = 12
"""Units up to which all 2^N words are summed."""
METHODS = ("exact", "mean_field", "corrected")
N_NODE = 40
"""Gauss-Hermite nodes of an average over fields."""


@dataclass(frozen=True, eq=False)
class EntropyFlow:
    """Entropy flow of each bin and unit (time, unit), in nats.

    Parameters
    ----------
    forward, backward
        Conditional entropy of the step, and cross-entropy of its reverse.
    rate
        Probability of each unit to be active after the step.
    method
        How it was computed.
    """

    forward: np.ndarray
    backward: np.ndarray
    rate: np.ndarray
    method: str

    @property
    def flow(self) -> np.ndarray:
        """Backward less forward (time, unit)."""
        return self.backward - self.forward

    @property
    def per_spike(self) -> np.ndarray:
        """Flow over all bins for each expected spike (unit,), in nats."""
        return self.flow.sum(axis=0) / self.rate.sum(axis=0)


def entropy_flow(theta: np.ndarray, rate: np.ndarray, method: str = "auto") -> EntropyFlow:
    """Return the entropy flow of parameters (time, unit, parameter).

    Parameters
    ----------
    theta
        Bias and couplings, as :class:`neq.ising.KineticStateSpaceIsingResult` has them.
    rate
        Probability of each unit to be active before the first step (unit,), all independent.
    method
        ``"exact"``: sums over all words, up to :data:`MAX_EXACT` units. ``"mean_field"``: as published; units count as
        independent before each step, so that refractoriness and symmetric couplings seem to be a flow.
        ``"corrected"``: with what a step shares with the one before it, to first order in the couplings; the better one
        for weak and moderate couplings. ``"auto"``: exact where it can be, else corrected.

    Raises
    ------
    IsingError
        Shapes or method do not fit, or there are too many units for exact sums.

    Examples
    --------
    >>> symmetric = np.array([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    >>> flow = entropy_flow(np.repeat(symmetric, 60, axis=0), rate=np.array([0.5, 0.5]))
    >>> flow.method, bool(abs(flow.flow[-1].sum()) < 1e-12)  # detailed balance
    ('exact', True)
    """
    theta, rate = np.asarray(theta, dtype=float), np.asarray(rate, dtype=float)
    n_unit = theta.shape[1] if theta.ndim == 3 else 0
    if theta.ndim != 3 or theta.shape[2] != n_unit + 1 or rate.shape != (n_unit,):
        raise IsingError(
            "Expected theta (time, unit, 1 + unit) and a rate of each unit, found shapes "
            f"{theta.shape} and {rate.shape}."
        )
    chosen = ("exact" if n_unit <= MAX_EXACT else "corrected") if method == "auto" else method
    if chosen not in METHODS:
        raise IsingError(f"Expected a method out of auto, {', '.join(METHODS)}, found {method!r}.")
    if chosen == "exact":
        return _exact(theta, rate)
    return _mean_field(theta, rate, chosen)


def _softplus(field: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, field)


def _sigmoid(field: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * field))


def _exact(theta: np.ndarray, rate: np.ndarray) -> EntropyFlow:
    """Sum over the words before and after each step."""
    n_time, n_unit, _ = theta.shape
    if n_unit > MAX_EXACT:
        raise IsingError(
            f"Exact sums over the pairs of words of {n_unit} units need {8 * 4.0**n_unit / 2**30:.3g} GiB; take at "
            f"most {MAX_EXACT} units, or method corrected."
        )
    words = (np.arange(1 << n_unit)[:, None] >> np.arange(n_unit) & 1).astype(float)
    before = np.prod(np.where(words == 1.0, rate, 1.0 - rate), axis=1)
    forward, backward, rates = np.empty((3, n_time, n_unit))
    for t in range(n_time):
        field = theta[t, :, 0] + words @ theta[t, :, 1:].T
        active = _sigmoid(field)
        # p(x, x') = p(x) prod_i p(x'_i | x)
        step = np.exp(words @ (field - _softplus(field)).T - (1.0 - words) @ _softplus(field).T)
        joint = before[:, None] * step.T
        after = joint.sum(axis=0)
        forward[t] = before @ (_softplus(field) - active * field)
        # of the reverse: the unit's state before is what the field after has to give
        backward[t] = after @ _softplus(field) - ((joint.T @ words) * field).sum(axis=0)
        before, rates[t] = after, after @ words
    return EntropyFlow(forward, backward, rates, "exact")


def _mean_field(theta: np.ndarray, rate: np.ndarray, method: str) -> EntropyFlow:
    """Take fields to be Gaussian, of units that are independent before each step."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODE)
    weights = weights / weights.sum()
    forward, backward, rates = np.empty((3, *theta.shape[:2]))
    before = rate
    for t, one in enumerate(theta):
        field = _fields(one, before, nodes)
        active = _sigmoid(field)
        after = active @ weights
        forward[t] = (_softplus(field) - active * field) @ weights
        reverse = _fields(one, after, nodes)
        backward[t] = (_softplus(reverse) - before[:, None] * reverse) @ weights
        if method == "corrected":
            gain = (active * (1.0 - active)) @ weights
            backward[t] -= (one[:, 1:] * one[:, 1:].T) @ gain * before * (1.0 - before)
        before = rates[t] = after
    return EntropyFlow(forward, backward, rates, method)


def _fields(theta: np.ndarray, rate: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return fields (unit, node) from independent units of these rates."""
    couplings = theta[:, 1:]
    deviation = np.sqrt(couplings**2 @ (rate * (1.0 - rate)))
    return (theta[:, 0] + couplings @ rate)[:, None] + deviation[:, None] * nodes
