from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from neq.errors import EstimationError
from neq.estimators import ridge_path
from neq.estimators.ridge_path import PathOptions, fit_path
from neq.estimators.validation import score_mean
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


def _training(family, train):
    mean = family.mean(train)
    return ridge_path._Training(family, train, ridge_path.measure_metric(family, train, mean).coordinates(0.3), mean)


def _candidate(family, train, validation):
    path = fit_path(family, train, validation, PathOptions(shrinkage=(0.3,), refit=False))
    return path.theta, path.validation, path.recipe, path.n_iteration, path.n_evaluation, path.turned


def maximum(name, transitions):
    """Return the unregularised maximum over theta, by scipy."""

    def loss(theta):
        value, gradient = objective(transitions, theta, name)
        return -value, -gradient

    start = np.zeros(observable_named(name).n_parameter(transitions.n_unit))
    return -optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).fun


def test_objective__converged_flow_is_no_lower_than_antisymmetric(network):
    """Its span holds the antisymmetric observables: unregularised, training J can only be higher."""
    _, transitions = network
    assert maximum("flow", transitions) >= maximum("antisymmetric", transitions) - 1e-6


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_fit_path__without_a_ridge_to_speak_of_it_finds_the_maximum(network, name):
    """Many steps at a vanishing ridge, validated on the training part itself, end where scipy does."""
    _, transitions = network
    options = PathOptions(first=1e-9, last=1e-9, max_iteration=300, tolerance=0.0, line_search=False, refit=False)
    path = fit_path(observable_named(name), transitions, transitions, options)
    assert path.validation == pytest.approx(maximum(name, transitions), rel=1e-4)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
def test_fit_path__is_below_the_exact_entropy_production_and_near_it(network, name):
    model, transitions = network
    family = observable_named(name)
    parts = [transitions.take(np.arange(first, 12_000 - 1, 3)) for first in range(3)]
    path = fit_path(family, *parts[:2])
    fresh = Transitions.from_spikes(model.simulate(40_000, seed=1))
    held_out = score_mean(family, fresh, path.theta, family.mean(fresh))
    assert 0.7 * model.entropy_production() < held_out < model.entropy_production() + 0.01


def test_fit_path__each_shrinkage_is_walked_and_the_best_is_taken(network):
    _, transitions = network
    family = observable_named("antisymmetric")
    parts = transitions.take(np.arange(6000)), transitions.take(np.arange(6000, 9000))
    alone = [fit_path(family, *parts, PathOptions(shrinkage=(shrinkage,))) for shrinkage in (0.1, 0.6)]
    both = fit_path(family, *parts)
    best = max(alone, key=lambda path: path.validation)
    assert (both.validation, both.recipe) == (best.validation, best.recipe)
    np.testing.assert_array_equal(both.theta, best.theta)
    assert both.n_iteration == sum(path.n_iteration for path in alone)


def test_fit_path__fitting_again_on_both_parts_raises_their_objective(network):
    _, transitions = network
    family = observable_named("antisymmetric")
    train, validation = transitions.take(np.arange(2000)), transitions.take(np.arange(2000, 2500))
    once, again = (fit_path(family, train, validation, PathOptions(refit=refit)) for refit in (False, True))
    assert (once.validation, once.recipe) == (again.validation, again.recipe)
    assert again.refitted
    assert again.n_evaluation > once.n_evaluation
    both = train.join(validation)
    assert value("antisymmetric", both, again.theta) > value("antisymmetric", both, once.theta)


@pytest.mark.parametrize("name", ["antisymmetric", "flow"])
@pytest.mark.parametrize("options", [{}, {"shrinkage": (0.6, 1.0)}, {"max_iteration": 3, "shrinkage": (1.0,)}])
def test_recipe__makes_the_theta_of_the_walk(network, name, options):
    _, transitions = network
    family = observable_named(name)
    train, validation = transitions.take(np.arange(6000)), transitions.take(np.arange(6000, 9000))
    path = fit_path(family, train, validation, PathOptions(refit=False, **options))
    np.testing.assert_array_equal(path.recipe.make(family, train), path.theta)


