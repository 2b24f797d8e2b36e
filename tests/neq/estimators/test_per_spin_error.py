"""The standard error of the uncertainty relation of single spins, against leaving runs out."""

import numpy as np
import pytest

from neq.estimators.per_spin import PerSpinMTUR
from neq.spikes.spin_flips import SpinFlips

COUPLINGS = np.array([[0.0, 0.8, -0.5], [0.2, 0.0, 0.9], [-0.7, 0.3, 0.0]])
N_RUN, LENGTH = 30, 200


def test_mtur__standard_error_is_that_of_the_jackknife_where_runs_flip_more_or_less_often():
    rng = np.random.default_rng(1)
    states = rng.choice([-1, 1], size=(N_RUN * LENGTH, 3))
    eagerness = rng.normal(size=N_RUN).repeat(LENGTH)[:, None]
    flips = rng.random(states.shape) < 1 / (1 + np.exp(1.2 * states * (states @ COUPLINGS.T) + eagerness))
    run = np.arange(N_RUN).repeat(LENGTH)
    found = PerSpinMTUR().fit(SpinFlips.pack(states, flips, N_RUN))
    without = [
        PerSpinMTUR().fit(SpinFlips.pack(states[run != one], flips[run != one], N_RUN - 1)).entropy_production
        for one in range(N_RUN)
    ]
    jackknife = np.sqrt((N_RUN - 1) * np.var(without))
    assert found.standard_error == pytest.approx(jackknife, rel=0.06)
