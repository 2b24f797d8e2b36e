import json
from pathlib import Path

import numpy as np
import pytest

from neq.errors import ModelError
from neq.estimators.spin_sums import run_scores
from neq.models import sparse_spin_couplings
from neq.models.kinetic_ising import KineticIsing
from neq.models.spin_flips import sample_spin_flips

REFERENCE = Path(__file__).parents[2] / "reference_data"
TABLE = json.loads((REFERENCE / "spin_model.json").read_text())
SAMPLES = {20: 200_000, 100: 100_000}
"""Per spin, behind each row of the table."""


def spins(sample):
    states, flips = zip(*sample.flips.portions(10_000), strict=True)
    return np.concatenate(states), np.concatenate(flips)


def numbers(states):
    return ((states > 0) * 2 ** np.arange(states.shape[1])).sum(axis=1)


def test_sample__visits_states_as_often_as_the_stationary_distribution_says():
    couplings = sparse_spin_couplings(4, np.random.default_rng(3), mean_neighbours=2)
    sample = sample_spin_flips(couplings, 0.8, n_sample=40_000, n_restart=40)
    expected = KineticIsing.from_spins(couplings, beta=0.8, dynamics="sequential").stationary()
    runs = numbers(spins(sample)[0]).reshape(40, -1)
    share = np.array([np.bincount(run, minlength=16) / run.size for run in runs])
    error = share.std(axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(share.mean(axis=0) - expected) < 4.5 * error)
    assert error.max() < 0.005


def test_sample__flips_as_often_as_the_dynamics_says():
    couplings, beta = sparse_spin_couplings(4, np.random.default_rng(3), mean_neighbours=2), 0.8
    states, flips = spins(sample_spin_flips(couplings, beta, n_sample=40_000, n_restart=40))
    probability = 1 / (1 + np.exp(2 * beta * states * (states @ couplings.T)))
    assert np.abs(np.sum(flips - probability, axis=0)).max() < 4.5 * np.sqrt(40_000 / 4)
    order = np.argsort(probability, axis=None)
    for half in np.array_split(order, 4):
        wrong = flips.ravel()[half].mean() - probability.ravel()[half].mean()
        assert abs(wrong) < 4.5 * 0.5 / np.sqrt(half.size)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_entropy_production__agrees_with_enumeration(beta):
    couplings = sparse_spin_couplings(8, np.random.default_rng(1), mean_neighbours=4)
    exact = KineticIsing.from_spins(couplings, beta=beta, dynamics="sequential").entropy_production()
    sample = sample_spin_flips(couplings, beta, n_sample=40_000, n_restart=100)
    assert abs(sample.entropy_production - exact) < 4 * sample.standard_error
    assert sample.standard_error < 0.02 * exact


def test_entropy_production__is_zero_at_equilibrium():
    couplings = sparse_spin_couplings(10, np.random.default_rng(0))
    sample = sample_spin_flips(couplings + couplings.T, 1.0, n_sample=2000, n_restart=20)
    np.testing.assert_array_equal(sample.restart_entropy_production, 0.0)


def assert_meets_table(n_unit, row, n_sample):
    """The table has the mean of -2 beta x_i h_i over recorded flips; its own error is that of as many samples."""
    couplings = np.load(REFERENCE / f"spin_model_J_N{n_unit}.npz")["J"].astype(float)
    sample = sample_spin_flips(couplings, row["beta"], n_sample=n_sample, n_restart=200)
    by_run = run_scores(sample.flips, slice(0, n_unit), row["beta"] * couplings).score.sum(axis=1)
    plain = by_run / (n_unit * sample.flips.samples_per_restart)
    assert plain.mean() == pytest.approx(sample.entropy_production, abs=5 * plain.std() / np.sqrt(200))
    of_table = plain.std(ddof=1) / np.sqrt(200) * np.sqrt(n_sample / SAMPLES[n_unit])
    assert abs(sample.entropy_production - row["exact"]) < 3.5 * np.hypot(sample.standard_error, of_table)
    assert sample.flips.frequency().mean() == pytest.approx(row["flip_rate"], rel=0.01)


@pytest.mark.parametrize("row", TABLE["N20"]["rows"][::3], ids=lambda row: f"beta {row['beta']}")
def test_entropy_production__meets_the_reference_20(row):
    assert_meets_table(20, row, 40_000)


@pytest.mark.parametrize("row", TABLE["N100"]["rows"][1::3], ids=lambda row: f"beta {row['beta']}")
def test_entropy_production__meets_the_reference_100(row):
    assert_meets_table(100, row, 20_000)


@pytest.mark.long
@pytest.mark.parametrize("n_unit", [20, 100])
def test_entropy_production__meets_every_row_of_the_reference(n_unit):
    for row in TABLE[f"N{n_unit}"]["rows"]:
        assert_meets_table(n_unit, row, 2 * SAMPLES[n_unit])


def test_sample__a_run_depends_on_its_labels_alone():
    couplings = sparse_spin_couplings(9, np.random.default_rng(0))
    few = sample_spin_flips(couplings, 1.0, n_sample=40, n_restart=4, seed=5, repetition=2)
    more = sample_spin_flips(couplings, 1.0, n_sample=60, n_restart=6, seed=5, repetition=2)
    np.testing.assert_array_equal(few.flips.states, more.flips.states[:40])
    np.testing.assert_array_equal(few.flips.flips, more.flips.flips[:40])
    others = [
        sample_spin_flips(couplings, 1.0, 40, 4, seed=6, repetition=2),
        sample_spin_flips(couplings, 1.0, 40, 4, seed=5, repetition=3),
        sample_spin_flips(couplings, 1.1, 40, 4, seed=5, repetition=2),
    ]
    assert not any(np.array_equal(few.flips.states, other.flips.states) for other in others)
    assert len(np.unique(few.flips.states.reshape(4, -1), axis=0)) == 4


def test_standard_error__of_a_single_run_is_nan():
    assert np.isnan(sample_spin_flips(sparse_spin_couplings(8, np.random.default_rng(0)), 1.0, 10, 1).standard_error)


@pytest.mark.parametrize(
    ("couplings", "beta", "n_sample", "n_restart", "message"),
    [
        (np.zeros((2, 3)), 1.0, 10, 1, "square"),
        (np.eye(3), 1.0, 10, 1, "zero diagonal"),
        (np.full((2, 2), np.nan), 1.0, 10, 1, "finite"),
        (np.zeros((2, 2)), np.inf, 10, 1, "finite"),
        (np.zeros((2, 2)), 1.0, 10, 3, "multiple"),
        (np.zeros((2, 2)), 1.0, 0, 1, "multiple"),
    ],
)
def test_sample__refuses_what_cannot_be_sampled(couplings, beta, n_sample, n_restart, message):
    with pytest.raises(ModelError, match=message):
        sample_spin_flips(couplings, beta, n_sample, n_restart)


def test_sample__sparse_couplings_give_the_same_samples():
    couplings = sparse_spin_couplings(9, np.random.default_rng(0))
    listed, dense = (sample_spin_flips(given, 1.0, 60, 3) for given in (couplings, couplings.toarray()))
    assert np.array_equal(listed.flips.states, dense.flips.states)
    assert np.array_equal(listed.restart_entropy_production, dense.restart_entropy_production)
