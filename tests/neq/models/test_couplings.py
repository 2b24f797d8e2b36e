"""Couplings drawn at random and from patterns."""

from __future__ import annotations

import numpy as np
import pytest

from neq.errors import ModelError
from neq.models import KineticIsing, draw_patterns, pattern_couplings, sparse_spin_couplings, spiking_network


def test_sparse_spin_couplings__mean_neighbours_and_size():
    couplings = sparse_spin_couplings(2000, np.random.default_rng(0), mean_neighbours=6.0)
    assert abs(couplings.nnz / 2000 - 6.0) < 5 * np.sqrt(6.0 / 2000)
    assert not couplings.diagonal().any()
    np.testing.assert_allclose(np.mean(couplings.data**2), 1 / 6, rtol=0.06)
    again = sparse_spin_couplings(2000, np.random.default_rng(0), mean_neighbours=6.0)
    assert np.array_equal(again.toarray(), couplings.toarray())


def test_sparse_spin_couplings__any_ordered_pair_may_be_coupled():
    couplings = sparse_spin_couplings(5, np.random.default_rng(0), mean_neighbours=4.0)
    assert np.array_equal(couplings.toarray() != 0, ~np.eye(5, dtype=bool))


def test_spiking_network__is_the_ensemble():
    couplings, bias = spiking_network(500, np.random.default_rng(1))
    assert abs(couplings.nnz - 0.1 * 500 * 499) < 5 * np.sqrt(0.09 * 500 * 499)
    np.testing.assert_allclose(couplings.data.std(), 0.5, rtol=0.02)
    np.testing.assert_allclose([bias.mean(), bias.std()], [-3.2, 0.5], atol=0.1)
    states = KineticIsing(couplings=couplings, bias=bias).simulate(200, burn_in=20)
    assert 0.02 < states.mean() < 0.12


def test_pattern_couplings__slow_sum():
    patterns = draw_patterns(4, 7, np.random.default_rng(2))
    want = np.zeros((7, 7))
    for i in range(7):
        for j in range(7):
            for k in range(4):
                follower = patterns[(k + 1) % 4, i]
                want[i, j] += (i != j) * (1.5 * follower + 0.5 * patterns[k, i]) * patterns[k, j] / 7
    np.testing.assert_allclose(pattern_couplings(patterns, sequence=1.5, symmetric=0.5), want, atol=1e-15)


def test_pattern_couplings__hold_a_pattern_or_lead_to_the_next():
    patterns = draw_patterns(5, 400, np.random.default_rng(3))
    start = patterns[2]
    held = np.sign(pattern_couplings(patterns, sequence=0.0, symmetric=1.0) @ start)
    moved = np.sign(pattern_couplings(patterns) @ start)
    assert held @ patterns[2] / 400 > 0.95
    assert moved @ patterns[3] / 400 > 0.95


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_pattern_couplings__only_the_sequence_produces_entropy(dynamics):
    patterns = draw_patterns(3, 6, np.random.default_rng(4))
    still = KineticIsing.from_spins(pattern_couplings(patterns, sequence=0.0, symmetric=1.0), dynamics=dynamics)
    moving = KineticIsing.from_spins(pattern_couplings(patterns), dynamics=dynamics)
    assert still.entropy_production() < 1e-12 < moving.entropy_production()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: sparse_spin_couplings(1, rng), "at least 2 units"),
        (lambda rng: sparse_spin_couplings(5, rng, mean_neighbours=5.0), "mean_neighbours"),
        (lambda rng: spiking_network(5, rng, density=1.5), "density between 0 and 1"),
        (lambda rng: pattern_couplings(np.zeros((2, 3))), "of \\+1 and -1"),
        (lambda rng: pattern_couplings(np.ones(3)), "patterns \\(pattern, unit\\)"),
    ],
)
def test_couplings__reject(call, message):
    with pytest.raises(ModelError, match=message):
        call(np.random.default_rng(0))
