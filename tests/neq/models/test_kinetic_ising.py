"""Kinetic Ising network: closed forms, the slow formula over all pairs of states, and the sampler against them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, special

from neq.errors import ModelError
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
def test_entropy_production__three_units_by_hand(dynamics):
    """A coin with P(1) = p drives two units: c / 2 times the sum over i of w_i p (P(1 | coin) - P(1))."""
    p, weight = 0.3, np.array([2.0, -1.5])
    couplings = np.zeros((3, 3))
    couplings[1:, 0] = weight
    bias = np.concatenate([special.logit([p]), [-0.5, 0.2]])
    model = KineticIsing(couplings=couplings, bias=bias, dynamics=dynamics)
    follows, silent = special.expit(bias[1:] + weight), special.expit(bias[1:])
    factor = 1.0 if dynamics == "parallel" else 1 / 6
    want = factor * np.sum(weight * p * (follows - (p * follows + (1 - p) * silent)))
    np.testing.assert_allclose(model.entropy_production(), want, rtol=1e-12)


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


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
@settings(deadline=None, max_examples=25)
@given(n_unit=st.integers(1, 30), seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_sparse_couplings__same_states_bit_for_bit(dynamics, n_unit, seed, density):
    rng = np.random.default_rng(seed)
    couplings = rng.normal(size=(n_unit, n_unit)) * (rng.random((n_unit, n_unit)) < density)
    np.fill_diagonal(couplings, 0.0)
    dense = KineticIsing.from_spins(couplings, beta=0.7, dynamics=dynamics)
    want = dense.simulate(50, seed=seed, burn_in=3)
    exact = dense.sample_entropy_production(20, n_restart=2, burn_in=3)
    for kind in (sparse.csr_array, sparse.csc_matrix, sparse.coo_matrix):
        model = KineticIsing.from_spins(kind(couplings), beta=0.7, dynamics=dynamics)
        assert np.array_equal(model.bias, dense.bias)
        assert np.array_equal(model.dense_couplings, dense.couplings)
        assert np.array_equal(model.simulate(50, seed=seed, burn_in=3), want)
        assert model.sample_entropy_production(20, n_restart=2, burn_in=3) == exact


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_sparse_couplings__same_exact_values(dynamics):
    dense = random_network(4, seed=2, dynamics=dynamics)
    listed = KineticIsing(couplings=sparse.csr_matrix(dense.couplings), bias=dense.bias, dynamics=dynamics)
    assert listed.entropy_production() == dense.entropy_production()
    assert np.array_equal(listed.activity(), dense.activity())


@pytest.mark.parametrize("dynamics", ["parallel", "sequential"])
def test_restarts__each_run_has_a_stream_of_its_own(dynamics):
    model = random_network(6, dynamics=dynamics)
    runs = dict(model.restarts(40, n_restart=4, seed=5))
    assert {states.shape for states in runs.values()} == {(40, 6)}
    assert len({states.tobytes() for states in runs.values()}) == 4
    assert np.array_equal(dict(model.restarts(40, n_restart=1, first=3, seed=5))[3], runs[3])
    blocks = [states for run, states in model.restarts(40, n_restart=4, seed=5, block=7) if run == 2]
    assert max(len(block) for block in blocks) == 7
    assert np.array_equal(np.concatenate(blocks), runs[2])
    stream = np.random.default_rng(np.random.SeedSequence(5).spawn(4)[1])
    thin = 1 if dynamics == "parallel" else 6
    assert np.array_equal(model.simulate(40, seed=stream, burn_in=4, thin=thin), runs[1])


def test_restarts__together_visit_the_stationary_states():
    model = random_network(4, seed=6, dynamics="sequential")
    states = np.concatenate([states for _, states in model.restarts(100, n_restart=400, seed=1)])
    visited = np.bincount(states @ (1 << np.arange(4)), minlength=16) / len(states)
    np.testing.assert_allclose(visited, model.stationary(), atol=0.015)


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
        ({"couplings": sparse.csr_array(np.eye(2)), "dynamics": "sequential"}, "zero diagonal"),
        ({"couplings": sparse.csr_array(np.array([[0.0, np.inf], [0.0, 0.0]]))}, "finite"),
        ({"couplings": sparse.csr_array((2, 3))}, "got shapes"),
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


@pytest.mark.parametrize("strength", [60.0, 1000.0])
def test_entropy_production__refuses_a_network_that_is_frozen(strength):
    """Two units that hold each other in either of two states: which of them is never left decides the start."""
    pair = np.array([[0.0, 1.0], [0.9, 0.0]])
    frozen = KineticIsing.from_spins(pair, beta=strength, dynamics="sequential")
    with pytest.raises(ModelError, match="weaker couplings"):
        frozen.entropy_production()


@pytest.mark.parametrize(
    ("given_as", "message"),
    [
        ({"n_step": -1}, "n_step >= 0"),
        ({"thin": 0}, "thin >= 1"),
        ({"block": 0}, "block >= 1"),
        ({"burn_in": -1}, "burn"),
    ],
)
def test_stream__rejects(given_as, message):
    with pytest.raises(ModelError, match=message):
        list(random_network(2).stream(**{"n_step": 3} | given_as))


def test_restarts__rejects():
    with pytest.raises(ModelError, match="warm_up as a share"):
        list(random_network(2).restarts(3, warm_up=-0.1))
    with pytest.raises(ModelError, match="n_restart >= 1"):
        list(random_network(2).restarts(3, n_restart=0))
    huge = KineticIsing(couplings=np.zeros((2, 2)), bias=np.full(2, 1e16), dynamics="sequential")
    with pytest.raises(ModelError, match="fields up to"):
        huge.simulate(3)
