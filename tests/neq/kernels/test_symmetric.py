"""Factor, solution and inverse against numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.kernels import symmetric


def drawn(n, seed):
    root = np.random.default_rng(seed).normal(size=(n, n + 2))
    return root @ root.T + 0.1 * np.eye(n)


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_symmetric__is_what_numpy_says(n, seed):
    matrix = drawn(n, seed)
    lower, inverse = np.full((n, n), np.nan), np.empty((n, n))
    assert symmetric.factorise(matrix, lower) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(np.tril(lower), np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-12)
    symmetric.invert(lower, inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(inverse, inverse.T)
    right = np.arange(1.0, n + 1)
    expected = np.linalg.solve(matrix, right)
    symmetric.solve(lower, right)
    np.testing.assert_allclose(right, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [36, 55])
def test_symmetric__of_the_size_of_a_model(n):
    matrix = drawn(n, 0)
    lower, inverse = np.empty((n, n)), np.empty((n, n))
    symmetric.factorise(matrix, lower)
    symmetric.invert(lower, inverse)
    np.testing.assert_allclose(inverse @ matrix, np.eye(n), atol=1e-8)


def test_factorise__of_what_is_not_positive_definite_is_nan():
    assert np.isnan(symmetric.factorise(np.array([[1.0, 2.0], [2.0, 1.0]]), np.empty((2, 2))))
