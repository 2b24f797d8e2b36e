"""Parameters and spikes of a seed are those of the public package; Gibbs samples have the model's moments."""

from pathlib import Path

import numpy as np
import pytest

from neq.errors import IsingError
from neq.ising import Patterns, generate_spikes, generate_thetas, gibbs_spikes

FOLDER = Path(__file__).resolve().parents[2] / "reference_data" / "ssll"


@pytest.mark.parametrize(
    ("name", "n_unit", "n_time", "n_trial", "seed"),
    [("A_N3O2T1R300", 3, 1, 300, 1), ("B_N4O2T50R100", 4, 50, 100, 2), ("C_N10_pseudo_mf", 10, 20, 200, 3)],
)
def test_generate__what_the_public_package_does(name, n_unit, n_time, n_trial, seed):
    reference = np.load(FOLDER / f"ssll_ref_{name}.npz", allow_pickle=True)
    theta = generate_thetas(n_unit, 2, n_time, seed=seed)
    # a kernel that hardly falls is close to singular: its factor differs in the sixth digit between libraries
    np.testing.assert_allclose(theta, reference["theta_true"], atol=1e-4)
    words = np.array([Patterns(n_unit).probabilities(one) for one in theta])
    np.testing.assert_array_equal(generate_spikes(words, n_trial, seed=seed + 1000), reference["spikes"])


def test_generate_thetas__some_pairs_have_no_parameter():
    theta = generate_thetas(5, 2, 3, mu2=1.0, ratio_modulated=0.6, seed=0)
    silent = (theta[:, 5:] == 0.0).all(axis=0)
    assert silent.sum() == 4
    assert (theta[:, :5] != 0.0).all()


def test_gibbs_spikes__have_the_moments_of_the_model():
    theta = generate_thetas(5, 3, 2, mu1=-1.0, seed=3)
    spikes = gibbs_spikes(theta, 5, 3, 40_000, thinning=3, seed=1)
    patterns = Patterns(5, 3)
    expected = np.array([patterns.expectations(one) for one in theta])
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs(patterns.products(spikes.astype(bool)).mean(axis=1) - expected) / error).max() < 5.0
    np.testing.assert_array_equal(spikes[1], gibbs_spikes(theta, 5, 3, 40_000, thinning=3, seed=1)[1])


def test_generate_spikes__refuses_what_is_no_set_of_words():
    with pytest.raises(IsingError, match=r"2\^N words in each bin .* found shape \(2, 3\)"):
        generate_spikes(np.ones((2, 3)) / 3, 5)
