import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import noise, ring
from scipy import stats

from neq import MTUR, MaxEnt, Transitions
from neq.errors import EstimationError
from neq.estimators.mtur import sampling_bias
from neq.estimators.scalar_relation import evaluate_relation, signed_relation
from neq.estimators.uncertainty import percentile_interval


def dense_relation(spikes, ridge):
    """Return ln(1 + 2 m' K^-1 m), K being made."""
    spins = 2.0 * spikes - 1
    pair = np.einsum("ti,tj->tij", spins[1:], spins[:-1])
    g = (pair - pair.swapaxes(1, 2))[:, *np.triu_indices(spikes.shape[1], 1)]
    covariance = np.cov(g.T, bias=True).reshape(g.shape[1], -1) + ridge * np.eye(g.shape[1])
    theta = np.linalg.solve(covariance, g.mean(axis=0))
    return np.log1p(2 * g.mean(axis=0) @ theta), theta


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_unit=st.integers(2, 8),
    rate=st.sampled_from([0.05, 0.5]),
    ridge=st.sampled_from([1e-4, 1e-2]),
)
def test_fit__is_the_dense_formula(seed, n_unit, rate, ridge):
    spikes = np.random.default_rng(seed).random((400, n_unit)) < rate
    result = MTUR(ridge=ridge).fit(Transitions.from_spikes(spikes))
    value, theta = dense_relation(spikes, ridge)
    assert result.entropy_production == pytest.approx(value, abs=1e-8)
    np.testing.assert_allclose(result.theta, theta, atol=1e-6 * np.abs(theta).max())
    assert result.converged


def test_fit__is_a_bound_on_the_exact_entropy_production():
    exact = ring().entropy_production()
    result = MTUR(held_out=True).fit(Transitions.from_spikes(ring().simulate(60_000, seed=0)), seed=0)
    assert 0.3 * exact < result.entropy_production < exact
    low, high = result.interval
    assert low < result.entropy_production_held_out < high
    assert low < result.entropy_production < high
    assert result.p_value == 0.001
    assert result.quality == set()
    assert result.reason == ""


def test_fit__bias_is_what_noise_gives():
    results = [MTUR().fit(noise(2000, 15, 0.2, seed)) for seed in range(20)]
    value = np.mean([result.entropy_production for result in results])
    assert value > 0.09
    assert np.mean([result.bias for result in results]) == pytest.approx(value, rel=0.1)
    assert all(result.quality == {"data_limited"} for result in results)


def test_fit__held_out_value_of_noise_is_centred_on_nothing():
    values = [
        MTUR(held_out=True, n_draw=0).fit(noise(2000, 10, 0.2, seed), seed).entropy_production_held_out
        for seed in range(40)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40)
    assert min(values) < 0 < max(values)


def test_fit__fold_is_the_part_that_maxent_holds_out():
    transitions = noise(2000, 4, 0.3, seed=0)
    result = MTUR(held_out=True, n_draw=0).fit(transitions, seed=5)
    np.testing.assert_array_equal(result.fold, MaxEnt(half=False, n_draw=0).fit(transitions, seed=5).fold)
    assert result.n_test == np.sum(result.fold == 0) < transitions.n_transition
    assert (MTUR().fit(transitions).fold == -1).all()


def test_sampling_bias__of_gaussian_vectors():
    rng = np.random.default_rng(0)
    n, p, effect = 200, 20, 0.3
    found, corrected = [], []
    for _ in range(300):
        g = rng.normal(size=(n, p))
        g[:, 0] += effect
        precision = g.mean(axis=0) @ np.linalg.solve(np.cov(g.T, bias=True), g.mean(axis=0))
        found.append(np.log1p(2 * precision))
        corrected.append(found[-1] - sampling_bias(precision, p, n))
    truth = np.log1p(2 * effect**2)
    assert np.mean(found) > truth + 0.1
    assert np.mean(corrected) == pytest.approx(truth, abs=0.02)


def test_sampling_bias__unknown_where_parameters_are_not_fewer_than_transitions():
    assert np.isnan(sampling_bias(1.0, 100, 102))
    result = MTUR().fit(noise(100, 20, 0.3, seed=0))
    assert np.isnan(result.bias)
    assert "no bias" in result.reason
    assert "data_limited" in result.quality


def test_signed_relation__closed_form_of_a_scalar():
    f = np.array([1.0, 1.0, 1.0, -1.0])
    value = signed_relation(f.mean(), np.mean(f**2))
    assert value == pytest.approx(np.log(1 + 2 * 0.25 / 0.75))
    assert signed_relation(-f.mean(), np.mean(f**2)) == -value


def test_evaluate_relation__p_values_of_symmetric_scores_are_uniform():
    rng = np.random.default_rng(0)
    block = np.arange(400) // 10
    p = np.array([evaluate_relation(rng.normal(size=400), block, 99, rng)[0].p_value for _ in range(300)])
    assert np.mean(p <= 0.05) < 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_evaluate_relation__interval_covers_the_truth():
    rng = np.random.default_rng(1)
    truth = np.log(1 + 2 * 0.25)
    block = np.arange(2000) // 10
    found = [evaluate_relation(rng.normal(0.5, 1.0, 2000), block, 199, rng)[0].interval for _ in range(100)]
    assert np.mean([low <= truth <= high for low, high in found]) > 0.88


