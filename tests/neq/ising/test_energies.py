"""Energies against the public package's, closed forms, and the spread of the posterior."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from neq.errors import IsingError
from neq.ising import Patterns, StateSpaceIsing
from neq.ising.energies import Energies, credible_intervals, energies, heat_capacity, log_likelihoods, p_silence

FOLDER = Path(__file__).resolve().parents[2] / "reference_data" / "ssll"


@pytest.mark.parametrize("name", ["A_N3O2T1R300", "A_strong", "B_N4O2T50R100"])
def test_energies__are_those_of_the_public_package(name):
    reference = np.load(FOLDER / f"ssll_ref_{name}.npz", allow_pickle=True)
    theta = reference["theta_s"]
    patterns = Patterns(reference["spikes"].shape[2])
    found = energies(patterns, theta)
    for field in fields(Energies):
        np.testing.assert_allclose(getattr(found, field.name), reference[field.name], rtol=1e-9, atol=1e-12)
    # theirs is a second difference with steps of a thousandth
    np.testing.assert_allclose(heat_capacity(patterns, theta), reference["heat_capacity"], atol=1e-6)
    likelihoods = log_likelihoods(StateSpaceIsing().fit(reference["spikes"]))
    np.testing.assert_allclose(likelihoods, [reference["llk1"], reference["llk2"]], atol=0.02)


def test_energies__of_independent_units():
    patterns = Patterns(3)
    theta = np.array([[-1.0, 0.5, 2.0, 0.0, 0.0, 0.0]])
    found = energies(patterns, theta)
    rate = 1 / (1 + np.exp(-theta[0, :3]))
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)).sum()
    assert found.S1[0] == pytest.approx(entropy)
    assert found.S2[0] == pytest.approx(entropy)
    assert found.dkl[0] == pytest.approx(0.0, abs=1e-12)
    assert p_silence(patterns, theta)[0] == pytest.approx(np.prod(1 - rate))


@pytest.mark.parametrize("beta", [0.25, 1.0, 2.0])
def test_heat_capacity__is_the_second_derivative_of_the_log_normaliser(beta):
    patterns, theta = Patterns(3), np.array([-1.0, 0.5, 0.2, 1.0, -0.7, 0.3])
    step = 1e-4
    psi = [patterns.log_normaliser(theta * (beta + k * step)) for k in (-1, 0, 1)]
    curvature = (psi[0] - 2 * psi[1] + psi[2]) / step**2
    assert heat_capacity(patterns, theta[None], beta)[0] == pytest.approx(beta**2 * curvature, rel=1e-5)


def test_credible_intervals__hold_the_posterior():
    spikes = np.load(FOLDER / "ssll_ref_B_N4O2T50R100.npz", allow_pickle=True)["spikes"][:4]
    result = StateSpaceIsing(max_iter=3).fit(spikes)
    ends = credible_intervals(result, share=0.8, n_sample=400, seed=1)
    low, high = ends["p_silence"]
    here = p_silence(result.patterns, result.theta_s)
    assert (low < here).all()
    assert (here < high).all()
    wider = credible_intervals(result, share=0.98, n_sample=400, seed=1)["p_silence"]
    assert (wider[0] < low).all()
    assert (high < wider[1]).all()
    # close to the posterior's mean the log of p(silence) is linear in theta, with slope -eta
    slope = np.array([result.patterns.expectations(one) for one in result.theta_s])
    deviation = np.sqrt(np.einsum("ta,tab,tb->t", slope, result.sigma_s, slope))
    np.testing.assert_allclose(np.log(high / low), 2 * 1.2816 * deviation, rtol=0.2)


def test_credible_intervals__refuses():
    spikes = np.random.default_rng(0).random((2, 30, 2)) < 0.4
    with pytest.raises(IsingError, match=r"found 1\.0 and 100"):
        credible_intervals(StateSpaceIsing(max_iter=1).fit(spikes), share=1.0)
