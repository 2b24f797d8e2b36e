import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neq import Transitions
from neq.errors import EstimationError

spike_arrays = hnp.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 6)))


@given(data=st.data(), spikes=spike_arrays, lag=st.integers(1, 4))
def test_transitions__match_reference(data, spikes, lag):
    segment = data.draw(st.lists(st.integers(0, 2), min_size=len(spikes), max_size=len(spikes)))
    transitions = Transitions.from_spikes(spikes, segment, lag)
    expected = reference.transition_pairs(segment, lag)
    assert list(zip(transitions.earlier, transitions.later, strict=True)) == expected


@given(spikes=spike_arrays)
def test_transitions__lists_hold_the_spikes(spikes):
    transitions = Transitions.from_spikes(spikes)
    again = np.zeros_like(spikes)
    for t in range(len(spikes)):
        units = transitions.unit[transitions.row_start[t] : transitions.row_start[t + 1]]
        assert (np.diff(units.astype(int)) > 0).all()
        again[t, units] = True
    np.testing.assert_array_equal(again, spikes)


@given(spikes=spike_arrays, seed=st.integers(0, 99))
def test_select_units__equals_selecting_columns(spikes, seed):
    chosen = np.sort(np.random.default_rng(seed).permutation(spikes.shape[1])[: 1 + seed % spikes.shape[1]])
    selected = Transitions.from_spikes(spikes).select_units(chosen)
    expected = Transitions.from_spikes(spikes[:, chosen])
    np.testing.assert_array_equal(selected.unit, expected.unit)
    np.testing.assert_array_equal(selected.row_start, expected.row_start)
    assert selected.n_unit == len(chosen)


def test_transitions__number_used_again_is_another_stretch():
    spikes = np.zeros((6, 2), bool)
    transitions = Transitions.from_spikes(spikes, segment=[0, 0, 1, 1, 0, 0], lag=4)
    assert transitions.n_transition == 0


def test_transitions__trial_is_an_alias_of_segment():
    spikes = np.zeros((4, 2), bool)
    assert Transitions.from_spikes(spikes, trial=[0, 0, 1, 1]).n_transition == 2
    with pytest.raises(EstimationError, match="two names"):
        Transitions.from_spikes(spikes, [0, 0, 1, 1], trial=[0, 0, 1, 1])


def test_transitions__spikes_per_bin_counts_the_earlier_bin():
    spikes = np.array([[1, 1], [1, 0], [0, 0]], bool)
    assert Transitions.from_spikes(spikes).spikes_per_bin == 1.5
    assert np.isnan(Transitions.from_spikes(spikes[:1]).spikes_per_bin)


def test_transitions__exchange_turns_pairs_round():
    transitions = Transitions.from_spikes(np.zeros((4, 2), bool))
    turned = transitions.exchange([True, False, True])
    assert turned.earlier.tolist() == [1, 1, 3]
    assert turned.later.tolist() == [0, 2, 2]


@pytest.mark.parametrize("lag", [0, -1, 1.5, float("nan")])
def test_transitions__rejects_lag(lag):
    with pytest.raises(EstimationError, match="lag must be"):
        Transitions.from_spikes(np.zeros((4, 2), bool), lag=lag)


def test_transitions__lag_longer_than_the_recording_gives_none():
    assert Transitions.from_spikes(np.zeros((4, 2), bool), lag=9).n_transition == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros(4), "bin, unit"), (np.full((3, 2), 2), "only 0 and 1"), (np.full((3, 2), np.nan), "only 0 and 1")],
)
def test_transitions__rejects_arrays(array, message):
    with pytest.raises(EstimationError, match=message):
        Transitions.from_spikes(array)


def test_transitions__rejects_segment_of_other_length():
    with pytest.raises(EstimationError, match="one number per bin"):
        Transitions.from_spikes(np.zeros((4, 2), bool), segment=[0, 0])


def test_select_units__rejects_a_unit_twice():
    with pytest.raises(EstimationError, match="twice"):
        Transitions.from_spikes(np.zeros((4, 2), bool)).select_units([0, 0])


@pytest.mark.parametrize("ix", [[0.7, 1.2], [-1, 1], [2], [True, False, True]])
def test_select_units__rejects_what_is_no_position(ix):
    with pytest.raises(EstimationError, match="by position, 0 to 1"):
        Transitions.from_spikes(np.zeros((4, 2), bool)).select_units(ix)


def test_select_units__takes_a_mask():
    spikes = np.random.default_rng(0).random((20, 3)) < 0.5
    masked = Transitions.from_spikes(spikes).select_units([True, False, True])
    np.testing.assert_array_equal(masked.unit, Transitions.from_spikes(spikes[:, [0, 2]]).unit)


def test_transitions__lag_may_be_a_whole_float():
    assert Transitions.from_spikes(np.zeros((4, 2), bool), lag=2.0).n_transition == 2
