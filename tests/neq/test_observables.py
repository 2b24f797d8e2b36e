import os
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neq import Transitions, objective
from neq.errors import EstimationError
from neq.observables import OBSERVABLES

NAMES = ["antisymmetric", "flow"]
populations = hnp.arrays(bool, st.tuples(st.integers(2, 25), st.integers(2, 5)))


def random_theta(transitions, name, seed, scale=1.0):
    n = OBSERVABLES[name].n_parameter(transitions.n_unit)
    return np.random.default_rng(seed).normal(0, scale, n)


@settings(deadline=None)
@pytest.mark.parametrize("name", NAMES)
@given(spikes=populations, seed=st.integers(0, 1000))
def test_objective__matches_reference(name, spikes, seed):
    transitions = Transitions.from_spikes(spikes)
    theta = random_theta(transitions, name, seed)
    pairs = list(zip(transitions.earlier, transitions.later, strict=True))
    value, gradient, score, reverse = reference.objective(spikes, pairs, theta, name)
    got_value, got_gradient = objective(transitions, theta, name)
    np.testing.assert_allclose(got_value, value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got_gradient, gradient, atol=1e-9)
    np.testing.assert_allclose(OBSERVABLES[name].score(transitions, theta), score, atol=1e-9)
    np.testing.assert_allclose(OBSERVABLES[name].reverse_score(transitions, theta), reverse, atol=1e-9)


@settings(deadline=None)
@pytest.mark.parametrize("name", NAMES)
@given(spikes=populations)
def test_variance__matches_reference(name, spikes):
    transitions = Transitions.from_spikes(spikes)
    pairs = list(zip(transitions.earlier, transitions.later, strict=True))
    g = reference.observables(spikes, pairs, name)
    np.testing.assert_allclose(OBSERVABLES[name].variance(transitions), g.var(axis=0), atol=1e-9)
    np.testing.assert_allclose(OBSERVABLES[name].mean(transitions), g.mean(axis=0), atol=1e-9)


@settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("name", NAMES)
@given(spikes=populations, seed=st.integers(0, 1000))
def test_objective__gradient_is_the_slope(name, spikes, seed):
    transitions = Transitions.from_spikes(spikes)
    theta, step = random_theta(transitions, name, seed, 0.3), random_theta(transitions, name, seed + 1, 1e-5)
    slope = objective(transitions, theta + step, name)[0] - objective(transitions, theta - step, name)[0]
    np.testing.assert_allclose(2 * step @ objective(transitions, theta, name)[1], slope, rtol=1e-4, atol=1e-9)


@settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("name", NAMES)
@given(spikes=populations, seed=st.integers(0, 1000))
def test_objective__is_concave_and_zero_at_zero(name, spikes, seed):
    transitions = Transitions.from_spikes(spikes)
    one, two = (random_theta(transitions, name, seed + k) for k in (0, 1))
    middle = objective(transitions, (one + two) / 2, name)[0]
    assert middle >= (objective(transitions, one, name)[0] + objective(transitions, two, name)[0]) / 2 - 1e-9
    assert objective(transitions, 0 * one, name)[0] == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(spikes=populations, seed=st.integers(0, 1000))
def test_objective__time_reversal_changes_the_sign_of_an_odd_theta(spikes, seed):
    transitions = Transitions.from_spikes(spikes)
    turned = transitions.exchange(np.ones(transitions.n_transition, bool))
    theta = random_theta(transitions, "antisymmetric", seed)
    np.testing.assert_allclose(objective(turned, -theta)[0], objective(transitions, theta)[0], atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(spikes=populations, seed=st.integers(0, 1000))
def test_flow__spans_the_antisymmetric_observable(spikes, seed):
    # f_ij - f_ji = g_ij
    transitions = Transitions.from_spikes(spikes)
    theta = random_theta(transitions, "antisymmetric", seed)
    as_flow = np.zeros((transitions.n_unit, transitions.n_unit))
    upper = np.triu_indices(transitions.n_unit, 1)
    as_flow[upper], as_flow.T[upper] = theta, -theta
    value = objective(transitions, as_flow.reshape(-1), "flow")[0]
    assert value == pytest.approx(objective(transitions, theta)[0], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_objective__large_theta_does_not_overflow(name):
    spikes = np.random.default_rng(0).random((500, 4)) < 0.4
    transitions = Transitions.from_spikes(spikes)
    theta = random_theta(transitions, name, 0, 1e4)
    value, gradient = objective(transitions, theta, name)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    pairs = list(zip(transitions.earlier, transitions.later, strict=True))
    assert value == pytest.approx(reference.objective(spikes, pairs, theta, name)[0])


def test_objective__two_unit_cycle_in_closed_form():
    # Unit 0 fires, then unit 1, then none, over and over: g takes three values, one per step of the cycle.
    spikes = np.tile(np.array([[1, 0], [0, 1], [0, 0]], bool), (200, 1))
    transitions = Transitions.from_spikes(spikes[:-2])  # 597 + 1 bins: every step equally often
    g = np.array([2.0, 0.0, 0.0])  # x'_0 x_1 - x_0 x'_1 on (1,0)->(0,1), (0,1)->(0,0), (0,0)->(1,0)
    g[0] = (-1) * (-1) - 1 * 1  # x' = (-1, 1), x = (1, -1)
    g[1] = (-1) * 1 - (-1) * (-1)
    g[2] = 1 * (-1) - (-1) * (-1)
    theta = 0.7
    expected = theta * g.mean() - np.log(np.mean(np.exp(-theta * g)))
    assert objective(transitions, [theta])[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("theta", "message"),
    [(np.zeros(2), "must have 3 entries"), (np.full(3, np.nan), "NaN or infinite"), (np.full(3, np.inf), "NaN or inf")],
)
def test_objective__rejects_theta(theta, message):
    with pytest.raises(EstimationError, match=message):
        objective(Transitions.from_spikes(np.zeros((5, 3), bool)), theta)


def test_objective__rejects_unknown_observable_and_no_transitions():
    with pytest.raises(EstimationError, match="one of antisymmetric, flow"):
        objective(Transitions.from_spikes(np.zeros((5, 2), bool)), [0.0], "odd")
    with pytest.raises(EstimationError, match="no transitions"):
        objective(Transitions.from_spikes(np.zeros((1, 2), bool)), [0.0])


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recording", ["s1", "retina_brownian_bar"])
def test_objective__recorded_values(recording, name):
    folder = Path(os.environ.get("NEQ_DATA", "data"))
    numbers = Path(__file__).parents[1] / "reference_data" / "maxent_objective.npz"
    if not (folder / f"{recording}.npz").exists():
        pytest.skip(f"{recording}.npz is not in {folder}; set NEQ_DATA")
    with np.load(folder / f"{recording}.npz") as data, np.load(numbers) as stored:
        transitions = Transitions.from_spikes(data["S"], data.get("trial_id"))
        expected = {key: stored[f"{recording}/{name}/{key}"] for key in ("theta", "g_mean", "objective", "gradient")}
    value, gradient = objective(transitions, expected["theta"], name)
    np.testing.assert_allclose(value, expected["objective"], rtol=1e-9)
    np.testing.assert_allclose(
        gradient, expected["gradient"], rtol=1e-9, atol=1e-9 * np.abs(expected["gradient"]).max()
    )
    np.testing.assert_allclose(OBSERVABLES[name].mean(transitions), expected["g_mean"], rtol=1e-9, atol=1e-12)