def test_fit_path__under_a_strong_ridge_theta_is_made_longer(network):
    """The ridge alone would make theta a tenth as long as it should be."""
    _, transitions = network
    family = observable_named("antisymmetric")
    train, validation = transitions.take(np.arange(6000)), transitions.take(np.arange(6000, 9000))
    strong = PathOptions(first=10.0, last=10.0, refit=False)
    long, short = (fit_path(family, train, validation, replace(strong, line_search=search)) for search in (True, False))
    assert long.recipe.length > 4
    assert long.validation > 2 * short.validation > 0


def test_fit_path__a_second_fit_that_lowers_the_objective_is_dropped(network):
    """Train and validation are run in opposite directions: what suits one does not suit both."""
    _, transitions = network
    family = observable_named("antisymmetric")
    train, validation = transitions.take(np.arange(2000)), transitions.take(np.arange(2000, 2300))
    worst = replace(train, earlier=train.later, later=train.earlier)
    path = ridge_path._Path(_training(family, train), *_candidate(family, train, validation))
    opposed = ridge_path.Validation(family, worst)
    refit = ridge_path._fit_again(path, path.recipe, opposed)
    both = train.join(worst)
    assert refit.kept == (value("antisymmetric", both, refit.theta) > value("antisymmetric", both, path.theta))
    made_worse = replace(path, theta=np.zeros_like(path.theta))
    assert not ridge_path._fit_again(made_worse, path.recipe, opposed).kept


def test_fit_path__the_symmetric_part_of_flow_is_held_back():
    """Its observables nearly repeat each other while units are silent: let loose it costs the bound."""
    couplings, bias = spiking_network(30, np.random.default_rng(1), density=0.2, strength=0.6, bias_mean=-2.0)
    transitions = Transitions.from_spikes(KineticIsing(couplings=couplings, bias=bias).simulate(6000, seed=1))
    parts = [transitions.take(np.arange(first, 5999, 3)) for first in range(3)]
    flow, antisymmetric = (fit_path(observable_named(name), *parts[:2]) for name in ("flow", "antisymmetric"))
    matrix = flow.theta.reshape(30, 30)
    part = np.linalg.norm(matrix + matrix.T) / np.linalg.norm(matrix - matrix.T)
    assert part < 0.5
    held_out = [
        score_mean(family, parts[2], path.theta, family.mean(parts[2]))
        for family, path in ((observable_named("flow"), flow), (observable_named("antisymmetric"), antisymmetric))
    ]
    assert held_out[0] > 0.8 * held_out[1] > 0


def test_fit_path__without_evidence_nothing_is_fitted_again():
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((600, 10)) < 0.2)
    parts = transitions.take(np.arange(300)), transitions.take(np.arange(300, 599))
    once, again = (fit_path(observable_named("antisymmetric"), *parts, PathOptions(refit=r)) for r in (False, True))
    assert not again.evidence
    assert not again.refitted
    np.testing.assert_array_equal(once.theta, again.theta)


def test_fit_path__noise_is_seldom_evidence():
    """The length is chosen on validation data, so a value above 0 is not enough: half of all noise has one."""
    family, found, above = observable_named("antisymmetric"), 0, 0
    for seed in range(100):
        noise = Transitions.from_spikes(np.random.default_rng(seed).random((1500, 6)) < 0.2)
        path = fit_path(family, noise.take(np.arange(1000)), noise.take(np.arange(1000, 1499)))
        found, above = found + path.evidence, above + (path.validation > 1e-6)
    assert found <= 12
    assert above >= 35


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": 1e-5},
        {"last": 0.0},
        {"ratio": 1.0},
        {"tolerance": -1.0},
        {"max_iteration": 0},
        {"shrinkage": ()},
        {"shrinkage": (0.0, 0.5)},
    ],
)
def test_path_options__that_cannot_be_walked(wrong):
    with pytest.raises(EstimationError, match="ridge path needs"):
        PathOptions(**wrong)
