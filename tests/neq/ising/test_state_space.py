"""The fit against the public package's results, and against an independent one that searches to the last digit."""

from pathlib import Path

import numpy as np
import pytest

from neq.errors import IsingError
from neq.ising import StateSpaceIsing, generate_spikes, generate_thetas

FOLDER = Path(__file__).resolve().parents[2] / "reference_data" / "ssll"


def options(name):
    """Return what a reference run was asked for beside the defaults."""
    n_parameter = 10
    return {
        "A_N3O1T1R300": {"order": 1},
        "B_order1": {"order": 1},
        "B_diagQ": {"state_cov": np.full(n_parameter, 0.01)},
        "B_fullQ": {"state_cov": 0.01 * np.eye(n_parameter)},
        "B_fullQ_F": {"state_cov": 0.01 * np.eye(n_parameter), "state_ar": np.eye(n_parameter)},
        "B_stationary": {"stationary": True},
        "B_mstepFalse": {"mstep": False},
    }.get(name, {})


RUNS = [
    *("A_N3O1T1R300", "A_N3O2T1R300", "A_N3O2T1R300_bf", "A_N3O2T1R300_nr", "A_strong", "B_N4O2T50R100"),
    *("B_N4O2T50R100_nr", "B_diagQ", "B_fullQ", "B_fullQ_F", "B_mstepFalse", "B_order1", "B_stationary"),
]
TIGHT = ["A_N3O1T1R300", "A_N3O2T1R300", "A_strong", "B_N4O2T50R100", "B_diagQ", "B_fullQ", "B_fullQ_F", "B_order1"]


def fitted(name):
    reference = np.load(FOLDER / f"ssll_ref_{name}.npz", allow_pickle=True)
    return StateSpaceIsing(**options(name)).fit(reference["spikes"]), reference


@pytest.mark.parametrize("name", RUNS)
def test_fit__is_that_of_the_public_package(name):
    result, reference = fitted(name)
    assert result.n_iteration == len(reference["mll_list"])
    np.testing.assert_allclose(result.theta_s, reference["theta_s"], atol=6e-3)
    np.testing.assert_allclose(result.sigma_s, reference["sigma_s"], atol=2e-4)
    assert result.mll == pytest.approx(float(reference["mll"]), abs=0.02)
    # its searches end at a gradient of 1e-4 per trial, which shows where all trials are of one bin
    np.testing.assert_allclose(result.mll_list, reference["mll_list"], atol=0.03)
    np.testing.assert_allclose(result.y, reference["y"], atol=1e-12)
    np.testing.assert_allclose(result.eta_s, reference["eta_s"], atol=2e-3)
    np.testing.assert_allclose(result.Q, reference["Q"], atol=1e-5)
    assert result.converged


@pytest.mark.parametrize("name", TIGHT)
def test_fit__is_that_of_an_exact_search(name):
    result, _ = fitted(name)
    tight = np.load(FOLDER / f"ssll_tight_{name}.npz", allow_pickle=True)
    np.testing.assert_allclose(result.theta_s, tight["theta_s"], atol=1e-6)
    assert result.mll == pytest.approx(float(tight["mll"]), abs=1e-6)


def test_fit__of_ten_units_is_that_of_an_exact_search():
    spikes = np.load(FOLDER / "ssll_ref_C_N10_pseudo_mf.npz", allow_pickle=True)["spikes"]
    tight = np.load(FOLDER / "ssll_tight_C_N10_exact.npz", allow_pickle=True)
    seen = []
    result = StateSpaceIsing().fit(spikes, progress=lambda iteration, mll: seen.append((iteration, mll)))
    assert result.n_iteration == int(tight["iters"]) == 5
    np.testing.assert_allclose(result.theta_s, tight["theta_s"], atol=1e-6)
    np.testing.assert_allclose(result.sigma_s, tight["sigma_s"], atol=1e-6)
    assert seen == list(enumerate(result.mll_list, 1))


def test_fit__the_truth_is_inside_the_band():
    theta = generate_thetas(4, 2, 40, seed=5)
    from neq.ising import Patterns

    words = np.array([Patterns(4).probabilities(one) for one in theta])
    result = StateSpaceIsing().fit(generate_spikes(words, 400, seed=6))
    deviation = (result.theta_s - theta) / np.sqrt(np.einsum("taa->ta", result.sigma_s))
    assert (np.abs(deviation) < 1.96).mean() > 0.85


