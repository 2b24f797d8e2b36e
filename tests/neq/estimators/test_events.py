import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neq import MaxEnt, Transitions
from neq.errors import EstimationError
from neq.estimators.events import peri_event


def slow_curve(score, start, stop, event, shift, before, after):
    """Average score (bin,) around events, each moved round inside its stretch by the shift of that stretch."""
    mean = []
    for offset in range(-before, after + 1):
        seen = []
        for first, last, by in zip(start, stop, shift, strict=True):
            for at in event[(first <= event) & (event < last)]:
                place = first + (at - first + by) % (last - first) + offset
                if first <= place < last and np.isfinite(score[place]):
                    seen.append(score[place])
        mean.append((np.mean(seen) if seen else np.nan, len(seen)))
    return np.array(mean).T


@settings(max_examples=40)
@given(seed=st.integers(0, 999), before=st.integers(0, 4), after=st.integers(0, 6), lag=st.integers(1, 3))
def test_peri_event__is_that_of_the_slow_twin(seed, before, after, lag):
    rng = np.random.default_rng(seed)
    segment = np.repeat([0, 1, 2], rng.integers(lag + 1, 25, 3))
    transitions = Transitions.from_spikes(np.zeros((len(segment), 2), bool), segment, lag)
    value = rng.normal(size=transitions.n_transition)
    value[rng.random(len(value)) < 0.2] = np.nan
    event = rng.integers(0, len(segment), 5)
    curve = peri_event(
        value, transitions.later, transitions.run, event, window=(before, after), lag=lag, n_shift=1, seed=seed
    )
    score = np.full(len(segment), np.nan)
    score[transitions.later] = value
    stop = np.append(np.flatnonzero(np.diff(segment)) + 1, len(segment))
    start = np.append(0, stop[:-1])
    still, n = slow_curve(score, start, stop, event, np.zeros(3, int), before, after)
    np.testing.assert_allclose(curve.average, still, atol=1e-12)
    np.testing.assert_array_equal(curve.n_event, n)
    assert curve.n_used == 5
    # with one shift both ends of the band are its curve
    shifts = np.random.default_rng(seed)
    drawn = [
        int(shifts.integers(last - first, size=1)[0]) if ((first <= event) & (event < last)).any() else 0
        for first, last in zip(start, stop, strict=True)
    ]
    moved, _ = slow_curve(score, start, stop, event, drawn, before, after)
    np.testing.assert_allclose(curve.low, moved, atol=1e-12)
    np.testing.assert_allclose(curve.high, moved, atol=1e-12)


def noise(rng, n_bin=1200):
    """Return scores with serial correlation."""
    return np.convolve(rng.normal(size=n_bin + 9), np.ones(10) / 10, "valid")


def test_bands__hold_what_they_say_where_events_mean_nothing():
    pointwise, together = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        score, run, event = noise(rng), np.arange(1200) // 400, rng.choice(1200, 30, replace=False)
        curve = peri_event(score, np.arange(1200), run, event, window=(15, 15), n_shift=199, seed=seed)
        pointwise.append(((curve.average < curve.low) | (curve.average > curve.high)).mean())
        together.append(((curve.average < curve.low_all) | (curve.average > curve.high_all)).any())
    assert np.mean(pointwise) == pytest.approx(0.05, abs=0.02)
    # 99.9% of the binomial with 60 tries of 0.05
    assert sum(together) <= 9


def test_band__shows_an_effect_where_it_is():
    rng = np.random.default_rng(0)
    event = np.sort(rng.choice(np.arange(50, 1150), 60, replace=False))
    score = noise(rng)
    score[event + 3] += 1.0
    curve = peri_event(score, np.arange(1200), np.zeros(1200), event, window=(20, 20))
    assert 3 in curve.offset[curve.average > curve.high_all]
    assert curve.average[curve.offset == 3] > 0.8
    assert (curve.low_all <= curve.low).mean() > 0.9


def test_peri_event__same_seed_same_band():
    rng = np.random.default_rng(1)
    score, event = noise(rng), rng.choice(1200, 20)
    bands = [peri_event(score, np.arange(1200), np.zeros(1200), event, seed=seed).low for seed in (0, 0, 1)]
    np.testing.assert_array_equal(bands[0], bands[1])
    assert (bands[0] != bands[2]).any()


def test_peri_event__without_events_or_scores_is_nan_with_a_reason():
    score, bins, run = np.ones(20), np.arange(1, 21), np.zeros(20)
    none = peri_event(score, bins, run, np.array([50, -3]), window=(1, 1), n_shift=9)
    assert np.isnan([none.average, none.low, none.high_all]).all()
    assert (none.n_used, none.n_outside) == (0, 2)
    assert "none of the 2 events" in none.reason
    edge = peri_event(score, bins, run, np.array([0]), window=(2, 2), n_shift=9)
    np.testing.assert_array_equal(np.isnan(edge.average), [True, True, True, False, False])
    assert "no score at 3 offsets" in edge.reason
    empty = peri_event([], [], [], [], window=(1, 1), n_shift=9)
    assert np.isnan(empty.average).all()
    assert empty.reason


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": np.ones(4)}, "one entry per transition"),
        ({"later": np.zeros(5, int)}, "end in the same bin"),
        ({"later": np.arange(-1, 4)}, "0 or more"),
        ({"event": [0.5]}, "bins, not seconds"),
        ({"event": [np.nan]}, "bins, not seconds"),
        ({"window": (-1, 2)}, "two whole numbers"),
        ({"window": (1, 0.5)}, "two whole numbers"),
        ({"lag": 0}, "1 or more"),
        ({"lag": np.nan}, "1 or more"),
        ({"event": [np.inf]}, "whole numbers"),
        ({"n_shift": 0}, "1 or more"),
    ],
)
def test_peri_event__bad_input_is_a_named_error(changed, message):
    good = {"score": np.ones(5), "later": np.arange(5), "run": np.zeros(5), "event": [2]}
    with pytest.raises(EstimationError, match=message):
        peri_event(**(good | changed))


def test_peri_event__of_a_fit_finds_the_irreversible_stretches():
    rng = np.random.default_rng(0)
    spikes = rng.random((9000, 5)) < 0.2
    event = 100 + 10 * np.sort(rng.choice(880, 200, replace=False))
    for at in event:  # units fire in the order of their numbers after each event
        spikes[at : at + 5] = np.eye(5, dtype=bool)
    transitions = Transitions.from_spikes(spikes)
    result = MaxEnt(cross_fit=3, scores=True, half=False, n_draw=0).fit(transitions)
    curve = peri_event(result.score, transitions.later, transitions.run, event, window=(5, 10), n_shift=199)
    above = curve.average > curve.high_all
    assert set(curve.offset[above]) == {1, 2, 3, 4}
