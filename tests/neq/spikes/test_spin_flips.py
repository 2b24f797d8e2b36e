import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import EstimationError
from neq.spikes.spin_flips import SpinFlips


def draw(n_sample, n_unit, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], (n_sample, n_unit)), rng.random((n_sample, n_unit)) < 0.3


@given(n_run=st.integers(1, 4), length=st.integers(1, 9), n_unit=st.integers(1, 19), portion=st.integers(1, 40))
def test_portions__give_back_what_was_packed(n_run, length, n_unit, portion):
    states, flips = draw(n_run * length, n_unit)
    packed = SpinFlips.pack(states, flips, n_run)
    spins, flipped = (np.concatenate(parts) for parts in zip(*packed.portions(portion), strict=True))
    np.testing.assert_array_equal(spins, states)
    np.testing.assert_array_equal(flipped, flips)
    np.testing.assert_array_equal(packed.flip_counts(), flips.reshape(n_run, length, n_unit).sum(axis=1))
    np.testing.assert_allclose(packed.frequency(), flips.mean(axis=0))


def test_restarts__are_stretches_of_the_samples():
    states, flips = draw(30, 5)
    part = SpinFlips.pack(states, flips, 6).restarts(2, 5)
    assert (part.n_restart, part.n_sample) == (3, 15)
    np.testing.assert_array_equal(next(part.portions(99))[0], states[10:25])


@pytest.mark.parametrize(
    ("states", "flips", "n_restart", "message"),
    [
        (np.ones((4, 2)), np.ones((4, 3)), 1, "two arrays"),
        (np.zeros((4, 2)), np.ones((4, 2)), 1, "-1 and 1 only"),
        (np.ones((4, 2)), np.ones((4, 2)), 3, "runs of equal length"),
        (np.ones((0, 2)), np.ones((0, 2)), 1, "runs of equal length"),
    ],
)
def test_pack__refuses_what_is_no_sample(states, flips, n_restart, message):
    with pytest.raises(EstimationError, match=message):
        SpinFlips.pack(states, flips, n_restart)


def test_spin_flips__refuses_another_number_of_bytes():
    with pytest.raises(EstimationError, match="packed as"):
        SpinFlips(np.zeros((4, 1), np.uint8), np.zeros((4, 2), np.uint8), n_unit=9)
