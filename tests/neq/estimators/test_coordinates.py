import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import EstimationError
from neq.estimators import coordinates as module
from neq.estimators.coordinates import variance_coordinates
from neq.observables import observable_named
from neq.spikes.transitions import Transitions

N_UNIT = 6


def transitions(seed=0, n_bin=400):
    rates = np.linspace(0.1, 0.5, N_UNIT)
    return Transitions.from_spikes(np.random.default_rng(seed).random((n_bin, N_UNIT)) < rates)


def metric(observable, transitions):
    return module.measure_metric(observable, transitions, observable.mean(transitions))


def coordinates(name, shrinkage=0.3, seed=0):
    return metric(observable_named(name), transitions(seed)).coordinates(shrinkage)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
@given(seed=st.integers(0, 100), shrinkage=st.floats(0.01, 1))
def test_gradient__is_the_chain_rule(name, seed, shrinkage):
    there = coordinates(name, shrinkage, seed)
    rng = np.random.default_rng(seed)
    gradient, y = rng.normal(size=observable_named(name).n_parameter(N_UNIT)), rng.normal(size=len(there.scale))
    assert there.gradient(gradient) @ y == pytest.approx(gradient @ there.theta(y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("shrinkage", [0.1, 0.6, 1.0])
def test_coordinates__their_square_is_the_structured_covariance(shrinkage):
    """The slow twin: P made entry by entry from V and Y_s, and theta' P theta of a theta made from y."""
    antisymmetric = observable_named("antisymmetric")
    measured = metric(antisymmetric, transitions())
    y = np.random.default_rng(1).normal(size=antisymmetric.n_parameter(N_UNIT))
    theta = antisymmetric.matrix(measured.coordinates(shrinkage).theta(y), N_UNIT)
    change, middle = np.diag(4 * measured.flips), measured.mid_point.copy()
    middle[~np.eye(N_UNIT, dtype=bool)] *= 1 - shrinkage
    product = change @ theta @ middle + middle @ theta @ change
    assert np.sum(np.triu(theta * product)) == pytest.approx(y @ y, rel=1e-9)


def test_metric__holds_what_the_spins_say():
    found = metric(observable_named("antisymmetric"), transitions())
    earlier, later = transitions().spins
    np.testing.assert_allclose(found.flips, np.mean(earlier != later, axis=0))
    middle = (earlier + later) / 2
    np.testing.assert_allclose(found.mid_point, middle.T @ middle / len(middle), atol=2e-4)


def test_coordinates__an_antisymmetric_flow_costs_what_it_costs_alone():
    """So the two ridges mean the same: an antisymmetric y gives the same coupling in either."""
    flow, alone = coordinates("flow"), coordinates("antisymmetric")
    y = np.random.default_rng(2).normal(size=len(alone.scale))
    padded = np.concatenate([y, np.zeros(len(flow.scale) - len(y))])
    inside = flow.theta(padded).reshape(N_UNIT, N_UNIT)
    np.testing.assert_allclose(inside, observable_named("antisymmetric").matrix(alone.theta(y), N_UNIT), atol=1e-12)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_coordinates__a_pair_that_never_changes_keeps_no_coupling(name):
    spikes = np.random.default_rng(0).random((300, 4)) < 0.3
    spikes[:, 2:] = [True, False]
    family = observable_named(name)
    there = metric(family, Transitions.from_spikes(spikes)).coordinates(0.1)
    parts = np.zeros_like(there.scale)
    parts[:6] = 1.0
    theta = family.matrix(there.theta(parts), 4)
    assert theta[2, 3] == theta[3, 2] == 0.0
    assert theta[0, 2] != 0.0


@pytest.mark.parametrize("of", [metric, variance_coordinates])
def test_coordinates__nothing_varies(of):
    with pytest.raises(EstimationError, match="varies over the training"):
        of(observable_named("antisymmetric"), Transitions.from_spikes(np.zeros((50, 3), dtype=bool)))


def test_variance_coordinates__what_never_varies_stays_zero():
    spikes = np.random.default_rng(0).random((300, 3)) < 0.3
    spikes[:, 2] = spikes[:, 1]
    there = variance_coordinates(observable_named("antisymmetric"), Transitions.from_spikes(spikes))
    assert there.theta(np.ones(3)).nonzero()[0].tolist() == [0, 1]


def test_coordinates__constant_units_are_not_stretched_without_bound():
    spikes = np.random.default_rng(0).random((300, 5)) < [0.3, 0.3, 0.0, 0.0, 0.0]
    family = observable_named("antisymmetric")
    there = metric(family, Transitions.from_spikes(spikes)).coordinates(0.1)
    assert there.scale.max() <= 100.0 + 1e-9
