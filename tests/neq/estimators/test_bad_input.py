"""Data and parameters from which no honest value can come: a named error or a flag, never a silent 0, inf or crash."""

import numpy as np
import pytest

from neq import MTUR, GaussianEP, MaxEnt, NewtonStep, Transitions, objective
from neq.errors import EstimationError
from neq.estimators.orders import OrderDecomposition
from neq.estimators.splits import split_transitions
from neq.seeds import stream

ESTIMATORS = {
    "blocked": MaxEnt(n_draw=99),
    "shuffled": MaxEnt(n_draw=99, split="shuffled"),
    "flow": MaxEnt(n_draw=99, observable="flow"),
    "folds": MaxEnt(n_draw=99, cross_fit=4, scores=True),
}
every = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
both = pytest.mark.parametrize("observable", ["antisymmetric", "flow"])


def cycle(n_bin=3000, noise=0.2, seed=0):
    turned = np.random.default_rng(seed).random((n_bin, 3)) < noise
    return np.tile(np.eye(3, dtype=bool), (-(-n_bin // 3), 1))[:n_bin] ^ turned


def check(result):
    """Every number of a result is finite, or there is a reason; and a zero is flagged."""
    numbers = {name: value for name, value in vars(result).items() if isinstance(value, float)}
    unknown = {name for name, value in numbers.items() if not np.isfinite(value)}
    assert not unknown or (unknown == {"ridge", "shrinkage", "length"} and "no ridge" in result.reason)
    assert np.isfinite(result.theta).all()
    assert np.isfinite(result.fold_theta).all()
    assert np.isfinite(result.interval).all() or result.reason
    if result.entropy_production == 0.0:
        assert result.quality & {"no_evidence", "capped"}


def fit_or_message(estimator, spikes):
    """Check the result and return None, or return the message of the error."""
    try:
        result = estimator.fit(Transitions.from_spikes(spikes))
    except EstimationError as error:
        return str(error)
    check(result)
    return None


@every
@pytest.mark.parametrize("value", [False, True])
def test_constant_units_all_of_them(estimator, value):
    with pytest.raises(EstimationError, match="varies over the training"):
        estimator.fit(Transitions.from_spikes(np.full((1000, 3), value)))


@every
def test_constant_and_duplicate_units_among_good_ones(estimator):
    good = cycle()
    spikes = np.hstack([good, good[:, :1], np.zeros((len(good), 1), bool), np.ones((len(good), 1), bool)])
    result = estimator.fit(Transitions.from_spikes(spikes))
    check(result)
    assert result.entropy_production > 0.1


@every
def test_twins_alone(estimator):
    unit = np.random.default_rng(0).random((2000, 1)) < 0.3
    twins = Transitions.from_spikes(np.hstack([unit, unit]))
    if estimator.observable == "antisymmetric":
        with pytest.raises(EstimationError, match="varies over the training"):
            estimator.fit(twins)
    else:
        check(estimator.fit(twins))


@every
def test_long_silence(estimator):
    spikes = cycle()
    spikes[500:2500] = False
    check(estimator.fit(Transitions.from_spikes(spikes)))


@every
def test_spikes_in_one_corner_only(estimator):
    spikes = np.zeros((4000, 3), bool)
    spikes[10:40] = cycle(30)
    outcome = fit_or_message(estimator, spikes)
    assert outcome is None or "varies over the training" in outcome


@every
def test_perfect_alternation_has_observables_that_never_change(estimator):
    with pytest.raises(EstimationError, match="varies over the training"):
        estimator.fit(Transitions.from_spikes(np.tile(np.eye(2, dtype=bool), (1000, 1))))


def test_data_alike_in_both_directions_have_no_ridge_but_a_reason():
    # one unit's transitions 0 -> 1 and 1 -> 0 are as frequent as each other, up to one
    spikes = np.tile(np.array([[0], [0], [1], [1]], bool), (600, 1))
    result = MaxEnt(observable="flow", split="shuffled", n_draw=99).fit(Transitions.from_spikes(spikes))
    check(result)
    assert abs(result.entropy_production) < 0.01


@every
def test_deterministic_sequence_is_capped(estimator):
    result = estimator.fit(Transitions.from_spikes(np.tile(np.eye(12, dtype=bool), (40, 1))))
    check(result)
    assert "capped" in result.quality
    assert result.entropy_production <= np.log(result.n_test)
    # of folds theta may end at ln of the validation transitions, which are fewer than those held out
    assert result.entropy_production_uncapped >= result.entropy_production


@every
@pytest.mark.parametrize("n_bin", [0, 1, 2, 3, 5])
def test_fewer_transitions_than_parts_or_folds(estimator, n_bin):
    with pytest.raises(EstimationError, match="too few"):
        estimator.fit(Transitions.from_spikes(np.ones((n_bin, 3), bool)))


@every
@pytest.mark.parametrize("n_bin", [8, 20, 60])
def test_very_few_transitions(estimator, n_bin):
    outcome = fit_or_message(estimator, cycle(n_bin))
    assert outcome is None or "too few" in outcome or "varies over the training" in outcome


@every
def test_lag_longer_than_every_trial(estimator):
    transitions = Transitions.from_spikes(cycle(), segment=np.arange(3000) // 5, lag=5)
    assert transitions.n_transition == 0
    assert np.isnan(transitions.spikes_per_bin)
    with pytest.raises(EstimationError, match="too few"):
        estimator.fit(transitions)
    with pytest.raises(EstimationError, match="shorter than the lag"):
        objective(transitions, np.zeros(3))


@pytest.mark.parametrize("lag", [0, -1, 1.5, np.nan])
def test_lag_must_be_a_whole_number_above_zero(lag):
    with pytest.raises(EstimationError, match="lag must be a whole number"):
        Transitions.from_spikes(cycle(), lag=lag)


@every
def test_one_unit(estimator):
    single = Transitions.from_spikes(cycle()[:, :1])
    if estimator.observable == "antisymmetric":
        with pytest.raises(EstimationError, match="needs 2 units"):
            estimator.fit(single)
    else:
        check(estimator.fit(single))


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_objective__theta_that_is_no_number(observable, bad):
    theta = np.zeros(3 if observable == "antisymmetric" else 9)
    theta[1] = bad
    with pytest.raises(EstimationError, match="NaN or infinite"):
        objective(Transitions.from_spikes(cycle()), theta, observable)


@both
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8, 1e200])
def test_objective__stays_finite_where_exp_overflows(observable, scale):
    theta = scale * np.random.default_rng(0).normal(size=3 if observable == "antisymmetric" else 9)
    value, gradient = objective(Transitions.from_spikes(cycle()), theta, observable)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    # far out the largest score decides: J falls as fast as theta grows
    assert value < -scale / 100


@both
def test_objective__theta_beyond_floating_point_is_a_named_error(observable):
    theta = 1.7e308 * np.sign(np.random.default_rng(1).normal(size=3 if observable == "antisymmetric" else 9))
    with pytest.raises(EstimationError, match="overflow"):
        objective(Transitions.from_spikes(cycle()), theta, observable)


@both
def test_objective__theta_of_another_length(observable):
    with pytest.raises(EstimationError, match="theta must have"):
        objective(Transitions.from_spikes(cycle()), np.zeros(4), observable)


def test_n_draw_of_one_gives_no_spread_and_no_warning():
    result = MaxEnt(n_draw=1).fit(Transitions.from_spikes(cycle()))
    assert result.interval[0] == result.interval[1]


@pytest.mark.parametrize("estimator", [MaxEnt, NewtonStep])
def test_half_of_the_training_part_may_be_silent(estimator):
    spikes = np.zeros((2000, 3), bool)
    split = split_transitions(Transitions.from_spikes(spikes), "blocked", stream(0, 0))
    other_half = np.setdiff1d(split.train, split.train_half)
    inside = other_half[np.isin(other_half - 1, other_half)]
    spikes[inside] = cycle(len(inside))
    result = estimator(n_draw=0).fit(Transitions.from_spikes(spikes), seed=0)
    assert result.theta.any()
    assert result.entropy_production_half == 0.0
    assert "data_limited" in result.quality


@pytest.mark.parametrize("estimator", [NewtonStep(), MTUR(), MaxEnt()])
def test_no_units(estimator):
    with pytest.raises(EstimationError, match="needs 2 units or more; found 0"):
        estimator.fit(Transitions.from_spikes(np.zeros((100, 0), bool)))


@pytest.mark.parametrize("estimator", [MaxEnt, NewtonStep, MTUR, GaussianEP, OrderDecomposition])
@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.3, 0.0), (0.7, 0.2, 0.2), (np.nan, 0.2, 0.1)])
def test_fractions_must_be_shares(estimator, fractions):
    with pytest.raises(EstimationError, match="three positive shares"):
        estimator(fractions=fractions)


