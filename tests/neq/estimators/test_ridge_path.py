import numpy as np
import pytest

from neq.errors import EstimationError
from neq.estimators.ridge_path import PathOptions, fit_path, fit_ridge, score_mean
from neq.models.couplings import spiking_network
from neq.models.kinetic_ising import KineticIsing
from neq.observables import objective, observable_named
from neq.spikes.transitions import Transitions


@pytest.fixture(scope="module")
def network():
    couplings, bias = spiking_network(12, np.random.default_rng(0), density=0.4, strength=0.6, bias_mean=-1.5)
    model = KineticIsing(couplings=couplings, bias=bias)
    return model, Transitions.from_spikes(model.simulate(12_000, seed=0))


def value(name, transitions, theta):
    return objective(transitions, theta, name)[0]


def test_fit_ridge__converged_flow_is_no_lower_than_antisymmetric(network):
    """Its span holds the antisymmetric observables: unregularised, training J can only be higher."""
    _, transitions = network
    antisymmetric, flow = (
        fit_ridge(observable_named(name), transitions, 0.0, max_iteration=500) for name in ("antisymmetric", "flow")
    )
    gradients = [
        abs(objective(transitions, theta, name)[1]).max()
        for name, theta in (("antisymmetric", antisymmetric), ("flow", flow))
    ]
    assert max(gradients) < 2e-3
    assert value("flow", transitions, flow) >= value("antisymmetric", transitions, antisymmetric)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_fit_path__is_below_the_exact_entropy_production_and_near_it(network, name):
    model, transitions = network
    family = observable_named(name)
    parts = [transitions.take(np.arange(first, 12_000 - 1, 3)) for first in range(3)]
    path = fit_path(family, *parts[:2])
    fresh = Transitions.from_spikes(model.simulate(40_000, seed=1))
    held_out = score_mean(family, fresh, path.theta, family.mean(fresh))
    assert 0.7 * model.entropy_production() < held_out < model.entropy_production() + 0.01


def test_fit_path__fitting_again_on_both_parts_raises_their_objective(network):
    _, transitions = network
    family = observable_named("antisymmetric")
    train, validation = transitions.take(np.arange(2000)), transitions.take(np.arange(2000, 2500))
    once, again = (fit_path(family, train, validation, PathOptions(refit=refit)) for refit in (0, 10))
    assert (once.validation, once.ridge) == (again.validation, again.ridge)
    assert again.n_evaluation > once.n_evaluation
    both = train.join(validation)
    weight = family.variance(both)
    regularised = [
        value("antisymmetric", both, path.theta) - path.ridge / 2 * weight @ path.theta**2 for path in (once, again)
    ]
    assert regularised[1] > regularised[0]


def test_fit_path__without_evidence_nothing_is_fitted_again():
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((600, 10)) < 0.2)
    parts = transitions.take(np.arange(300)), transitions.take(np.arange(300, 599))
    once, again = (fit_path(observable_named("antisymmetric"), *parts, PathOptions(refit=refit)) for refit in (0, 10))
    assert again.validation <= 0
    np.testing.assert_array_equal(once.theta, again.theta)


def test_fit_ridge__a_stronger_ridge_keeps_theta_smaller(network):
    _, transitions = network
    family = observable_named("antisymmetric")
    sizes = [np.linalg.norm(fit_ridge(family, transitions, ridge)) for ridge in (1.0, 0.1, 0.01)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    "wrong", [{"first": 1e-5}, {"last": 0.0}, {"ratio": 1.0}, {"tolerance": -1.0}, {"max_iteration": 0}, {"refit": -1}]
)
def test_path_options__that_cannot_be_walked(wrong):
    with pytest.raises(EstimationError, match="ridge path needs"):
        PathOptions(**wrong)
