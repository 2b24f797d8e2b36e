"""Random words inside the kernels: numpy's PCG64 continued where it stands, and xoshiro256++ for loops of single draws.

A call of numpy's own bit generator costs more than all else that an update of a unit needs.

References
----------
.. [1] O'Neill, "PCG: A family of simple fast space-efficient statistically good algorithms for random number
   generation", Harvey Mudd College HMC-CS-2014-0905 (2014): PCG64 is its XSL-RR 128/64 member.
.. [2] Blackman & Vigna, "Scrambled linear pseudorandom number generators", ACM Trans. Math. Softw. 47, 36 (2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ._jit import kernel

MULTIPLIER_HIGH, MULTIPLIER_LOW = np.uint64(2549297995355413924), np.uint64(4865540595714422341)
"""The multiplier of PCG64, as its two words."""
LOW_HALF = np.uint64(0xFFFFFFFF)


@intrinsic
def _high_product(typing_context: Any, first: Any, second: Any) -> Any:
    """Return the upper 64 bits of the product of two words: one instruction, which numba has no name for."""

    def codegen(context, builder, signature, arguments):
        word = arguments[0].type
        double = type(word)(128)
        product = builder.mul(*(builder.zext(argument, double) for argument in arguments))
        return builder.trunc(builder.lshr(product, double(64)), word)

    return types.uint64(types.uint64, types.uint64), codegen


@kernel
def next_uniform(high, low, step_high, step_low):
    """Return what ``Generator(PCG64).random`` gives from the two words of its state, and these after it.

    ``step_high`` and ``step_low`` are the words of its increment.
    """
    high = _high_product(low, MULTIPLIER_LOW) + high * MULTIPLIER_LOW + low * MULTIPLIER_HIGH  # type: ignore[call-arg]
    low = low * MULTIPLIER_LOW + step_low
    high += step_high + np.uint64(low < step_low)
    mixed, turn = high ^ low, high >> np.uint64(58)
    mixed = (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))
    return np.float64(np.int64(mixed >> np.uint64(11))) * 2.0**-53, high, low


@kernel
def next_word(a, b, c, d):
    """Return the next word of xoshiro256++ and its four words of state after it."""
    total = a + d
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
    shifted = b << np.uint64(17)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    return word, a, b, c, (d << np.uint64(45)) | (d >> np.uint64(19))


@kernel
def split_word(word, n):
    """Return from one word a number below ``n`` < 2^32, and the 64-bit fraction that is left over.

    They are the integer part of ``word / 2^64 * n`` and its fraction: each number comes with a chance of 1 / n to
    within 2^-64, and given the number the fraction is uniform to within n / 2^64.
    """
    n = np.uint64(n)
    number = ((word >> np.uint64(32)) * n + (((word & LOW_HALF) * n) >> np.uint64(32))) >> np.uint64(32)
    return number, word * n
