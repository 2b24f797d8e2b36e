"""The samplers against slow twins in plain Python, draw by draw, and numpy's own generator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, special

from neq.kernels import glauber, random_words
from neq.models import sampling

MASK = 2**64 - 1


def turned(word, n_bit):
    return ((word << n_bit) | (word >> (64 - n_bit))) & MASK


def twin_word(s):
    """Xoshiro256++ on Python's integers, from its published definition."""
    result = (turned((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
    shifted = (s[1] << 17) & MASK
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = turned(s[3], 45)
    return result


def network(n_unit, seed, density, strength=2.0, bias=-1.0):
    rng = np.random.default_rng(seed)
    couplings = rng.normal(0.0, strength, (n_unit, n_unit)) * (rng.random((n_unit, n_unit)) < density)
    np.fill_diagonal(couplings, 0.0)
    return couplings, rng.normal(bias, 1.0, n_unit)


def twin_parallel(couplings, bias, n_step, generator):
    state = generator.random(bias.size) < special.expit(bias)
    rows = []
    for _ in range(n_step):
        field = bias.copy()
        for source in np.flatnonzero(state):
            field = field + couplings[:, source]
        state = np.array([generator.random() * (1.0 + math.exp(-h)) < 1.0 for h in field])
        rows.append(state)
    return np.array(rows)


def twin_sequential(couplings, bias, n_step, generator):
    """Fields from the start at each attempt, in whole multiples of 2^-40, by Python's integers."""
    state = generator.random(bias.size) < special.expit(bias)
    words = [int(word) for word in generator.integers(0, 2**64, size=4, dtype=np.uint64)]
    whole = [[round(math.ldexp(value, 40)) for value in row] for row in couplings]
    field = [round(math.ldexp(value, 40)) for value in bias]
    rows = []
    for _ in range(n_step):
        unit, fraction = divmod(twin_word(words) * bias.size, 2**64)
        h = field[unit] + sum(whole[unit][source] for source in np.flatnonzero(state))
        state[unit] = fraction * 2.0**-64 * (1.0 + math.exp(-math.ldexp(h, -40))) < 1.0
        rows.append(state.copy())
    return np.array(rows)


@settings(max_examples=25)
@given(n_unit=st.integers(1, 20), seed=st.integers(0, 10_000), density=st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_parallel__is_its_slow_twin(n_unit, seed, density):
    couplings, bias = network(n_unit, seed, density)
    want = twin_parallel(couplings, bias, 40, np.random.default_rng(seed))
    for given_as in (couplings, sparse.csc_matrix(couplings)):
        sampler = sampling.ParallelSampler(given_as, bias, np.random.default_rng(seed))
        got = np.empty((40, n_unit), dtype=bool)
        sampler.advance(1, got)
        assert np.array_equal(got, want)


@settings(max_examples=25)
@given(n_unit=st.integers(1, 20), seed=st.integers(0, 10_000), density=st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_sequential__is_its_slow_twin_by_each_way_of_adding(n_unit, seed, density):
    couplings, bias = network(n_unit, seed, density)
    want = twin_sequential(couplings, bias, 300, np.random.default_rng(seed))
    for few in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampling, "_few_act", lambda *_, few=few: few)
            sampler = sampling.SequentialSampler(couplings, bias, np.random.default_rng(seed))
        assert (sampler.kernel is glauber.sequential_few) == few
        got = np.empty((300, n_unit), dtype=bool)
        sampler.advance(1, got)
        assert np.array_equal(got, want)


@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.SFC64])
def test_parallel__takes_its_draws_from_any_generator_in_order(bit_generator, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 50)
    couplings, bias = network(8, 1, 0.5)
    ours, theirs = (np.random.Generator(bit_generator(3)) for _ in range(2))
    got = np.empty((30, 8), dtype=bool)
    sampling.ParallelSampler(couplings, bias, ours).advance(1, got)
    assert np.array_equal(got, twin_parallel(couplings, bias, 30, theirs))
    assert ours.random() == theirs.random()


def test_bounds__enclose_the_probability_in_their_cell():
    h = np.random.default_rng(0).uniform(-45.0, 45.0, 200_000)
    cell = np.clip((h + glauber.REACH) * glauber.CELLS_PER_UNIT, 0, glauber.LAST_CELL).astype(int)
    assert (glauber.LOWER[cell] <= special.expit(h)).all()
    assert (special.expit(h) <= glauber.UPPER[cell]).all()
    assert (glauber.UPPER - glauber.LOWER).max() < 0.017


def test_split_word__every_unit_has_its_share_of_the_words():
    n = 1000
    for number in (0, 1, 499, 999):
        edge = -(-number * 2**64 // n)
        unit, fraction = random_words.split_word(np.uint64(edge), n)
        assert (unit, fraction) == (number, edge * n - number * 2**64)
        if number:
            assert random_words.split_word(np.uint64(edge - 1), n)[0] == number - 1


@pytest.mark.parametrize("strength", [50.0, 1e4, 1e9])
def test_sequential__huge_fields_decide_for_certain(strength):
    couplings = np.array([[0.0, strength], [-strength, 0.0]])
    bias = np.array([-strength / 2, strength / 2])
    sampler = sampling.SequentialSampler(couplings, bias, np.random.default_rng(0))
    states = np.empty((2000, 2), dtype=bool)
    sampler.advance(1, states)
    changed = (states[1:] != states[:-1]).any(axis=1)
    order = (2 * states[:, 1] + (states[:, 0] != states[:, 1])).astype(int)  # the states in the one possible order
    assert len(set(np.diff(order)[changed] % 4)) == 1
    assert 0.4 < changed.mean() < 0.6
