import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import noise, ring, symmetric

from neq import MaxEnt, NewtonStep, Transitions, objective
from neq.errors import EstimationError
from neq.estimators.conjugate_gradients import DAMPING, best_step, solve_step, step_problem
from neq.estimators.factor_covariance import LOADING, factor_covariance
from neq.estimators.splits import split_transitions
from neq.observables import observable_named
from neq.seeds import stream


def dense_spins(transitions):
    """Return spins of earlier and later bins (transition, unit), slowly."""
    spins = -np.ones((len(transitions.row_start) - 1, transitions.n_unit))
    for number, (first, last) in enumerate(zip(transitions.row_start, transitions.row_start[1:], strict=False)):
        spins[number, transitions.unit[first:last]] = 1
    return spins[transitions.earlier], spins[transitions.later]


def dense_g(observable, earlier, later):
    """Return g (transition, observable)."""
    if observable == "flow":
        return np.einsum("ti,tj->tij", later - earlier, earlier).reshape(len(earlier), -1)
    pair = np.einsum("ti,tj->tij", later, earlier) - np.einsum("ti,tj->tij", earlier, later)
    return pair[:, *np.triu_indices(earlier.shape[1], 1)]


def dense_step(observable, transitions, damping=(0.0, 0.0), ridge=1e-4):
    """Return the step from K and P as matrices."""
    earlier, later = dense_spins(transitions)
    forward, reverse = dense_g(observable, earlier, later), dense_g(observable, later, earlier)
    covariance = np.cov(reverse.T, bias=True).reshape(forward.shape[1], -1)
    variance = np.diag(covariance)
    weight = variance if observable == "antisymmetric" else np.full_like(variance, variance.mean())
    loading, n = LOADING * np.eye(transitions.n_unit), len(earlier)
    change = (later - earlier).T @ (later - earlier) / n + loading
    if observable == "flow":
        structured = np.kron(change, later.T @ later / n + loading)
    else:
        middle = (later + earlier) / 2
        full = np.kron(change, middle.T @ middle / n + loading)
        # theta_ij stands for the matrix entries ij and, with the other sign, ji
        unit = transitions.n_unit
        first, second = np.triu_indices(unit, 1)
        signs = np.zeros((unit * unit, len(first)))
        signs[first * unit + second, np.arange(len(first))] = 1
        signs[second * unit + first, np.arange(len(first))] = -1
        structured = signs.T @ full @ signs
    matrix = (1 - damping[0]) * covariance + damping[0] * structured + np.diag(damping[1] * weight + ridge)
    return np.linalg.solve(matrix, forward.mean(axis=0) - reverse.mean(axis=0))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_unit=st.integers(2, 6),
    rate=st.sampled_from([0.1, 0.5]),
    observable=st.sampled_from(["antisymmetric", "flow"]),
    damping=st.sampled_from([(0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (0.7, 0.1), (0.0, 0.3)]),
)
def test_solve_step__is_the_dense_solution(seed, n_unit, rate, observable, damping):
    transitions = noise(300, n_unit, rate, seed)
    problem = step_problem(observable_named(observable), transitions, ridge=1e-4)
    step = solve_step(problem, damping, tolerance=1e-12)
    expected = dense_step(observable, transitions, damping)
    assert step.converged
    np.testing.assert_allclose(step.theta, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
def test_factor_covariance__solve_undoes_product(observable):
    transitions = noise(500, 6, 0.3, seed=0)
    family = observable_named(observable)
    factors = factor_covariance(family, transitions).damped(0.2)
    theta = np.random.default_rng(1).normal(size=family.n_parameter(6))
    np.testing.assert_allclose(factors.solve(factors.product(theta)), theta, atol=1e-10)


def test_factor_covariance__is_the_covariance_of_independent_factors():
    # spins that are new in every bin: changes and mid-points are independent but for their fourth moments
    transitions = noise(200_000, 4, 0.5, seed=2)
    family = observable_named("antisymmetric")
    theta = np.arange(1.0, 7.0)
    exact = family.covariance_product(transitions, theta, family.mean(transitions))
    np.testing.assert_allclose(factor_covariance(family, transitions).product(theta), exact, rtol=0.03)


def test_solve_step__preconditioned_needs_few_iterations():
    rng = np.random.default_rng(0)
    common = rng.random((8000, 1)) < 0.3
    spikes = rng.random((8000, 40)) < np.where(common, 0.4, 0.05)
    step = solve_step(step_problem(observable_named("antisymmetric"), Transitions.from_spikes(spikes), 1e-4))
    assert step.converged
    assert step.n_iteration < 60


def test_best_step__stops_where_validation_gets_worse_and_keeps_the_best():
    problem = step_problem(observable_named("antisymmetric"), noise(500, 4, 0.3, seed=0), 1e-4)
    values = iter([1.0, 3.0, 2.0, 9.0])
    fit = best_step(problem, lambda theta: (next(values), 0.5), tolerance=1e-3)
    assert (fit.validation, fit.damping, fit.length) == (3.0, DAMPING[1], 0.5)
    assert next(values) == 9.0
    np.testing.assert_allclose(fit.theta, 0.5 * solve_step(problem, DAMPING[1]).theta, rtol=0.01, atol=1e-6)


@pytest.fixture(scope="module")
def driven():
    return Transitions.from_spikes(ring().simulate(60_000, seed=0))


@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
def test_fit__most_of_the_exact_entropy_production_and_not_more(driven, observable):
    exact = ring().entropy_production()
    result = NewtonStep(observable=observable).fit(driven, seed=0)
    low, high = result.interval
    assert low <= result.entropy_production <= high
    assert low < exact
    assert result.entropy_production > 0.5 * exact
    assert result.p_value < 0.01
    assert result.converged
    assert not result.quality & {"no_evidence", "tail_limited", "capped"}


def test_fit__published_step_is_the_dense_one_on_the_training_part(driven):
    result = NewtonStep(damping=((0.0, 0.0),), line_search=False, tolerance=1e-10, half=False).fit(driven, seed=3)
    split = split_transitions(driven, "blocked", stream(3, 0))
    np.testing.assert_allclose(result.theta, dense_step("antisymmetric", driven.take(split.train)), rtol=1e-7)
    test, train = driven.take(split.test), driven.take(split.train)
    assert result.entropy_production == pytest.approx(objective(test, result.theta)[0], abs=1e-12)
    assert result.entropy_production_train == pytest.approx(objective(train, result.theta)[0], abs=1e-12)
    assert (result.step_length, result.damping) == (1.0, (0.0, 0.0))


def test_fit__holds_out_what_maxent_holds_out_and_stays_below_its_training_optimum(driven):
    newton = NewtonStep(line_search=False, n_draw=0).fit(driven, seed=1)
    optimum = MaxEnt(n_draw=0, half=False).fit(driven, seed=1)
    np.testing.assert_array_equal(newton.fold, optimum.fold)
    assert newton.n_test == optimum.n_test == np.sum(newton.fold == 0)
    assert newton.spikes_per_bin == optimum.spikes_per_bin
    assert newton.entropy_production == pytest.approx(optimum.entropy_production, rel=0.2)


def test_fit__damping_saves_the_step_where_data_are_few():
    transitions = Transitions.from_spikes(ring(40, strength=1.0).simulate(6000, seed=1))
    damped = NewtonStep(n_draw=0, half=False).fit(transitions, seed=0)
    published = NewtonStep(damping=((0.0, 0.0),), line_search=False, n_draw=0, half=False).fit(transitions, seed=0)
    assert published.entropy_production < 0
    assert damped.entropy_production > 0.1


def test_fit__half_of_the_data_tells_whether_data_limit_it():
    few, many = (Transitions.from_spikes(ring(40, strength=1.0).simulate(n, seed=1)) for n in (6000, 60_000))
    assert NewtonStep(n_draw=199).fit(few, seed=0).quality == {"data_limited"}
    assert NewtonStep(n_draw=199).fit(many, seed=0).quality == set()


def test_fit__same_seed_same_bits(driven):
    one, again, other = (NewtonStep(n_draw=99).fit(driven, seed=seed) for seed in (0, np.random.SeedSequence(0), 1))
    assert one.entropy_production == again.entropy_production
    assert one.interval == again.interval
    np.testing.assert_array_equal(one.theta, again.theta)
    assert one.entropy_production != other.entropy_production


def test_fit__reversible_network_shows_no_entropy_production():
    result = NewtonStep().fit(Transitions.from_spikes(symmetric().simulate(60_000, seed=3)), seed=0)
    assert abs(result.entropy_production) < 0.002
    assert result.interval[0] < 0.001


def test_fit__duplicate_and_constant_units_do_no_harm():
    spikes = ring().simulate(20_000, seed=0)
    more = np.hstack([spikes, spikes[:, :1], np.zeros((len(spikes), 1), bool)])
    for observable in ("antisymmetric", "flow"):
        result = NewtonStep(observable=observable, n_draw=0).fit(Transitions.from_spikes(more), seed=0)
        assert np.isfinite(result.theta).all()
        assert result.entropy_production > 0.3
    # twins: their observable never varies
    coupling = NewtonStep(n_draw=0).fit(Transitions.from_spikes(more), seed=0).coupling()
    assert abs(coupling[0, 5]) < 1e-10 * np.abs(coupling).max()


def test_fit__no_evidence_gives_zero_with_the_interval_of_the_best_step():
    for seed in range(20):
        result = NewtonStep().fit(noise(3000, 8, 0.2, seed), seed=seed)
        if "no_evidence" in result.quality:
            assert result.entropy_production == 0.0
            assert result.entropy_production_uncapped != 0.0
            assert result.interval[0] <= result.entropy_production_uncapped <= result.interval[1]
            return
    pytest.fail("noise never gave a step without evidence")


@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((1000, 3), bool), "varies over the transitions"),
        (np.ones((1000, 3), bool), "varies over the transitions"),
        (np.random.default_rng(0).random((2, 3)) < 0.5, "too few"),
    ],
)
def test_fit__hopeless_data_are_a_named_error(observable, spikes, message):
    with pytest.raises(EstimationError, match=message):
        NewtonStep(observable=observable).fit(Transitions.from_spikes(spikes), seed=0)


def test_fit__one_unit_and_a_lag_beyond_every_trial_are_named_errors():
    with pytest.raises(EstimationError, match="needs 2 units"):
        NewtonStep().fit(noise(1000, 1, 0.5, seed=0))
    long_lag = Transitions.from_spikes(np.eye(4, dtype=bool), segment=[0, 0, 1, 1], lag=2)
    with pytest.raises(EstimationError, match="too few"):
        NewtonStep().fit(long_lag)


@pytest.mark.parametrize(
    "options",
    [{"fractions": (0.5, 0.5, 0.5)}, {"n_draw": -1}, {"damping": ()}, {"damping": ((2.0, 0.0),)}, {"tolerance": 0.0}],
)
def test_options__are_checked(options):
    with pytest.raises(EstimationError, match=next(iter(options))):
        NewtonStep(**options)
