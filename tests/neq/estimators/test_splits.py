import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq import Transitions
from neq.errors import EstimationError
from neq.estimators.splits import SPLITS, split_transitions
from neq.spikes.surrogates import SURROGATES, surrogate


def transitions(n_bin, lag=1, segment=None):
    return Transitions.from_spikes(np.zeros((n_bin, 2), bool), segment, lag)


@pytest.mark.parametrize("kind", SPLITS)
@given(n_bin=st.integers(300, 2000), lag=st.integers(1, 5), seed=st.integers(0, 99))
def test_split__parts_are_disjoint_ascending_and_about_as_large_as_asked(kind, n_bin, lag, seed):
    all_of_them = transitions(n_bin, lag)
    split = split_transitions(all_of_them, kind, np.random.default_rng(seed))
    parts = [split.train, split.validation, split.test]
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    for part, share in zip(parts, (0.7, 0.2, 0.1), strict=True):
        assert (np.diff(part) > 0).all()
        # a blocked split deals out whole blocks, at least ten, and drops the lag at each cut
        lost = 0 if kind == "shuffled" else 0.1
        assert len(part) / all_of_them.n_transition == pytest.approx(share, abs=0.01 + lost)
    assert set(split.train_half) < set(split.train)


@pytest.mark.parametrize("null", SURROGATES)
@given(n_bin=st.integers(300, 1000), lag=st.integers(1, 5), seed=st.integers(0, 99))
def test_blocked__no_bin_is_in_two_parts(null, n_bin, lag, seed):
    pairs = surrogate(transitions(n_bin, lag), null, np.random.default_rng(seed))
    split = split_transitions(pairs, "blocked", np.random.default_rng(seed))
    bins = [set(pairs.earlier[part]) | set(pairs.later[part]) for part in (split.train, split.validation, split.test)]
    assert not bins[0] & bins[1]
    assert not bins[0] & bins[2]
    assert not bins[1] & bins[2]


def test_blocked__drops_nothing_but_the_cuts():
    pairs = transitions(10_001)
    split = split_transitions(pairs, "blocked", np.random.default_rng(0))
    kept = len(split.train) + len(split.validation) + len(split.test)
    assert 10_000 - 100 <= kept < 10_000


def test_blocked__trials_need_no_cut():
    pairs = transitions(2200, segment=np.arange(2200) // 22)
    split = split_transitions(pairs, "blocked", np.random.default_rng(0))
    assert len(split.train) + len(split.validation) + len(split.test) == pairs.n_transition


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("n_bin", [1, 2, 4])
def test_split__too_few_transitions_is_an_error(kind, n_bin):
    with pytest.raises(EstimationError, match="too few for a"):
        split_transitions(transitions(n_bin), kind, np.random.default_rng(0))


def test_split__rejects_unknown_kind():
    with pytest.raises(EstimationError, match="one of shuffled, blocked"):
        split_transitions(transitions(100), "random", np.random.default_rng(0))


def test_blocked__a_surrogate_is_cut_where_its_recording_is():
    pairs = transitions(2000)
    turned = surrogate(pairs, "time_reversal", np.random.default_rng(0))
    one, two = (split_transitions(each, "blocked", np.random.default_rng(1)) for each in (pairs, turned))
    np.testing.assert_array_equal(one.test, two.test)
    np.testing.assert_array_equal(one.train, two.train)
