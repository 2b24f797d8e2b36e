"""Kinetic Ising network: closed forms, the slow formula over all pairs of states, and the sampler against them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from neq.models.kinetic_ising import KineticIsing


def reference_entropy_production(model):
    """Sum p(s) P(s'|s) ln [p(s) P(s'|s) / (p(s') P(s|s'))] over all pairs of states, p by power iteration."""
    log_transition = model.log_transition()
    transition = np.exp(log_transition)
    probability = np.full(len(transition), 1.0 / len(transition))
    for _ in range(20_000):
        probability = 0.5 * (probability + probability @ transition)
    total = 0.0
    for a in range(len(transition)):
        for b in range(len(transition)):
            if transition[a, b] > 0.0:
                ratio = np.log(probability[a] / probability[b]) + log_transition[a, b] - log_transition[b, a]
                total += probability[a] * transition[a, b] * ratio
    return total


def random_network(n_unit, *, seed=0, strength=1.0, dynamics="parallel"):
    rng = np.random.default_rng(seed)
    couplings = rng.normal(0.0, strength, (n_unit, n_unit))
    np.fill_diagonal(couplings, 0.0)
    return KineticIsing(couplings=couplings, bias=rng.normal(-1.0, 0.5, n_unit), dynamics=dynamics)


def test_entropy_production__two_unit_chain():
    """Unit 0 is a coin with P(1) = p, unit 1 copies it with log-odds b + w s_0: all by hand."""
    bias, weight = np.array([-0.5, -1.0]), 2.0
    model = KineticIsing(couplings=np.array([[0.0, 0.0], [weight, 0.0]]), bias=bias)
    p = special.expit(bias[0])
    follows, follows_silence = special.expit(bias[1] + weight), special.expit(bias[1])
    mean = p * follows + (1 - p) * follows_silence
    # 2 A_10 <P(s'_1 | s) s_0> + 2 A_01 <P(s'_0 | s) s_1>; unit 0 does not see unit 1 of the same bin
    np.testing.assert_allclose(model.entropy_production(), weight * (p * follows - p * mean), rtol=1e-12)
    np.testing.assert_allclose(model.activity(), [p, mean], rtol=1e-12)


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
@settings(deadline=None, max_examples=10)
@given(n_unit=st.integers(1, 4), seed=st.integers(0, 1000), strength=st.floats(0.0, 2.0))
def test_entropy_production__matches_the_formula_over_pairs_of_states(dynamics, n_unit, seed, strength):
    model = random_network(n_unit, seed=seed, strength=strength, dynamics=dynamics)
    np.testing.assert_allclose(model.entropy_production(), reference_entropy_production(model), atol=1e-10)


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_entropy_production__zero_for_symmetric_couplings(dynamics):
    model = random_network(4, seed=3, dynamics=dynamics)
    symmetric = KineticIsing(couplings=model.couplings + model.couplings.T, bias=model.bias, dynamics=dynamics)
    assert symmetric.entropy_production() == 0.0
    flow = symmetric.stationary()[:, np.newaxis] * np.exp(symmetric.log_transition())
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)


def test_entropy_production__loop_in_one_direction():
    ring = np.roll(np.eye(3), 1, axis=0)
    model = KineticIsing(couplings=2.0 * ring, bias=np.full(3, -1.0))
    backwards = KineticIsing(couplings=2.0 * ring.T, bias=np.full(3, -1.0))
    assert model.entropy_production() > 0.1
    np.testing.assert_allclose(model.entropy_production(), backwards.entropy_production(), rtol=1e-12)


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_entropy_production__adds_over_modules(dynamics):
    first, second = random_network(3, seed=1, dynamics=dynamics), random_network(2, seed=2, dynamics=dynamics)
    couplings = np.zeros((5, 5))
    order = np.array([3, 0, 4]), np.array([2, 1])
    couplings[np.ix_(order[0], order[0])] = first.couplings
    couplings[np.ix_(order[1], order[1])] = second.couplings
    bias = np.empty(5)
    bias[order[0]], bias[order[1]] = first.bias, second.bias
    both = KineticIsing(couplings=couplings, bias=bias, dynamics=dynamics)
    assert [module.tolist() for module in both.modules] == [[0, 3, 4], [1, 2]]
    np.testing.assert_allclose(both.entropy_production(), reference_entropy_production(both), rtol=1e-9)
    one_by_one = np.array([first.entropy_production(), second.entropy_production()])
    scale = 1.0 if dynamics == "parallel" else np.array([3, 2]) / 5
    np.testing.assert_allclose(both.module_entropy_production(), scale * one_by_one, rtol=1e-9)


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_simulate__log_ratio_agrees_with_enumeration(dynamics):
    """The mean of ln P(s'|s) - ln P(s|s') along a run, which the sampler's own estimate does not use."""
    model = random_network(5, seed=4, dynamics=dynamics)
    states = model.simulate(200_000, seed=5)
    number = states @ (1 << np.arange(5))
    log_transition = model.log_transition()
    ratio = log_transition[number[:-1], number[1:]] - log_transition[number[1:], number[:-1]]
    error = np.std([part.mean() for part in np.array_split(ratio, 100)], ddof=1) / 10
    assert error < 0.05 * model.entropy_production()
    assert abs(ratio.mean() - model.entropy_production()) < 4 * error


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_simulate__visits_states_as_often_as_enumerated(dynamics):
    model = random_network(4, seed=6, dynamics=dynamics)
    number = model.simulate(100_000, seed=7, thin=8) @ (1 << np.arange(4))
    visited = np.bincount(number, minlength=16) / number.size
    np.testing.assert_allclose(visited, model.stationary(), atol=0.01)


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_sample_entropy_production__agrees_with_enumeration(dynamics):
    model = random_network(8, seed=8, strength=0.7, dynamics=dynamics)
    sample = model.sample_entropy_production(5_000, n_restart=20, seed=9)
    exact = model.entropy_production()
    assert 0.0 < sample.standard_error < 0.05 * exact
    assert abs(sample.value - exact) < 4 * sample.standard_error


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
@settings(deadline=None, max_examples=20)
@given(block=st.integers(1, 60), n_step=st.integers(0, 50), thin=st.integers(1, 3))
def test_stream__block_size_changes_nothing(dynamics, block, n_step, thin):
    model = random_network(3, dynamics=dynamics)
    blocks = list(model.stream(n_step, seed=1, burn_in=2, thin=thin, block=block))
    whole = model.simulate(n_step, seed=1, burn_in=2, thin=thin)
    assert sum(len(part) for part in blocks) == n_step
    assert all(np.array_equal(a, b) for a, b in zip(np.concatenate([whole[:0], *blocks]), whole, strict=True))


