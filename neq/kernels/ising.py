"""Sums over the 2^N words of an Ising model, by transforms that take N 2^N additions instead of a matrix of features.

A word is a number whose bit ``i`` says whether unit ``i`` is active; a parameter belongs to a set of units, ``mask``.
"""

from __future__ import annotations

import numpy as np

from . import symmetric
from ._jit import kernel


@kernel
def word_probabilities(theta, mask, n_unit, words):
    """Write the probability of every word into ``words`` (2^unit,) and return the log normaliser.

    The energy of a word is the sum of ``theta`` (parameter,) over all sets that it holds: a sum over subsets.
    """
    words[:] = 0.0
    for d in range(len(mask)):
        words[mask[d]] += theta[d]
    for i in range(n_unit):
        step = 1 << i
        for base in range(0, len(words), 2 * step):
            for k in range(base, base + step):
                words[k + step] += words[k]
    # the largest is taken out, so that none overflows
    top = words.max()
    total = 0.0
    for k in range(len(words)):
        words[k] = np.exp(words[k] - top)
        total += words[k]
    for k in range(len(words)):
        words[k] /= total
    return top + np.log(total)


@kernel
def joint_activity(words, n_unit):
    """Turn probabilities of words into P(all units of the set are active) of every set of units, in place."""
    for i in range(n_unit):
        step = 1 << i
        for base in range(0, len(words), 2 * step):
            for k in range(base, base + step):
                words[k] += words[k + step]


@kernel
def moments(theta, mask, union, n_unit, words, eta, fisher):
    """Write expectations (parameter,) and Fisher information (parameter, parameter); return the log normaliser.

    ``union`` (parameter, parameter) is the set of both; ``words`` (2^unit,) is working memory.
    """
    log_normaliser = word_probabilities(theta, mask, n_unit, words)
    joint_activity(words, n_unit)
    for d in range(len(mask)):
        eta[d] = words[mask[d]]
    for d in range(len(mask)):
        for e in range(d + 1):
            fisher[d, e] = words[union[d, e]] - eta[d] * eta[e]
            fisher[e, d] = fisher[d, e]
    return log_normaliser


@kernel
def posterior_mode(
    mean, n_trial, prior_mean, prior_precision, mask, union, n_unit, tolerance, max_step, theta, curvature
):
    """Move ``theta`` (parameter,) to the mode of a posterior, by Newton's method.

    The log posterior is n_trial (mean . theta - log normaliser) minus a quadratic form about ``prior_mean``; it is
    concave, and a step that does not raise it is halved. ``curvature`` (parameter, parameter) becomes its negative
    second derivative at the mode.

    Returns
    -------
    tuple
        The log normaliser, and the number of steps; ``max_step + 1`` of them where the largest gradient per trial
        stays above ``tolerance``.
    """
    n_parameter = len(theta)
    words, eta = np.empty(1 << n_unit), np.empty(n_parameter)
    lower = np.empty((n_parameter, n_parameter))
    log_normaliser = moments(theta, mask, union, n_unit, words, eta, curvature)
    pull = prior_precision @ (theta - prior_mean)
    value = n_trial * (mean @ theta - log_normaliser) - 0.5 * ((theta - prior_mean) @ pull)
    n_step = 0
    while True:
        step = n_trial * (mean - eta) - pull
        for d in range(n_parameter):
            for e in range(n_parameter):
                curvature[d, e] = n_trial * curvature[d, e] + prior_precision[d, e]
        if np.max(np.abs(step)) <= tolerance * n_trial or n_step > max_step:
            return log_normaliser, n_step
        symmetric.factorise(curvature, lower)
        symmetric.solve(lower, step)
        before, scale = value, 1.0
        while True:
            proposed = theta + scale * step
            log_normaliser = moments(proposed, mask, union, n_unit, words, eta, curvature)
            pull = prior_precision @ (proposed - prior_mean)
            value = n_trial * (mean @ proposed - log_normaliser) - 0.5 * ((proposed - prior_mean) @ pull)
            # a step at the limit of rounding may seem to fall
            if value >= before - 1e-12 * abs(before) or scale < 1e-8:
                break
            scale *= 0.5
        theta[:] = proposed
        n_step += 1


@kernel
def laplace_filter(
    mean,
    n_trial,
    transition,
    moves,
    noise,
    drift,
    mask,
    union,
    n_unit,
    tolerance,
    max_step,
    theta,
    covariance,
    predicted,
    predicted_covariance,
    predicted_precision,
    log_normaliser,
    log_volume,
):
    """Filter all bins in turn; the first row of ``predicted`` and ``predicted_covariance`` is given.

    ``theta`` (time, parameter) holds where the searches begin, and then the modes; ``drift`` (time, parameter) is
    added to what is predicted; ``moves`` is whether ``transition`` is not the identity. ``log_volume`` (time,) becomes
    ln det of the covariance less that of the predicted one. Returns the first bin whose search does not end, -1 where
    all do.
    """
    n_time, n_parameter = mean.shape
    curvature, lower = np.empty((n_parameter, n_parameter)), np.empty((n_parameter, n_parameter))
    for t in range(n_time):
        if t > 0 and moves:
            predicted[t] = transition @ theta[t - 1] + drift[t]
            predicted_covariance[t] = transition @ covariance[t - 1] @ transition.T + noise
        elif t > 0:
            predicted[t] = theta[t - 1] + drift[t]
            predicted_covariance[t] = covariance[t - 1] + noise
        before = symmetric.factorise(predicted_covariance[t], lower)
        symmetric.invert(lower, predicted_precision[t])
        log_normaliser[t], n_step = posterior_mode(
            mean[t],
            n_trial,
            predicted[t],
            predicted_precision[t],
            mask,
            union,
            n_unit,
            tolerance,
            max_step,
            theta[t],
            curvature,
        )
        log_volume[t] = -symmetric.factorise(curvature, lower) - before
        symmetric.invert(lower, covariance[t])
        if n_step > max_step or not np.all(np.isfinite(theta[t])):
            return t
    return -1


@kernel
def smooth(ahead, predicted, predicted_precision, theta, covariance, lag):
    """Turn filtered ``theta`` (time, parameter) and ``covariance`` into smoothed ones, from the last bin backwards.

    ``ahead`` (time - 1, parameter, parameter) is the covariance of each bin with the next one given the bins up to it;
    ``lag`` becomes that given all bins, at the later of the two.
    """
    for t in range(len(theta) - 2, -1, -1):
        gain = ahead[t] @ predicted_precision[t + 1]
        theta[t] += gain @ (theta[t + 1] - predicted[t + 1])
        np.dot(gain, covariance[t + 1], lag[t + 1])
        covariance[t] += (lag[t + 1] - ahead[t]) @ gain.T


@kernel
def gibbs_sweeps(theta, mask, first_set, set_of, word, uniform, words):
    """Sweep over the units once for each row of ``uniform`` (sweep, unit), writing the word after it into ``words``.

    ``set_of[first_set[i] : first_set[i + 1]]`` are the parameters of the sets that hold unit ``i``. Returns the last
    word.
    """
    for sweep in range(len(uniform)):
        for i in range(uniform.shape[1]):
            others = word & ~(1 << i)
            field = 0.0
            for k in range(first_set[i], first_set[i + 1]):
                rest = mask[set_of[k]] & ~(1 << i)
                if rest & others == rest:
                    field += theta[set_of[k]]
            word = others | (1 << i) if uniform[sweep, i] <= 1.0 / (1.0 + np.exp(-field)) else others
        words[sweep] = word
    return word
