"""Obvious, slow twins of the kernels: dense spins, dense observables, no kernel imports."""

from __future__ import annotations

import numpy as np


def transition_pairs(segment, lag):
    """Return the (earlier, later) bins of every transition, by looking at each bin between them."""
    pairs = []
    for t in range(len(segment) - lag):
        if all(segment[t + step] == segment[t] for step in range(lag + 1)):
            pairs.append((t, t + lag))
    return pairs


def observables(spikes, pairs, name):
    """Return g (transition, observable) of dense spins."""
    x = 2.0 * np.asarray(spikes, float) - 1.0
    n_unit = x.shape[1]
    rows = []
    for start, stop in pairs:
        before, after = x[start], x[stop]
        if name == "antisymmetric":
            rows.append(
                [after[i] * before[j] - before[i] * after[j] for i in range(n_unit) for j in range(i + 1, n_unit)]
            )
        else:
            rows.append([(after[i] - before[i]) * before[j] for i in range(n_unit) for j in range(n_unit)])
    return np.array(rows).reshape(len(pairs), -1)


def objective(spikes, pairs, theta, name):
    """Return J, its gradient, and the scores theta.g of the recorded and of the exchanged pairs."""
    forward = observables(spikes, pairs, name)
    backward = observables(spikes, [(stop, start) for start, stop in pairs], name)
    score, reverse = forward @ theta, backward @ theta
    weight = np.exp(reverse - reverse.max())
    log_normaliser = reverse.max() + np.log(weight.mean())
    gradient = forward.mean(axis=0) - (weight @ backward) / weight.sum()
    return score.mean() - log_normaliser, gradient, score, reverse