def test_evaluate_relation__interval_is_not_capped():
    score = np.full(400, 1.0) + np.random.default_rng(0).normal(0, 1e-3, 400)
    found, _ = evaluate_relation(score, np.arange(400) // 10, 99, np.random.default_rng(1))
    assert found.interval[0] < found.entropy_production_held_out_uncapped < found.interval[1]
    assert found.interval[0] > found.entropy_production_held_out == np.log(400)


def test_evaluate_relation__too_few_blocks_give_no_interval_but_a_reason():
    found, reason = evaluate_relation(np.ones(10), np.arange(10), 99, np.random.default_rng(0))
    assert np.isnan(found.interval).all()
    assert "20 are needed" in reason


def test_fit__certain_currents_are_capped():
    # units in turn, for ever: the current has no variance but that of the ridge
    result = MTUR(ridge=1e-8).fit(Transitions.from_spikes(np.tile(np.eye(3, dtype=bool), (30, 1))))
    assert result.entropy_production == np.log(89)
    assert result.entropy_production_uncapped > np.log(89)
    assert "capped" in result.quality


def test_fit__held_out_value_is_capped_at_the_log_of_the_held_out_transitions():
    result = MTUR(held_out=True, n_draw=99).fit(Transitions.from_spikes(np.tile(np.eye(3, dtype=bool), (300, 1))))
    assert result.entropy_production_held_out == np.log(result.n_test) < result.entropy_production_held_out_uncapped
    assert result.quality_held_out == {"capped"}
    driven = MTUR(held_out=True, n_draw=0).fit(Transitions.from_spikes(ring().simulate(20_000, seed=0)))
    assert driven.entropy_production_held_out == driven.entropy_production_held_out_uncapped > 0.1
    assert driven.quality_held_out == set()


def test_fit__reversal_changes_nothing_but_the_sign_of_theta():
    spikes = ring().simulate(5000, seed=0)
    forward, backward = (MTUR().fit(Transitions.from_spikes(array)) for array in (spikes, spikes[::-1]))
    assert forward.entropy_production == pytest.approx(backward.entropy_production, abs=1e-8)
    np.testing.assert_allclose(forward.theta, -backward.theta, atol=1e-5)


def test_fit__duplicate_and_constant_units_do_no_harm():
    spikes = ring().simulate(20_000, seed=0)
    more = np.hstack([spikes, spikes[:, :1], np.zeros((len(spikes), 1), bool)])
    one, other = (MTUR().fit(Transitions.from_spikes(array)) for array in (spikes, more))
    assert np.isfinite(other.theta).all()
    # the silent unit adds single changes to the observables; a bound of more observables is no lower
    assert other.entropy_production > one.entropy_production - 1e-3


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((1000, 3), bool), "varies over the transitions"),
        (np.ones((1000, 3), bool), "varies over the transitions"),
        (np.ones((1000, 1), bool), "needs 2 units"),
        (np.zeros((1, 3), bool), "no transitions"),
    ],
)
def test_fit__hopeless_data_are_a_named_error(spikes, message):
    with pytest.raises(EstimationError, match=message):
        MTUR().fit(Transitions.from_spikes(spikes))


def test_fit__a_lag_beyond_every_trial_is_a_named_error():
    with pytest.raises(EstimationError, match="shorter than the lag"):
        MTUR().fit(Transitions.from_spikes(np.eye(4, dtype=bool), segment=[0, 0, 1, 1], lag=2))


def test_options__flow_is_refused_because_it_is_not_odd():
    with pytest.raises(EstimationError, match="change sign"):
        MTUR(observable="flow")


@pytest.mark.parametrize("options", [{"ridge": 0.0}, {"n_draw": -1}, {"fractions": (1.0, 0.0, 0.0)}])
def test_options__are_checked(options):
    with pytest.raises(EstimationError, match=next(iter(options))):
        MTUR(**options)


def test_evaluate_relation__the_recorded_order_is_among_the_reversals_whatever_its_sign():
    score = np.full(100, -0.3) + np.random.default_rng(0).normal(0, 0.1, 100)
    found, _ = evaluate_relation(score, np.zeros(100), 199, np.random.default_rng(1))
    assert found.p_value == 1.0


def test_evaluate_relation__intervals_of_few_blocks_reach_further():
    score = np.random.default_rng(0).normal(0.5, 1.0, 2000)
    block = np.arange(2000) // 100
    found, _ = evaluate_relation(score, block, 4999, np.random.default_rng(1))
    sums = np.stack([np.full(20, 100), np.bincount(block, score), np.bincount(block, score**2)])
    draws = np.random.default_rng(2).multinomial(20, np.full(20, 1 / 20), 4999) @ sums.T / 2000
    width = np.ptp(percentile_interval(signed_relation(draws[:, 1], draws[:, 2])))
    assert np.ptp(found.interval) == pytest.approx(stats.t.ppf(0.975, 19) / 1.96 / np.sqrt(0.95) * width, rel=0.05)


@pytest.mark.parametrize("mean", [1.0, -3.0, 1e5])
def test_signed_relation__no_variance_is_large_and_finite(mean):
    assert 30 < np.sign(mean) * signed_relation(mean, mean**2) < 40
