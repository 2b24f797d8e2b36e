import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq import MaxEnt, Transitions, objective
from neq.errors import EstimationError
from neq.estimators import maxent
from neq.estimators.dense_observables import fitting_observable
from neq.estimators.judgement import judge
from neq.estimators.ridge_path import PathOptions, fit_path
from neq.estimators.splits import fold_splits
from neq.observables import observable_named


def ring_of_noise(n_bin=6400, n_unit=6, seed=0):
    """Return units that fire in turn, a quarter of all entries turned over."""
    noise = np.random.default_rng(seed).random((n_bin, n_unit)) < 0.25
    return np.tile(np.eye(n_unit, dtype=bool), (-(-n_bin // n_unit), 1))[:n_bin] ^ noise


@pytest.fixture(scope="module")
def transitions():
    return Transitions.from_spikes(ring_of_noise(), segment=np.arange(6400) // 400)


@pytest.fixture(scope="module")
def fitted(transitions):
    return MaxEnt(cross_fit=4, scores=True, n_draw=199).fit(transitions, seed=3)


def folds_of(transitions):
    first_stream = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(0,)))
    return fold_splits(transitions, 4, first_stream)


@given(n_bin=st.integers(300, 1500), lag=st.integers(1, 5), n_fold=st.integers(2, 7), n_segment=st.integers(1, 9))
def test_fold_splits__folds_cover_the_recording_and_share_no_bin(n_bin, lag, n_fold, n_segment):
    pairs = Transitions.from_spikes(np.zeros((n_bin, 2), bool), np.arange(n_bin) * n_segment // n_bin, lag)
    splits = fold_splits(pairs, n_fold, np.random.default_rng(0))
    tests = np.concatenate([split.test for split in splits])
    assert (np.diff(tests) > 0).all()
    assert pairs.n_transition - lag * (n_fold - 1) <= len(tests) <= pairs.n_transition
    for split in splits:
        bins = [
            set(pairs.earlier[part]) | set(pairs.later[part]) for part in (split.train, split.validation, split.test)
        ]
        assert not bins[0] & bins[1]
        assert not (bins[0] | bins[1]) & bins[2]
        assert set(split.train_half) < set(split.train)


def test_fold_splits__a_surrogate_is_cut_where_its_recording_is(transitions):
    turned = transitions.exchange(np.random.default_rng(0).random(transitions.n_transition) < 0.5)
    for one, two in zip(folds_of(transitions), folds_of(turned), strict=True):
        np.testing.assert_array_equal(one.test, two.test)
        np.testing.assert_array_equal(one.train, two.train)


def test_cross_fit__fold_is_where_each_transition_was_held_out(transitions, fitted):
    assert fitted.fold.dtype == np.int16
    for number, split in enumerate(folds_of(transitions)):
        np.testing.assert_array_equal(np.flatnonzero(fitted.fold == number), split.test)
    np.testing.assert_array_equal(fitted.fold >= 0, np.isfinite(fitted.score))
    assert np.sum(fitted.fold >= 0) == fitted.n_test


def test_cross_fit__is_the_mean_of_the_objectives_of_the_folds(transitions, fitted):
    tests = [transitions.take(split.test) for split in folds_of(transitions)]
    values = [objective(test, theta)[0] for test, theta in zip(tests, fitted.fold_theta, strict=True)]
    size = [test.n_transition for test in tests]
    np.testing.assert_allclose(fitted.fold_entropy_production, values, rtol=1e-12)
    assert fitted.entropy_production == pytest.approx(np.average(values, weights=size), rel=1e-12)
    assert fitted.n_test == sum(size)
    assert fitted.cross_fit == len(fitted.fold_entropy_production) == 4
    low, high = fitted.interval
    assert low < fitted.entropy_production < high
    assert fitted.p_value < 0.01
    assert fitted.quality == set()


def test_cross_fit__no_theta_has_seen_its_fold(transitions, fitted):
    first = folds_of(transitions)[0].test
    spikes = ring_of_noise()
    spikes[transitions.earlier[first]] = np.random.default_rng(9).random((len(first), 6)) < 0.5
    changed = Transitions.from_spikes(spikes, segment=np.arange(6400) // 400)
    again = MaxEnt(cross_fit=4, n_draw=0).fit(changed, seed=3)
    np.testing.assert_array_equal(again.fold_theta[0], fitted.fold_theta[0])
    assert again.fold_entropy_production[0] != fitted.fold_entropy_production[0]
    assert (again.fold_theta[1:] != fitted.fold_theta[1:]).any()


def test_cross_fit__published_theta_is_a_fit_of_all_as_in_the_fold_of_the_median_ridge(transitions, fitted):
    family = fitting_observable(observable_named("antisymmetric"), transitions)
    paths = [
        fit_path(family, transitions.take(split.train), transitions.take(split.validation))
        for split in folds_of(transitions)
    ]
    assert fitted.ridge == sorted(path.ridge for path in paths)[2]
    thetas = [path.recipe.make(family, transitions) for path in paths if path.ridge == fitted.ridge]
    assert any((fitted.theta == theta).all() for theta in thetas)
    assert not (fitted.fold_theta == fitted.theta).all(axis=1).any()


def test_cross_fit__agrees_with_single_splits_and_is_steadier(transitions):
    spread = {}
    for name, estimator in {"one": MaxEnt(n_draw=0), "folds": MaxEnt(n_draw=0, cross_fit=5)}.items():
        values = [
            estimator.fit(Transitions.from_spikes(ring_of_noise(3000, seed=seed)), seed=0).entropy_production
            for seed in range(6)
        ]
        spread[name] = np.mean(values), np.std(values)
    assert spread["folds"][0] == pytest.approx(spread["one"][0], abs=2 * spread["one"][1])
    assert spread["folds"][1] < 0.7 * spread["one"][1]


@pytest.mark.parametrize("cross_fit", [None, 4])
@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
def test_scores__average_to_the_value(transitions, cross_fit, observable):
    result = MaxEnt(observable=observable, cross_fit=cross_fit, scores=True, n_draw=0, half=False).fit(transitions)
    held_out = np.isfinite(result.score)
    assert result.score.shape == transitions.later.shape
    assert held_out.sum() == result.n_test
    assert result.score[held_out].mean() == pytest.approx(result.entropy_production_uncapped, abs=1e-14)


def test_scores__are_those_of_the_fold_and_nan_at_the_cuts(transitions, fitted):
    unused = np.ones(transitions.n_transition, bool)
    for split, theta, value in zip(
        folds_of(transitions), fitted.fold_theta, fitted.fold_entropy_production, strict=True
    ):
        test = transitions.take(split.test)
        score = observable_named("antisymmetric").score(test, theta)
        np.testing.assert_allclose(fitted.score[split.test], score - score.mean() + value, rtol=1e-10, atol=1e-12)
        unused[split.test] = False
    np.testing.assert_array_equal(np.isnan(fitted.score), unused)
    assert MaxEnt(n_draw=0, half=False).fit(transitions).score is None


@pytest.mark.parametrize("cross_fit", [0, 1, 2.5, -3])
def test_cross_fit__needs_two_folds_or_more(cross_fit):
    with pytest.raises(EstimationError, match="whole number of folds"):
        MaxEnt(cross_fit=cross_fit)


def test_cross_fit__needs_a_blocked_split():
    with pytest.raises(EstimationError, match="split 'blocked'"):
        MaxEnt(cross_fit=3, split="shuffled")


def test_cross_fit__what_folds_share_counts_all_that_made_theta(transitions, monkeypatch):
    seen = []
    monkeypatch.setattr(
        maxent, "judge", lambda folds, n_draw, rng, overlap: seen.append(overlap) or judge(folds, 0, rng)
    )
    for refit in (False, True):
        MaxEnt(cross_fit=4, half=False, path=PathOptions(refit=refit)).fit(transitions, seed=3)
    splits = folds_of(transitions)
    n_test = sum(len(split.test) for split in splits)
    parts = [("train",), ("train", "validation")]
    expected = [
        np.mean([sum(len(getattr(split, part)) for part in used) / (n_test - len(split.test)) for split in splits])
        for used in parts
    ]
    assert seen == pytest.approx(expected)
    assert expected[1] > 0.95
