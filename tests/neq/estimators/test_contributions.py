import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neq import Contributions, MaxEnt, Transitions, contributions, objective
from neq.errors import EstimationError
from neq.estimators.contributions import mean_contributions
from neq.estimators.splits import split_transitions
from neq.observables import observable_named

AREAS = np.array(["V1", "LM", "V1", "", "LM", "V1"])


@st.composite
def fits(draw):
    """Return transitions of a few units, an observable and a theta."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_unit, name = draw(st.integers(2, 6)), draw(st.sampled_from(["antisymmetric", "flow"]))
    spikes = rng.random((draw(st.integers(3, 80)), n_unit)) < draw(st.sampled_from([0.05, 0.3, 0.7]))
    theta = rng.normal(scale=draw(st.sampled_from([0.01, 1.0])), size=observable_named(name).n_parameter(n_unit))
    return spikes, theta, name


@given(fits())
@settings(max_examples=60)
def test_contributions__are_those_of_the_dense_sums(fit):
    spikes, theta, name = fit
    parts = contributions(theta, Transitions.from_spikes(spikes), name)
    x, later = 2.0 * spikes[:-1] - 1, 2.0 * spikes[1:] - 1
    n_unit = spikes.shape[1]
    pair = np.zeros((n_unit, n_unit))
    score = np.zeros(len(x))
    entries = iter(theta)
    for i in range(n_unit):
        for j in range(n_unit):
            if name == "flow":
                weight = next(entries)
                pair[i, j] = weight * np.mean((later[:, i] - x[:, i]) * x[:, j])
                score += weight * (x[:, i] - later[:, i]) * later[:, j]
            elif i < j:
                weight = next(entries)
                g = later[:, i] * x[:, j] - x[:, i] * later[:, j]
                pair[i, j] = pair[j, i] = weight * g.mean() / 2
                score -= weight * g
    np.testing.assert_allclose(parts.pair, pair, atol=1e-13)
    assert parts.log_normaliser == pytest.approx(np.log(np.mean(np.exp(score))), abs=1e-12)


@given(fits())
@settings(max_examples=60)
def test_everything_adds_up_to_the_objective(fit):
    spikes, theta, name = fit
    transitions = Transitions.from_spikes(spikes)
    value, _ = objective(transitions, theta, name)
    parts = contributions(theta, transitions, name)
    areas = parts.by_area(AREAS[: parts.n_unit])
    exactly = {"abs": 1e-12, "rel": 1e-12}
    assert parts.objective == pytest.approx(value, **exactly)
    for table in (parts.pair, parts.unit, areas.value, areas.pair):
        assert table.sum() - parts.log_normaliser == pytest.approx(value, **exactly)


@given(fits())
@settings(max_examples=30)
def test_areas__are_sums_over_their_units(fit):
    spikes, theta, name = fit
    parts = contributions(theta, Transitions.from_spikes(spikes), name)
    labels = AREAS[: parts.n_unit]
    areas = parts.by_area(labels)
    assert areas.area == tuple(sorted(set(labels.tolist())))
    for a, one in enumerate(areas.area):
        assert areas.n_unit[a] == (labels == one).sum()
        assert areas.value[a] == pytest.approx(parts.unit[labels == one].sum(), abs=1e-12)
        for b, other in enumerate(areas.area):
            expected = parts.pair[np.ix_(labels == one, labels == other)].sum()
            assert areas.pair[a, b] == pytest.approx(expected, abs=1e-12)
    if name == "antisymmetric":
        np.testing.assert_allclose(areas.pair, areas.pair.T, atol=1e-14)


@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
def test_held_out_part_of_a_fit__adds_up_to_its_value(observable):
    rng = np.random.default_rng(0)
    spikes = np.tile(np.eye(4, dtype=bool), (2000, 1)) ^ (rng.random((8000, 4)) < 0.25)
    transitions = Transitions.from_spikes(spikes)
    result = MaxEnt(observable=observable, half=False).fit(transitions, seed=0)
    deal = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    test = transitions.take(split_transitions(transitions, "blocked", deal).test)
    parts = contributions(result.theta, test, observable)
    assert result.entropy_production > 0.1
    assert parts.objective == pytest.approx(result.entropy_production_uncapped, rel=1e-12)


def test_mean_contributions__of_folds_adds_up_to_the_mean_of_their_values():
    rng = np.random.default_rng(1)
    folds = [Transitions.from_spikes(rng.random((n, 4)) < 0.3) for n in (50, 80, 30)]
    thetas = rng.normal(scale=0.3, size=(3, 6))
    parts = [contributions(theta, fold) for theta, fold in zip(thetas, folds, strict=True)]
    size = np.array([fold.n_transition for fold in folds])
    expected = np.average([objective(fold, theta)[0] for theta, fold in zip(thetas, folds, strict=True)], weights=size)
    assert mean_contributions(parts, size).objective == pytest.approx(expected, abs=1e-12)


def test_a_driven_pair_has_all_of_it():
    rng = np.random.default_rng(2)
    spikes = rng.random((20_000, 4)) < 0.3
    spikes[1:, 3] = spikes[:-1, 1] ^ (rng.random(19_999) < 0.1)
    transitions = Transitions.from_spikes(spikes)
    parts = contributions(MaxEnt(half=False).fit(transitions, seed=0).theta, transitions)
    assert parts.pair[1, 3] == parts.pair.max()
    assert 2 * parts.pair[1, 3] == pytest.approx(parts.total, rel=0.02)
    assert parts.unit[[1, 3]].sum() == pytest.approx(parts.total, rel=0.02)


def test_large_theta__does_not_overflow():
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((100, 3)) < 0.3)
    parts = contributions(np.full(3, 1e5), transitions)
    assert np.isfinite(parts.log_normaliser)
    assert np.isfinite(parts.objective)


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        (np.ones(4), "theta must have 3 finite entries for 3 units .antisymmetric.; found shape .4,. with 4 finite"),
        (np.array([1.0, np.nan, 1.0]), "with 2 finite"),
    ],
)
def test_contributions__names_what_is_wrong_with_theta(theta, message):
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((100, 3)) < 0.3)
    with pytest.raises(EstimationError, match=message):
        contributions(theta, transitions)


def test_contributions__no_transitions_is_an_error():
    transitions = Transitions.from_spikes(np.ones((5, 3), bool), lag=7)
    with pytest.raises(EstimationError, match="no transitions"):
        contributions(np.ones(3), transitions)


def test_by_area__one_label_for_each_unit():
    parts = Contributions(np.ones(3), 0.1, n_unit=3)
    with pytest.raises(EstimationError, match="one area for each of 3 units"):
        parts.by_area(["V1", "LM"])


def test_mean_contributions__of_one_kind_only():
    kinds = [Contributions(np.ones(3), 0.1, n_unit=3), Contributions(np.ones(9), 0.1, n_unit=3, observable="flow")]
    with pytest.raises(EstimationError, match="one observable"):
        mean_contributions(kinds, [1, 1])
    with pytest.raises(EstimationError, match="a weight for each of 1"):
        mean_contributions(kinds[:1], [1, 1])


def test_contributions__theta_beyond_floating_point_is_a_named_error():
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((500, 3)) < 0.3)
    with pytest.raises(EstimationError, match="overflows"):
        contributions([1e308, -1e308, 1e308], transitions)