@pytest.mark.parametrize("n_turn", [4, 5, 7, 10])
def test_mtur__current_that_never_varies(n_turn):
    result = MTUR(held_out=True).fit(Transitions.from_spikes(np.tile(np.eye(4, dtype=bool), (n_turn, 1))), seed=1)
    assert "capped" in result.quality
    assert 0 < result.entropy_production_held_out_uncapped < 50
    # one held-out transition, in the shortest of them, has a cap of 0
    assert result.entropy_production_held_out == np.log(result.n_test)
    assert result.quality_held_out == {"capped"}


def test_mtur__a_value_of_zero_is_flagged():
    spikes = np.zeros((1500, 5), bool)
    spikes[[100, 700], [0, 1]] = True
    result = MTUR().fit(Transitions.from_spikes(spikes))
    assert result.entropy_production == 0.0
    assert "data_limited" in result.quality


@every
@pytest.mark.parametrize(("n_bin", "n_unit"), [(20, 15), (60, 15), (100, 6)])
def test_short_noise_is_never_far_from_zero(estimator, n_bin, n_unit):
    """Where train and validation share no transition J grows with the length of theta for ever."""
    for seed in range(4):
        spikes = np.random.default_rng(seed).random((n_bin, n_unit)) < 0.2
        try:
            result = estimator.fit(Transitions.from_spikes(spikes), seed=seed)
        except EstimationError:
            continue
        check(result)
        assert abs(result.entropy_production) < 30


def test_a_cycle_without_noise_ends_at_the_cap():
    result = MaxEnt(n_draw=99).fit(Transitions.from_spikes(cycle(noise=0.0)))
    assert "capped" in result.quality
    assert result.entropy_production_uncapped < 20
