import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.estimators.dense_observables import DenseObservable, fitting_observable
from neq.estimators.maxent import MaxEnt
from neq.estimators.ridge_path import fit_path
from neq.observables import observable_named
from neq.spikes.transitions import Transitions


def dense(name):
    return DenseObservable(name, observable_named(name).odd)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
@given(seed=st.integers(0, 10_000), n_bin=st.integers(2, 60), n_unit=st.integers(2, 7), share=st.floats(0, 1))
def test_dense__agrees_with_lists_in_single_precision(name, seed, n_bin, n_unit, share):
    rng = np.random.default_rng(seed)
    transitions = Transitions.from_spikes(rng.random((n_bin, n_unit)) < share)
    lists, products = observable_named(name), dense(name)
    theta = rng.normal(size=lists.n_parameter(n_unit))
    close = {"rtol": 1e-5, "atol": 1e-4}
    for method in ("score", "reverse_score"):
        np.testing.assert_allclose(
            getattr(products, method)(transitions, theta), getattr(lists, method)(transitions, theta), **close
        )
    np.testing.assert_allclose(products.mean(transitions), lists.mean(transitions), **close)
    np.testing.assert_allclose(products.variance(transitions), lists.variance(transitions), **close)
    one, other = (family.reverse_tilted(transitions, theta) for family in (products, lists))
    assert one[0] == pytest.approx(other[0], abs=1e-4)
    np.testing.assert_allclose(one[1], other[1], **close)


def test_dense__blocks_make_no_difference(monkeypatch):
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((500, 6)) < 0.4)
    theta = np.random.default_rng(1).normal(size=36)
    whole = dense("flow").reverse_tilted(transitions, theta)
    monkeypatch.setattr("neq.estimators.dense_observables.ROWS_AT_ONCE", 7)
    parts = dense("flow").reverse_tilted(transitions, theta)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-5)


@pytest.mark.parametrize(("share", "kind"), [(0.1, "Observable"), (0.5, "DenseObservable")])
def test_fitting_observable__is_chosen_by_density(share, kind):
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((1000, 20)) < share)
    assert type(fitting_observable(observable_named("flow"), transitions)).__name__ == kind


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_fit_path__finds_the_same_theta_either_way(name):
    rng = np.random.default_rng(3)
    spikes = np.roll(np.tile(np.eye(4, 12, dtype=bool), (1000, 1)), 1, axis=1) ^ (rng.random((4000, 12)) < 0.4)
    transitions = Transitions.from_spikes(spikes)
    train, validation = transitions.take(np.arange(3000)), transitions.take(np.arange(3000, 3999))
    one, other = (fit_path(family, train, validation) for family in (dense(name), observable_named(name)))
    assert one.validation == pytest.approx(other.validation, rel=1e-3)
    np.testing.assert_allclose(one.theta, other.theta, atol=1e-3)


def test_fit__reports_dense_values_in_double_precision():
    """The value of a dense fit is that of its theta in double precision, to the last digits."""
    rng = np.random.default_rng(0)
    spikes = np.tile(np.eye(3, dtype=bool), (2000, 1)) ^ (rng.random((6000, 3)) < 0.4)
    transitions = Transitions.from_spikes(spikes)
    result = MaxEnt(split="shuffled", n_draw=0, half=False, scores=True).fit(transitions, seed=0)
    test = np.isfinite(result.score)
    reverse = observable_named("antisymmetric").reverse_score(transitions.take(test), result.theta)
    exact = -np.mean(reverse) - np.log(np.mean(np.exp(reverse)))
    assert result.entropy_production_uncapped == pytest.approx(exact, abs=1e-12)
