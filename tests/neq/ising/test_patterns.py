"""Sums over words against sums written out, and the orders of words and sets."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import IsingError
from neq.ising import Patterns


def written_out(patterns, theta):
    """Return probabilities by word, expectations, Fisher information and log normaliser, by plain sums."""
    words = list(product((0, 1), repeat=patterns.n_unit))
    features = np.array([[all(word[i] for i in units) for units in patterns.sets] for word in words], dtype=float)
    weight = np.exp(features @ theta)
    p = weight / weight.sum()
    eta = p @ features
    fisher = (features * p[:, None]).T @ features - np.outer(eta, eta)
    return dict(zip(words, p, strict=True)), eta, fisher, np.log(weight.sum())


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_patterns__are_sums_over_words(n_unit, order, seed):
    patterns = Patterns(n_unit, min(order, n_unit))
    theta = np.random.default_rng(seed).normal(size=patterns.n_parameter) * 2
    p, eta, fisher, psi = written_out(patterns, theta)
    expected = [p[tuple(word)] for word in patterns.words.tolist()]
    np.testing.assert_allclose(patterns.probabilities(theta), expected, rtol=1e-12)
    np.testing.assert_allclose(patterns.expectations(theta), eta, rtol=1e-12)
    np.testing.assert_allclose(patterns.fisher_information(theta), fisher, atol=1e-14)
    assert patterns.log_normaliser(theta) == pytest.approx(psi, rel=1e-12)


def test_patterns__order_of_words_and_sets():
    patterns = Patterns(4, 3)
    assert ["".join(map(str, word)) for word in Patterns(3).words.tolist()] == (
        ["000", "100", "010", "001", "110", "101", "011", "111"]
    )
    assert patterns.sets == tuple(u for k in (1, 2, 3) for u in combinations(range(4), k))
    assert patterns.n_parameter == len(patterns.sets) == 14


def test_patterns__huge_parameters_do_not_overflow():
    patterns = Patterns(2)
    assert patterns.probabilities(np.array([900.0, 900.0, 0.0]))[-1] == pytest.approx(1.0)
    assert patterns.log_normaliser(np.array([900.0, 0.0, 0.0])) == pytest.approx(900.0 + np.log(2.0))


def test_products__of_spikes():
    spikes = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
    assert Patterns(3).products(spikes).astype(int).tolist() == [[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("n_unit", "order", "problem"),
    [
        (3, 4, r"order from 1 to the number of units \(3\), found 4"),
        (3, 0, "found 0"),
        (30, 2, "30 units need 8 GiB for one time bin; take at most 20 units"),
    ],
)
def test_patterns__refuses(n_unit, order, problem):
    with pytest.raises(IsingError, match=problem):
        Patterns(n_unit, order)


@pytest.mark.parametrize("theta", [np.zeros(5), np.zeros((1, 6)), np.full(6, np.nan)])
def test_patterns__refuses_parameters_of_another_model(theta):
    with pytest.raises(IsingError, match="Expected theta as 6 finite numbers"):
        Patterns(3).probabilities(theta)
