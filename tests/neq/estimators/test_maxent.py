import json
import os
from pathlib import Path

import numpy as np
import pytest
from networks import ring, symmetric

from neq import MaxEnt, Transitions, objective
from neq.errors import EstimationError
from neq.estimators.ridge_path import fit_path
from neq.estimators.splits import split_transitions
from neq.models.kinetic_ising import KineticIsing
from neq.observables import observable_named
from neq.spikes.surrogates import surrogate

REFERENCE = Path(__file__).parents[2] / "reference_data" / "maxent_estimates.json"


def recorded(name):
    folder = Path(os.environ.get("NEQ_DATA", "data"))
    if not (folder / f"{name}.npz").exists():
        pytest.skip(f"{name}.npz is not in {folder}; set NEQ_DATA")
    with np.load(folder / f"{name}.npz") as data:
        return Transitions.from_spikes(data["S"], data.get("trial_id"))


@pytest.fixture(scope="module")
def driven():
    return Transitions.from_spikes(ring().simulate(60_000, seed=0))


@pytest.mark.parametrize("split", ["shuffled", "blocked"])
@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
def test_fit__most_of_the_exact_entropy_production_and_not_more(driven, observable, split):
    exact = ring().entropy_production()
    result = MaxEnt(observable=observable, split=split).fit(driven, seed=0)
    low, high = result.interval
    assert low <= result.entropy_production <= high
    assert low < exact
    assert result.entropy_production > 0.5 * exact
    assert result.p_value < 0.01
    assert not result.quality & {"no_evidence", "tail_limited", "capped"}


def test_fit__a_cycle_needs_three_steps_to_have_a_direction():
    cycle = np.tile(np.array([[1, 0], [0, 1], [0, 0]], bool), (2000, 1))
    assert MaxEnt().fit(Transitions.from_spikes(cycle), seed=0).entropy_production > 1
    # Two units in turn: every transition is the mirror image of the next one, and a little noise changes nothing.
    noise = np.random.default_rng(0).random((6000, 2)) < 0.1
    alternating = np.tile(np.eye(2, dtype=bool), (3000, 1)) ^ noise
    assert abs(MaxEnt().fit(Transitions.from_spikes(alternating), seed=0).entropy_production) < 0.005


def test_fit__two_unit_chain_reaches_the_exact_value():
    chain = KineticIsing(couplings=np.array([[0.0, 0.0], [2.5, 0.0]]), bias=np.array([-1.0, -2.0]))
    transitions = Transitions.from_spikes(chain.simulate(200_000, seed=1))
    result = MaxEnt().fit(transitions, seed=0)
    low, high = result.interval
    # One observable of two units: its exact bound is a one-dimensional maximum over the enumerated pair law.
    joint = chain.stationary()[:, None] * np.exp(chain.log_transition())
    bound = exact_bound(joint)
    assert bound <= chain.entropy_production() + 1e-9
    assert low - 0.003 <= bound <= high + 0.003
    assert result.entropy_production == pytest.approx(bound, abs=0.006)


def exact_bound(joint):
    """Maximise theta <g> - ln <exp(-theta g)> over the enumerated pair law of two units."""
    state = np.array([[(s >> k) & 1 for k in range(2)] for s in range(4)]) * 2 - 1
    g = state[None, :, 0] * state[:, None, 1] - state[:, None, 0] * state[None, :, 1]
    grid = np.linspace(-3, 3, 6001)
    return max(t * (joint * g).sum() - np.log((joint * np.exp(-t * g)).sum()) for t in grid)


def test_fit__reversible_network_shows_no_entropy_production():
    transitions = Transitions.from_spikes(symmetric().simulate(60_000, seed=3))
    result = MaxEnt().fit(transitions, seed=0)
    assert abs(result.entropy_production) < 0.002
    assert result.interval[0] < 0.001


def test_fit__surrogate_of_a_driven_network_shows_none(driven):
    null = surrogate(driven, "time_reversal", np.random.default_rng(0))
    result = MaxEnt().fit(null, seed=0)
    assert abs(result.entropy_production) < 0.002


def test_fit__same_seed_same_bits_other_seed_other_split(driven):
    one, again, other = (MaxEnt().fit(driven, seed=seed) for seed in (0, 0, 1))
    assert one.entropy_production == again.entropy_production
    assert one.interval == again.interval
    np.testing.assert_array_equal(one.theta, again.theta)
    assert one.entropy_production != other.entropy_production


def test_fit__leaves_a_seed_sequence_as_it_was(driven):
    sequence = np.random.SeedSequence(5)
    values = {MaxEnt(half=False).fit(driven, seed=sequence).entropy_production for _ in range(2)}
    assert values == {MaxEnt(half=False).fit(driven, seed=5).entropy_production}


def test_fit__train_value_is_the_objective_of_theta(driven):
    result = MaxEnt(split="shuffled").fit(driven, seed=0)
    first_stream = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    train = driven.take(split_transitions(driven, "shuffled", first_stream).train)
    assert objective(train, result.theta)[0] == pytest.approx(result.entropy_production_train, abs=1e-12)
    coupling = result.coupling()
    np.testing.assert_array_equal(coupling, -coupling.T)
    # unit i + 1 follows unit i: the coupling onto the later unit is positive
    assert (coupling[np.arange(1, 6) % 5, np.arange(5)] > 0).all()


