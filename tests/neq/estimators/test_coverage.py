"""Intervals hold what they say and p-values are uniform, against networks whose pair law is enumerated."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import ESTIMATORS, LAWS, Law, driven, measure, reversible
from neq import MaxEnt, Transitions
from neq.estimators.uncertainty import widened
from neq.models import KineticIsing
from neq.observables import observable_named

ONE = replace(ESTIMATORS["one blocked split"], n_draw=199)
FOLDS = replace(ESTIMATORS["5 folds"], n_draw=199, cross_fit=3)
SHORT = driven(n_unit=6, strength=0.7, n_bin=4000)
N_SHORT = 20


def fewest(n_run, share=0.95, luck=0.001):
    """Return how many of ``n_run`` are still no surprise."""
    return int(stats.binom.ppf(luck, n_run, share))


@cache
def measured(network, estimator, n_run=100):
    return measure(LAWS[network], ESTIMATORS[estimator], n_run)


@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
@pytest.mark.parametrize("n_sample", [400_000, pytest.param(10_000_000, marks=pytest.mark.long)])
def test_law__objective_is_that_of_endless_recordings(observable, n_sample):
    family, law = observable_named(observable), SHORT
    theta = 0.3 * np.random.default_rng(0).normal(size=family.n_parameter(6))
    score, log_weight = [], []
    for seed in range(20):
        spikes = law.network.simulate(n_sample // 20, seed=np.random.default_rng([3, seed]))
        transitions = Transitions.from_spikes(spikes)
        score.append(family.score(transitions, theta).mean())
        log_weight.append(np.exp(family.reverse_score(transitions, theta)).mean())
    weight = np.mean(log_weight)
    error = np.std(np.array(score) - np.array(log_weight) / weight) / np.sqrt(20)
    assert law.objective(theta, observable) == pytest.approx(np.mean(score) - np.log(weight), abs=4 * error)
    assert error < 0.01 * np.sqrt(400_000 / n_sample)


@pytest.mark.parametrize("estimator", [ONE, FOLDS], ids=["one", "folds"])
def test_interval__covers_and_is_as_wide_as_the_spread(estimator):
    found = measure(SHORT, estimator, N_SHORT)
    assert found.n_interval == N_SHORT
    assert found.covered >= fewest(N_SHORT)
    # 99.8% of the spread of 20 values around its law
    low, high = np.sqrt(N_SHORT / stats.chi2.ppf([0.999, 0.001], N_SHORT))
    assert 0.8 * low < found.width / found.own_spread < 1.2 * high


@pytest.mark.parametrize("estimator", [ONE, FOLDS], ids=["one", "folds"])
def test_equilibrium__intervals_reach_zero_and_p_values_are_uniform(estimator):
    found = measure(reversible(SHORT), estimator, N_SHORT)
    assert found.above_zero <= N_SHORT - fewest(N_SHORT)
    assert found.covered >= fewest(N_SHORT)
    assert found.uniform > 0.001


def test_widened__grows_deviations_only():
    draws = np.random.default_rng(0).normal(3.0, 1.0, 1000)
    wide = widened(draws, 0.5)
    assert wide.mean() == pytest.approx(draws.mean())
    assert wide.var() == pytest.approx(1.5 * draws.var())


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("estimator", ["one blocked split", "5 folds"])
@pytest.mark.parametrize("network", ["driven", "weakly driven", "slow"])
def test_interval__holds_the_objective_in_nine_of_ten_runs(network, estimator):
    # weakly driven and folded it does so in 93%: of 100 runs too few to tell that from 90%
    n_run = 300 if (network, estimator) == ("weakly driven", "5 folds") else 100
    found = measured(network, estimator, n_run)
    # a slow score may leave fewer than 20 blocks, which is a NaN with a reason
    assert found.n_interval >= 0.98 * n_run
    assert found.covered >= 0.9 * n_run
    assert found.width == pytest.approx(found.own_spread, rel=0.2)
    # theta of a fold is made of the other folds: fresh recordings vary less than they do; and those of the slow network
    # by a quarter more than the recordings at hand, in rare transitions that a theta fitted elsewhere has not seen
    if estimator != "5 folds" and network != "slow":
        assert found.width == pytest.approx(found.spread, rel=0.2)
    assert found.above_zero >= 0.95 * n_run
    assert found.small == 1.0


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("estimator", ["one blocked split", "5 folds"])
@pytest.mark.parametrize("network", ["equilibrium", "slow equilibrium"])
def test_equilibrium__at_most_10_of_100_lie_above_zero(network, estimator):
    found = measured(network, estimator)
    assert found.above_zero <= 10
    assert found.covered >= 90
    # in units of each run's own width: the length of theta is chosen, and where there is nothing to see it is near zero
    # in many runs, so that a mean of widths says little beside a root mean square of deviations
    assert found.own_scaled == pytest.approx(1.0, rel=0.2)
    assert found.uniform > 0.01
    assert found.small <= 0.12


@pytest.mark.data
@pytest.mark.parametrize("cross_fit", [None, pytest.param(5, marks=pytest.mark.long)])
@pytest.mark.parametrize("recording", ["s1", "retina_brownian_bar"])
def test_p_value__below_a_hundredth_on_recordings(recording, cross_fit):
    folder = Path(os.environ.get("NEQ_DATA", "data"))
    if not (folder / f"{recording}.npz").exists():
        pytest.skip(f"{recording}.npz is not in {folder}; set NEQ_DATA")
    with np.load(folder / f"{recording}.npz") as data:
        transitions = Transitions.from_spikes(data["S"], data.get("trial_id"))
    result = MaxEnt(cross_fit=cross_fit, half=False).fit(transitions, seed=0)
    assert result.p_value < 0.01
    assert result.interval[0] > 0


def test_no_evidence__interval_is_that_of_the_best_candidate_below_zero():
    law = Law(KineticIsing(couplings=np.zeros((8, 8)), bias=np.full(8, -1.5)), 3000)
    results = [MaxEnt(n_draw=199, half=False).fit(law.record(seed), seed=seed) for seed in range(12)]
    without = [result for result in results if "no_evidence" in result.quality]
    assert without
    for result in without:
        assert result.entropy_production == 0.0
        assert result.interval[0] <= result.entropy_production_uncapped <= result.interval[1]
        assert law.objective(result.theta, "antisymmetric") < 0
