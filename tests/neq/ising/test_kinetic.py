"""The kinetic fit against the published one's results, and on spikes whose parameters are known."""

from pathlib import Path

import numpy as np
import pytest

from neq.errors import IsingError
from neq.ising import KineticStateSpaceIsing

FOLDER = Path(__file__).resolve().parents[2] / "reference_data" / "kinetic"


@pytest.fixture(scope="module")
def reference():
    return np.load(FOLDER / "kinetic_ref_N4.npz")


@pytest.mark.parametrize(("form", "key"), [("scalar", "scalar"), ("diagonal", "diag"), ("full", "full")])
def test_fit__is_the_published_one(reference, form, key):
    result = KineticStateSpaceIsing(state_cov=form).fit(reference["spikes"])
    assert result.n_iteration == int(reference[f"{key}_iterations"])
    assert result.converged
    np.testing.assert_allclose(result.theta_s, reference[f"{key}_theta_s"], atol=1e-5)
    np.testing.assert_allclose(result.theta_f, reference[f"{key}_theta_f"], atol=1e-5)
    np.testing.assert_allclose(result.sigma_s, reference[f"{key}_sigma_s"], atol=1e-5)
    assert result.mll == pytest.approx(reference[f"{key}_mll_list"][-1], abs=1e-3)
    # their searches end with the slowest unit's, at a gradient of 1e-4 a trial: the first iterations are less exact
    np.testing.assert_allclose(result.mll_list, reference[f"{key}_mll_list"], atol=0.05)
    np.testing.assert_allclose(result.Q, reference[f"{key}_Q"], atol=1e-6)
    np.testing.assert_allclose(result.S, reference[f"{key}_init_cov"], atol=1e-4)
    assert result.aic == pytest.approx(float(reference[f"{key}_aic"]), abs=2e-3)
    # within two standard deviations of the truth, nearly always
    deviation = np.sqrt(np.einsum("tiaa->tia", result.sigma_s))
    assert (np.abs(result.theta_s - reference["theta_true"]) < 2 * deviation).mean() > 0.8


def test_fit__is_the_same_on_two_threads(reference):
    one, two = (KineticStateSpaceIsing(max_iter=3, n_jobs=n).fit(reference["spikes"]) for n in (1, 2))
    np.testing.assert_array_equal(one.theta_s, two.theta_s)
    np.testing.assert_array_equal(one.mll_list, two.mll_list)
    assert not one.converged


def test_fit__without_noise_is_one_regression_for_all_bins():
    rng = np.random.default_rng(0)
    bias, couplings = np.array([-1.0, -0.5]), np.array([[-1.0, 1.5], [0.0, -1.0]])
    spikes = np.zeros((30, 400, 2), dtype=bool)
    for t in range(1, 30):
        field = bias + spikes[t - 1] @ couplings.T
        spikes[t] = rng.random((400, 2)) < 1 / (1 + np.exp(-field))
    result = KineticStateSpaceIsing(state_cov=None).fit(spikes)
    np.testing.assert_allclose(result.theta_s[0], result.theta_s[-1], atol=1e-6)
    np.testing.assert_allclose(result.theta_s[0, :, 0], bias, atol=0.12)
    np.testing.assert_allclose(result.theta_s[0, :, 1:], couplings, atol=0.15)


def test_fit__counts_are_no_small_integers():
    spikes = np.ones((4, 400, 2), dtype=np.uint8)
    spikes[:, ::3, 0] = 0
    spikes[:, 1::3, 1] = 0
    as_bytes, as_float = (KineticStateSpaceIsing(max_iter=2).fit(spikes.astype(kind)) for kind in (np.uint8, float))
    np.testing.assert_array_equal(as_bytes.theta_s, as_float.theta_s)


@pytest.mark.parametrize(
    ("shape", "settings", "problem"),
    [
        ((1, 50, 2), {}, "two bins or more, as one follows another; found 1"),
        ((5, 50, 2), {"noise": 0.0}, r"above 0 and max_iter of 1 or more, found 0\.0"),
        ((5, 50, 2), {"max_iter": 0}, "and 0"),
    ],
)
def test_fit__refuses(shape, settings, problem):
    spikes = np.random.default_rng(0).random(shape) < 0.4
    with pytest.raises(IsingError, match=problem):
        KineticStateSpaceIsing(**settings).fit(spikes)


def test_fit__refuses_a_silent_unit():
    spikes = np.random.default_rng(0).random((5, 50, 3)) < 0.4
    spikes[:, :, 1] = False
    with pytest.raises(IsingError, match="found unit 1 active in a share of 0 "):
        KineticStateSpaceIsing().fit(spikes)
