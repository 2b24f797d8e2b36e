"""Samplers of Glauber dynamics: what a run carries from one block of states to the next.

Both hold a coupling matrix as the kernels want it, dense where many of its entries differ from zero and as lists of
each source where few do, which changes the time of a run but no state of it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy import sparse, special

from neq.errors import ModelError
from neq.kernels import glauber

from .network import Couplings

Layout: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

LISTED = 0.15
"""Share of couplings up to which lists are faster than rows of the whole matrix, in both dynamics."""
ADD, FLIP, SEND, SEND_ROW = 0.85, 18.0, 0.8, 0.12
"""Nanoseconds of an entry of a field added up, of a flip where fields are kept, and of each field that it changes."""
CHUNK = 32_768
"""Uniform numbers drawn at once from a generator that is no PCG64: 256 kB, which stay in the cache."""
SCALE_BITS, FIELD_BITS = 40, 62
"""The fields of the sequential dynamics are kept in units of 2^-40 or, where they are huge, in 62 bits."""
MAX_FIELD = 2.0**50


def by_source(couplings: Couplings) -> Layout:
    """Return couplings (target, source) as ``dense`` (source, target), offsets, targets and weights for the kernels."""
    n_unit = couplings.shape[0]
    listed = sparse.csc_array(couplings)
    listed.eliminate_zeros()
    listed.sort_indices()
    empty = np.empty(0, dtype=np.uint32)
    if listed.nnz > LISTED * n_unit**2:
        return np.ascontiguousarray(listed.toarray().T), empty, empty, np.empty(0, dtype=listed.dtype)
    offsets, targets = listed.indptr.astype(np.uint32), listed.indices.astype(np.uint32)
    return np.empty((0, n_unit), dtype=listed.dtype), offsets, targets, listed.data


def by_target(couplings: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first entry (target + 1,), sources and weights, each target's padded to whole groups of lanes."""
    count = np.diff(couplings.indptr)
    first = np.concatenate([[0], np.cumsum(-(-count // glauber.LANES) * glauber.LANES)])
    entry = np.arange(couplings.nnz) + np.repeat(first[:-1] - couplings.indptr[:-1], count)
    sources, weights = np.zeros(first[-1], dtype=np.uint32), np.zeros(first[-1], dtype=couplings.dtype)
    sources[entry], weights[entry] = couplings.indices, couplings.data
    return first.astype(np.uint64), sources, weights


class ParallelSampler:
    """All units at once. Each unit of each update takes one number of the generator, in their order."""

    def __init__(self, couplings: Couplings, bias: np.ndarray, generator: np.random.Generator) -> None:
        self.layout, self.bias, self.generator = by_source(couplings), bias, generator
        self.state = generator.random(bias.size) < special.expit(bias)

    def advance(self, thin: int, out: np.ndarray) -> None:
        """Make ``thin`` updates for each row of ``out`` (step, unit) of bool, and write the state into it."""
        out[:] = self.state
        if self.generator.bit_generator.state["bit_generator"] == "PCG64":
            words = _pcg64_words(self.generator)
            self._update(words, np.empty((0, 0)), thin * len(out), 0, thin, out)
            _set_pcg64_words(self.generator, words)
            return
        n_chunk = max(1, CHUNK // self.bias.size)
        for done in range(0, thin * len(out), n_chunk):
            uniform = self.generator.random((min(n_chunk, thin * len(out) - done), self.bias.size))
            self._update(np.empty(4, dtype=np.uint64), uniform, len(uniform), done, thin, out)

    def _update(
        self, words: np.ndarray, uniform: np.ndarray, n_update: int, done: int, thin: int, out: np.ndarray
    ) -> None:
        glauber.parallel(*self.layout, self.bias, self.state, words, uniform, n_update, done, thin, out)


class SequentialSampler:
    """One random unit at a time, its random numbers from a xoshiro256++ of its own seeded by the generator.

    Couplings and biases are taken in units of 2^-40: sums are then exact, and states the same whichever kernel adds.

    Raises
    ------
    ModelError
        The couplings and bias of a unit add up to more than 2^50.
    """

    def __init__(self, couplings: Couplings, bias: np.ndarray, generator: np.random.Generator) -> None:
        self.scale_bits = _scale_bits(couplings, bias)
        state = generator.random(bias.size) < special.expit(bias)
        self.words = generator.integers(0, 2**64, size=4, dtype=np.uint64)
        whole = sparse.csr_array(couplings).astype(np.int64, copy=True)
        whole.data = self._whole(sparse.csr_array(couplings).data)
        whole.eliminate_zeros()
        field = self._whole(bias)
        self.carried: tuple[np.ndarray, ...]
        if _few_act(couplings, bias):
            self.kernel, self.carried = glauber.sequential_few, (*by_target(whole), field, -state.astype(np.int64))
        else:
            field += whole @ state
            self.kernel, self.carried = glauber.sequential_many, (*by_source(whole), field, state.view(np.uint8))

    def _whole(self, values: np.ndarray) -> np.ndarray:
        """Return values in units of 2^-scale_bits."""
        return np.rint(np.ldexp(values, self.scale_bits)).astype(np.int64)

    def advance(self, thin: int, out: np.ndarray) -> None:
        """Attempt ``thin`` updates for each row of ``out`` (step, unit) of bool, and write the state into it."""
        self.kernel(*self.carried, self.words, self.scale_bits, thin, out)


def _few_act(couplings: Couplings, bias: np.ndarray) -> bool:
    """Return whether adding up a field is likely to cost less than keeping it, from a mean-field guess of flips."""
    active = np.full(bias.size, 0.5)
    for _ in range(10):  # mean field
        active = (active + special.expit(bias + couplings @ active)) / 2
    flips = float(np.mean(2.0 * active * (1.0 - active)))
    n_unit, n_coupling = bias.size, sparse.csr_array(couplings).nnz
    listed = n_coupling <= LISTED * n_unit**2
    sent = SEND * n_coupling / n_unit if listed else SEND_ROW * n_unit
    return ADD * (n_coupling / n_unit + glauber.LANES / 2) < flips * (FLIP + sent)


def _scale_bits(couplings: Couplings, bias: np.ndarray) -> int:
    """Return the scale at which no field leaves 62 bits."""
    largest = float((abs(sparse.csr_array(couplings)).sum(axis=1) + abs(bias)).max())
    if largest > MAX_FIELD:
        raise ModelError(f"expected fields up to 2^50 in size, found {largest:.3g}; divide couplings and bias")
    return min(SCALE_BITS, FIELD_BITS - int(np.frexp(largest)[1]))


def _pcg64_words(generator: np.random.Generator) -> np.ndarray:
    """Return state and increment of a PCG64 as two words each."""
    state = generator.bit_generator.state["state"]
    whole = state["state"], state["inc"]
    return np.array([half for value in whole for half in (value >> 64, value & (2**64 - 1))], dtype=np.uint64)


def _set_pcg64_words(generator: np.random.Generator, words: np.ndarray) -> None:
    """Set the state of a PCG64 to what the kernel left."""
    state = generator.bit_generator.state
    state["state"]["state"] = (int(words[0]) << 64) | int(words[1])
    generator.bit_generator.state = state
