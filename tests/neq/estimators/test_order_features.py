import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neq import Transitions, objective
from neq.errors import EstimationError
from neq.estimators.order_features import NestedObservable, check_order


def dense(x, later, order):
    """Every observable of every transition (transition, observable), from spins x and later (transition, unit)."""
    units = range(x.shape[1])
    columns = [later[:, i] - x[:, i] for i in units]
    if order > 1:
        columns += [later[:, i] * x[:, j] - x[:, i] * later[:, j] for i in units for j in units if i < j]
    if order > 2:
        columns += [
            later[:, i] * x[:, j] * x[:, k] - x[:, i] * later[:, j] * later[:, k]
            for j in units
            for k in units
            for i in units
            if j < k and i not in (j, k)
        ]
    return np.stack(columns, axis=1)


@st.composite
def recordings(draw):
    """Return a recording, its transitions in another order of units, and their dense observables up to an order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_unit, order = draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 2), (6, 3)]))
    spikes = rng.random((draw(st.integers(4, 60)), n_unit)) < draw(st.sampled_from([0.0, 0.05, 0.4, 0.95]))
    lag, shuffled = draw(st.integers(1, 2)), rng.permutation(n_unit)
    transitions = Transitions.from_spikes(spikes, lag=lag).select_units(shuffled)
    x = 2.0 * spikes[:, shuffled] - 1
    return transitions, dense(x[:-lag], x[lag:], order), NestedObservable(order), rng


@given(recordings())
@settings(max_examples=60)
def test_nested__is_the_dense_twin(recording):
    transitions, g, observable, rng = recording
    theta = rng.normal(size=g.shape[1])
    assert observable.n_parameter(transitions.n_unit) == g.shape[1]
    np.testing.assert_allclose(observable.score(transitions, theta), g @ theta, atol=1e-11)
    np.testing.assert_allclose(observable.reverse_score(transitions, theta), -g @ theta, atol=1e-11)
    np.testing.assert_allclose(observable.mean(transitions), g.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(observable.variance(transitions), g.var(axis=0), atol=1e-11)
    weight = np.exp(-g @ theta)
    log_normaliser, mean = observable.reverse_tilted(transitions, theta)
    assert log_normaliser == pytest.approx(np.log(weight.mean()), abs=1e-11)
    np.testing.assert_allclose(mean, -(weight @ g) / weight.sum(), atol=1e-11)


@given(recordings())
@settings(max_examples=20)
def test_origin__is_added_to_every_theta(recording):
    transitions, _, observable, rng = recording
    origin, change = rng.normal(size=(2, observable.n_parameter(transitions.n_unit)))
    moved = NestedObservable(observable.order, origin=origin)
    np.testing.assert_array_equal(moved.score(transitions, change), observable.score(transitions, origin + change))
    expected = observable.reverse_tilted(transitions, origin + change)
    found = moved.reverse_tilted(transitions, change)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


def test_orders_are_nested_and_order_2_holds_the_antisymmetric_observable():
    spikes = np.random.default_rng(0).random((500, 6)) < 0.3
    transitions = Transitions.from_spikes(spikes)
    theta = np.random.default_rng(1).normal(scale=0.2, size=15)
    value, _ = objective(transitions, theta)
    for order in (2, 3):
        observable = NestedObservable(order)
        padded = np.zeros(observable.n_parameter(6))
        padded[6:21] = theta
        log_normaliser, _ = observable.reverse_tilted(transitions, padded)
        assert padded @ observable.mean(transitions) - log_normaliser == pytest.approx(value, abs=1e-12)


def test_order_1_telescopes():
    spikes = np.random.default_rng(0).random((500, 6)) < 0.3
    mean = NestedObservable(1).mean(Transitions.from_spikes(spikes))
    np.testing.assert_allclose(mean, 2.0 * (spikes[-1].astype(float) - spikes[0]) / 499, atol=1e-14)


def test_reverse_tilted__large_theta_does_not_overflow():
    spikes = np.random.default_rng(0).random((200, 4)) < 0.3
    log_normaliser, mean = NestedObservable(3).reverse_tilted(Transitions.from_spikes(spikes), np.full(22, 1e4))
    assert np.isfinite(log_normaliser)
    assert np.isfinite(mean).all()


@pytest.mark.parametrize(
    ("order", "n_unit", "message"),
    [
        (0, 5, "max_order must be 1, 2 or 3; found 0"),
        (4, 5, "max_order must be 1, 2 or 3; found 4"),
        (3, 2, "order 3 need 3 units or more; found 2"),
        (3, 41, "at most 40 units; found 41: select fewer or use max_order=2"),
    ],
)
def test_check_order__names_what_is_wrong(order, n_unit, message):
    with pytest.raises(EstimationError, match=message):
        check_order(order, n_unit)


def test_check_order__takes_40_units_and_any_number_in_pairs():
    check_order(3, 40)
    check_order(2, 300)
