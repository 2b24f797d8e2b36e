import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import EstimationError
from neq.estimators.coordinates import coordinates
from neq.observables import observable_named
from neq.spikes.transitions import Transitions


def transitions(seed=0, n_unit=6, n_bin=400):
    return Transitions.from_spikes(np.random.default_rng(seed).random((n_bin, n_unit)) < np.linspace(0.1, 0.5, n_unit))


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
@given(seed=st.integers(0, 100))
def test_coordinates__there_and_back(name, seed):
    family = observable_named(name)
    there = coordinates(family, transitions(seed))
    theta = np.random.default_rng(seed).normal(size=family.n_parameter(6))
    np.testing.assert_allclose(there.theta(there.y(theta)), theta, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_gradient__is_the_chain_rule(name):
    family = observable_named(name)
    there = coordinates(family, transitions())
    rng = np.random.default_rng(1)
    gradient, y = rng.normal(size=family.n_parameter(6)), rng.normal(size=len(there.scale))
    assert there.gradient(gradient) @ y == pytest.approx(gradient @ there.theta(y), rel=1e-12)


def test_coordinates__an_antisymmetric_flow_costs_what_it_costs_alone():
    flow, antisymmetric = observable_named("flow"), observable_named("antisymmetric")
    theta = np.random.default_rng(2).normal(size=antisymmetric.n_parameter(6))
    alone = coordinates(antisymmetric, transitions()).y(theta)
    inside = coordinates(flow, transitions()).y(antisymmetric.matrix(theta, 6).reshape(-1))
    assert inside @ inside == pytest.approx(alone @ alone, rel=1e-12)


def test_coordinates__what_never_varies_stays_zero():
    spikes = np.random.default_rng(0).random((300, 3)) < 0.3
    spikes[:, 2] = spikes[:, 1]
    there = coordinates(observable_named("antisymmetric"), Transitions.from_spikes(spikes))
    assert there.theta(np.ones(3)).nonzero()[0].tolist() == [0, 1]


def test_coordinates__nothing_varies():
    with pytest.raises(EstimationError, match="varies over the training"):
        coordinates(observable_named("flow"), Transitions.from_spikes(np.zeros((50, 3), dtype=bool)))
