import numpy as np
import pytest

from neq import Transitions
from neq.errors import EstimationError
from neq.spikes.surrogates import BLOCK, surrogate


@pytest.fixture
def transitions():
    return Transitions.from_spikes(np.random.default_rng(0).random((5001, 3)) < 0.3)


def turned_share(transitions, name):
    turned = surrogate(transitions, name, np.random.default_rng(0))
    return turned.earlier > turned.later


def test_surrogate__none_is_the_recording(transitions):
    assert surrogate(transitions, "none", np.random.default_rng(0)) is transitions


def test_surrogate__time_reversal_turns_half_of_the_transitions(transitions):
    turned = turned_share(transitions, "time_reversal")
    assert abs(turned.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(turned[1:], turned[:-1])[0, 1]) < 0.05


def test_surrogate__block_reversal_turns_whole_blocks(transitions):
    blocks = turned_share(transitions, "block_reversal").reshape(-1, BLOCK)
    assert (blocks == blocks[:, :1]).all()
    assert len(set(blocks[:, 0])) == 2


def test_surrogate__keeps_the_pairs(transitions):
    turned = surrogate(transitions, "time_reversal", np.random.default_rng(0))
    np.testing.assert_array_equal(np.minimum(turned.earlier, turned.later), transitions.earlier)


def test_surrogate__rejects_unknown_name(transitions):
    with pytest.raises(EstimationError, match="one of none, time_reversal, block_reversal"):
        surrogate(transitions, "shuffle", np.random.default_rng(0))
