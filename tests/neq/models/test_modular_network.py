"""The ensemble of modular networks: activity kept, antisymmetry scaled, modules apart and small."""

from __future__ import annotations

import numpy as np
import pytest

from neq.errors import RecordingError
from neq.models.modular_network import draw_network


def test_network__keeps_the_activity_in_every_condition():
    network = draw_network("a", n_unit=20)
    for strength in (0.0, 0.5, 1.0, -1.0):
        np.testing.assert_allclose(network.model(strength).activity(), network.activity, rtol=1e-5)
    assert ((network.activity >= 0.02) & (network.activity <= 0.08)).all()


def test_network__strength_scales_the_antisymmetric_part_only():
    network = draw_network("a", n_unit=20)
    weak, driven = network.model(0.5).couplings, network.model(1.0).couplings
    np.testing.assert_allclose(weak + weak.T, driven + driven.T, atol=4e-6)
    np.testing.assert_allclose(2 * (weak - weak.T), driven - driven.T, atol=4e-6)
    across = network.module[:, np.newaxis] != network.module
    assert not driven[across].any()


@pytest.mark.parametrize(("n_unit", "module_size"), [(2, 2), (7, 6), (13, 12), (25, 10)])
def test_network__modules_are_no_larger_than_asked(n_unit, module_size):
    network = draw_network("a", n_unit=n_unit, module_size=module_size)
    assert len(network.module) == n_unit
    assert np.bincount(network.module).max() <= module_size


def test_network__refuses_a_strength_beyond_the_ensemble():
    with pytest.raises(RecordingError, match="lower the strength"):
        draw_network("a", n_unit=20).model(50.0)