def test_stream__continues_a_generator_and_repeats_a_seed():
    model = random_network(4)
    assert np.array_equal(model.simulate(50, seed=3), model.simulate(50, seed=3))
    assert not np.array_equal(model.simulate(50, seed=3), model.simulate(50, seed=4))
    generator = np.random.default_rng(3)
    assert not np.array_equal(model.simulate(50, seed=generator), model.simulate(50, seed=generator))


def test_from_spins__is_the_same_network():
    rng = np.random.default_rng(1)
    couplings, field, beta = rng.normal(size=(3, 3)), rng.normal(size=3), 0.7
    model = KineticIsing.from_spins(couplings, field, beta=beta)
    state = np.array([1.0, 0.0, 1.0])
    spin_field = beta * (field + couplings @ (2 * state - 1))
    want = np.exp(spin_field) / (2 * np.cosh(spin_field))
    np.testing.assert_allclose(special.expit(model.bias + model.couplings @ state), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"couplings": np.zeros((2, 3))}, "got shapes"),
        ({"bias": np.zeros(0)}, "got shapes"),
        ({"bias": np.array([0.0, np.nan])}, "finite"),
        ({"dynamics": "block"}, "'parallel' or 'sequential'"),
        ({"couplings": np.eye(2), "dynamics": "sequential"}, "zero diagonal"),
    ],
)
def test_kinetic_ising__rejects(change, message):
    with pytest.raises(ValueError, match=message):
        KineticIsing(**{"couplings": np.zeros((2, 2)), "bias": np.zeros(2)} | change)


def test_entropy_production__refuses_a_module_too_large_to_enumerate():
    with pytest.raises(ValueError, match="sample_entropy_production"):
        random_network(13).entropy_production()
    with pytest.raises(ValueError, match="n_restart >= 2"):
        random_network(2).sample_entropy_production(10, n_restart=1)