@pytest.mark.parametrize(
    ("n_unit", "n_bin", "seed", "flags"),
    [
        (40, 6000, 1, {"data_limited"}),
        (40, 30_000, 1, set()),
        # half of the data changes the value by a third, but by less than one standard error
        (20, 4000, 0, set()),
    ],
)
def test_fit__half_of_the_data_tells_whether_data_limit_it(n_unit, n_bin, seed, flags):
    transitions = Transitions.from_spikes(ring(n_unit, strength=1.0).simulate(n_bin, seed=seed))
    result = MaxEnt(n_draw=199).fit(transitions, seed=0)
    assert result.entropy_production > result.entropy_production_half > 0.1
    assert result.quality == flags


def test_fit__half_without_evidence_is_zero():
    spikes = np.random.default_rng(1).random((3000, 8)) < 0.2
    transitions = Transitions.from_spikes(spikes)
    first_stream = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    split = split_transitions(transitions, "blocked", first_stream)
    half, validation = transitions.take(split.train_half), transitions.take(split.validation_half)
    assert not fit_path(observable_named("antisymmetric"), half, validation).evidence
    assert MaxEnt(n_draw=0).fit(transitions, seed=0).entropy_production_half == 0.0


def test_fit__no_evidence_gives_zero_with_the_interval_of_the_best_candidate():
    for seed in range(20):
        spikes = np.random.default_rng(seed).random((3000, 8)) < 0.2
        result = MaxEnt().fit(Transitions.from_spikes(spikes), seed=seed)
        if "no_evidence" in result.quality:
            assert result.entropy_production == 0.0
            assert result.entropy_production_uncapped != 0.0
            assert result.interval[0] <= result.entropy_production_uncapped <= result.interval[1]
            return
    pytest.fail("noise never gave a fit without evidence")


def test_fit__cap_is_the_log_of_the_held_out_transitions():
    # A long deterministic sequence: every transition has its mirror image missing, so J grows with the length of theta,
    # which ends where J reaches ln of the number of validation transitions.
    n_unit = 12
    spikes = np.tile(np.eye(n_unit, dtype=bool), (20, 1))
    result = MaxEnt(split="shuffled").fit(Transitions.from_spikes(spikes), seed=0)
    assert np.log(24) < result.entropy_production_uncapped < 2 * np.log(48)
    assert result.n_test == 24
    assert result.entropy_production == np.log(24)
    assert result.entropy_production_half == np.log(24)
    assert result.effective_sample_size < 24
    assert result.quality == {"capped", "tail_limited"}


def test_fit__too_few_blocks_give_no_interval_but_a_reason():
    spikes = np.random.default_rng(0).random((60, 4)) < 0.3
    result = MaxEnt().fit(Transitions.from_spikes(spikes), seed=0)
    assert np.isnan(result.interval).all()
    assert "20 are needed" in result.reason


def test_fit__without_draws_has_no_interval_and_no_p_value(driven):
    result = MaxEnt(n_draw=0, half=False).fit(driven, seed=0)
    assert np.isnan(result.interval).all()
    assert np.isnan(result.p_value)
    assert np.isnan(result.entropy_production_half)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((1000, 3), bool), "varies over the training"),
        (np.ones((1000, 3), bool), "varies over the training"),
        (np.random.default_rng(0).random((1000, 1)) < 0.5, "needs 2 units"),
        (np.random.default_rng(0).random((2, 3)) < 0.5, "too few"),
    ],
)
def test_fit__hopeless_data_are_a_named_error(spikes, message):
    with pytest.raises(EstimationError, match=message):
        MaxEnt().fit(Transitions.from_spikes(spikes), seed=0)


def test_fit__duplicate_and_constant_units_do_no_harm(driven):
    spikes = ring().simulate(20_000, seed=0)
    more = np.hstack([spikes, spikes[:, :1], np.zeros((len(spikes), 1), bool)])
    result = MaxEnt().fit(Transitions.from_spikes(more), seed=0)
    assert np.isfinite(result.theta).all()
    assert result.coupling()[0, 5] == 0  # twins: their observable never varies


@pytest.mark.data
@pytest.mark.parametrize("observable", ["antisymmetric", "flow"])
@pytest.mark.parametrize("recording", ["s1", "retina_brownian_bar"])
def test_fit__recordings_reach_the_published_estimates(recording, observable):
    transitions = recorded(recording)
    expected = json.loads(REFERENCE.read_text())[f"{recording}/{observable}"]
    estimator = MaxEnt(observable=observable, split="shuffled", half=False, n_draw=199)
    results = [estimator.fit(transitions, seed=seed) for seed in range(5)]
    values = np.array([result.entropy_production for result in results])
    assert not any("tail_limited" in result.quality for result in results)
    assert values.mean() >= expected["ep_mean"] - expected["ep_sd"]
    if observable == "antisymmetric":
        assert max(result.p_value for result in results) < 0.01


@pytest.mark.data
@pytest.mark.parametrize("recording", ["s1", "retina_brownian_bar"])
def test_fit__time_reversal_of_recordings_shows_nothing(recording):
    null = surrogate(recorded(recording), "time_reversal", np.random.default_rng(0))
    assert abs(MaxEnt(split="shuffled", half=False, n_draw=0).fit(null, seed=0).entropy_production) < 0.001