def test_fit__textbook_climbs_higher_where_the_transition_is_fitted():
    spikes = np.load(FOLDER / "ssll_ref_B_fullQ_F.npz", allow_pickle=True)["spikes"]
    settings = {"state_cov": 0.01 * np.eye(10), "state_ar": np.eye(10)}
    textbook = StateSpaceIsing(form="textbook", **settings).fit(spikes)
    assert textbook.n_iteration == 12
    assert textbook.mll == pytest.approx(-6923.78, abs=0.01)
    # with F the identity the two forms are one
    plain = [StateSpaceIsing(form=form).fit(spikes).theta_s for form in ("ssll", "textbook")]
    np.testing.assert_allclose(*plain, atol=1e-10)


def test_fit__input_that_moves_the_parameters_is_found():
    rng = np.random.default_rng(0)
    given = rng.normal(size=(60, 1))
    from neq.ising import Patterns

    gain = np.array([[0.3], [-0.3], [0.0]])
    theta = np.cumsum(np.vstack([[-1.0, -1.0, 0.0], given[1:] @ gain.T]), axis=0).clip(-4, 2)
    words = np.array([Patterns(2).probabilities(one) for one in theta])
    result = StateSpaceIsing(state_cov=0.001).fit(generate_spikes(words, 300, seed=1), exogenous=given)
    np.testing.assert_allclose(result.U, gain, atol=0.12)


def test_fit__window_joins_bins_and_drops_the_tail():
    spikes = np.random.default_rng(0).random((7, 50, 2)) < 0.3
    joined = spikes[:6].reshape(3, 2, 50, 2).any(axis=1)
    np.testing.assert_array_equal(StateSpaceIsing(window=2).fit(spikes).theta_s, StateSpaceIsing().fit(joined).theta_s)


@pytest.mark.parametrize("shape", [(1, 40, 3), (40, 1, 3)])
def test_fit__of_one_bin_or_one_trial(shape):
    spikes = np.random.default_rng(1).random(shape) < 0.4
    result = StateSpaceIsing(max_iter=5).fit(spikes)
    assert np.isfinite(result.theta_s).all()
    assert np.isfinite(result.mll_list).all()


def spikes_with(change):
    spikes = (np.random.default_rng(0).random((6, 20, 3)) < 0.4).astype(float)
    change(spikes)
    return spikes


@pytest.mark.parametrize(
    ("spikes", "problem"),
    [
        (spikes_with(lambda s: s.__setitem__((0, 0, 0), 2)), "Expected spikes of 0 and 1, found 2"),
        (spikes_with(lambda s: s.__setitem__((0, 0, 0), np.nan)), "found nan"),
        (np.zeros((5, 3)), r"three dimensions \(time, trial, unit\), found shape \(5, 3\)"),
        (np.zeros((0, 4, 3)), r"found shape \(0, 4, 3\)"),
        (spikes_with(lambda s: s.__setitem__((..., 1), 0)), r"found unit 1 active in a share of 0 .*\(1 such units\)"),
        (spikes_with(lambda s: s.__setitem__((..., 2), 1)), "found unit 2 active in a share of 1 "),
    ],
)
def test_fit__refuses_spikes(spikes, problem):
    with pytest.raises(IsingError, match=problem):
        StateSpaceIsing().fit(spikes)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"order": 4}, r"order from 1 to the number of units \(3\), found 4"),
        ({"window": 7}, "window of 1 to 6 bins, found 7"),
        ({"state_cov": -0.01}, "positive definite, found -0.01"),
        ({"state_cov": np.array([[1.0, 2.0], [2.0, 1.0]])}, r"matrix of shape \(6, 6\), found shape \(2, 2\)"),
        ({"state_cov": np.eye(6) - 0.5}, "positive definite, found -2"),
        ({"state_ar": np.eye(3)}, r"state_ar of shape \(6, 6\), found \(3, 3\)"),
        ({"sigma_o": 0.0}, "sigma_o above 0, found 0"),
        ({"max_iter": 0}, "max_iter of 1 or more, found 0"),
    ],
)
def test_fit__refuses_options(settings, problem):
    with pytest.raises(IsingError, match=problem):
        StateSpaceIsing(**settings).fit(spikes_with(lambda spikes: None))


def test_fit__refuses_input_of_other_bins():
    with pytest.raises(IsingError, match=r"shape \(6, inputs\), found shape \(5, 1\)"):
        StateSpaceIsing().fit(spikes_with(lambda spikes: None), exogenous=np.zeros((5, 1)))
