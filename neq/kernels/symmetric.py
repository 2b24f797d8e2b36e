"""Symmetric positive definite matrices of some tens of rows, for which a call of LAPACK costs more than its work.

Inner loops run along rows, so that the compiler makes vector instructions of them. What is not positive definite gives
NaN.
"""

from __future__ import annotations

import numpy as np

from ._jit import kernel


@kernel
def factorise(matrix, lower):
    """Write the Cholesky factor (n, n) of ``matrix`` (n, n) into the lower triangle of ``lower``; return ln det.

    Two columns at a time, so that what lies below them is read and written half as often.
    """
    n = len(matrix)
    first, second = np.empty(n), np.empty(n)
    for i in range(n):
        for j in range(i + 1):
            lower[i, j] = matrix[i, j]
    log_determinant = 0.0
    for k in range(0, n, 2):
        pivot = np.sqrt(lower[k, k])
        lower[k, k] = pivot
        log_determinant += 2.0 * np.log(pivot)
        scale = 1.0 / pivot
        for i in range(k + 1, n):
            first[i] = lower[i, k] * scale
            lower[i, k] = first[i]
        if k + 1 < n:
            pivot = np.sqrt(lower[k + 1, k + 1] - first[k + 1] ** 2)
            lower[k + 1, k + 1] = pivot
            log_determinant += 2.0 * np.log(pivot)
            scale = 1.0 / pivot
            for i in range(k + 2, n):
                second[i] = (lower[i, k + 1] - first[i] * first[k + 1]) * scale
                lower[i, k + 1] = second[i]
            for i in range(k + 2, n):
                one, two = first[i], second[i]
                for j in range(k + 2, i + 1):
                    lower[i, j] -= one * first[j] + two * second[j]
        # a logarithm now and then: the product of a few pivots does not overflow
    return log_determinant


@kernel
def solve(lower, right):
    """Solve with the factor of a matrix, ``right`` (n,) becoming the solution."""
    n = len(right)
    for i in range(n):
        value = right[i]
        for k in range(i):
            value -= lower[i, k] * right[k]
        right[i] = value / lower[i, i]
    for i in range(n - 1, -1, -1):
        right[i] /= lower[i, i]
        for k in range(i):
            right[k] -= lower[i, k] * right[i]


@kernel
def inverse_factor(lower, root):
    """Write the inverse (n, n) of the factor of a matrix into ``root``, zero above the diagonal."""
    root[:] = 0.0
    for i in range(len(lower)):
        for k in range(i):
            scale = lower[i, k]
            for j in range(k + 1):
                root[i, j] -= scale * root[k, j]
        for j in range(i):
            root[i, j] /= lower[i, i]
        root[i, i] = 1.0 / lower[i, i]


@kernel
def invert(lower, inverse):
    """Write the inverse (n, n) of a matrix, given its factor; two rows of the factor's inverse at a time."""
    n = len(lower)
    # a row of zeros more, so that rows come in pairs
    root = np.zeros((n + 1, n))
    inverse_factor(lower, root[:n])
    inverse[:] = 0.0
    for k in range(0, n, 2):
        for i in range(min(k + 2, n)):
            one, two = root[k, i], root[k + 1, i]
            for j in range(i + 1):
                inverse[i, j] += one * root[k, j] + two * root[k + 1, j]
    for i in range(n):
        for j in range(i):
            inverse[j, i] = inverse[i, j]
