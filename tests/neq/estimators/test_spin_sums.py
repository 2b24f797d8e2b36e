import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from neq.estimators import spin_fit, spin_sums
from neq.estimators.spin_sums import covariance_product, run_scores, second_moment, tilted
from neq.models import sparse_spin_couplings
from neq.models.spin_flips import sample_spin_flips
from neq.spikes.spin_flips import SpinFlips


def observables(states, flips, spin):
    """Return g (flip, source) of one spin, without its own entry."""
    x = states[flips[:, spin]].astype(float)
    return -2 * x[:, [spin]] * np.delete(x, spin, axis=1)


@st.composite
def samples(draw):
    n_run, length, n_unit = draw(st.integers(1, 5)), draw(st.integers(1, 40)), draw(st.integers(2, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    states = rng.choice([-1, 1], (n_run * length, n_unit))
    flips = rng.random(states.shape) < draw(st.sampled_from([0.02, 0.3, 1.0]))
    first = draw(st.integers(0, n_unit - 1))
    spins = slice(first, draw(st.integers(first + 1, n_unit)))
    theta = draw(st.sampled_from([0.1, 2.0, 60.0])) * rng.normal(size=(spins.stop - first, n_unit))
    theta[np.arange(len(theta)), np.arange(len(theta)) + first] = 0.0
    return states, flips, SpinFlips.pack(states, flips, n_run), spins, theta


@settings(max_examples=60)
@given(samples())
def test_tilted__matches_its_slow_twin(drawn):
    states, flips, packed, spins, theta = drawn
    found = tilted(packed, spins, theta)
    for row, spin in enumerate(range(spins.start, spins.stop)):
        g = observables(states, flips, spin)
        if not len(g):
            assert np.isnan(found.log_normaliser[row])
            assert found.effective_sample_size[row] == 0
            assert not found.mean[row].any()
            continue
        v = -g @ np.delete(theta[row], spin)
        weight = np.exp(v - v.max())
        assert found.log_normaliser[row] == pytest.approx(v.max() + np.log(weight.mean()), rel=2e-5, abs=2e-5)
        assert found.effective_sample_size[row] == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=1e-2)
        np.testing.assert_allclose(
            np.delete(found.mean[row], spin), weight @ g / weight.sum(), atol=1e-4 * (1 + np.abs(theta).max())
        )
        assert found.mean[row, spin] == 0


@settings(max_examples=40)
@given(samples())
def test_covariance_product__matches_its_slow_twin(drawn):
    states, flips, packed, spins, vector = drawn
    mean = tilted(packed, spins, np.zeros_like(vector)).mean
    product = covariance_product(packed, spins, vector, mean)
    for row, spin in enumerate(range(spins.start, spins.stop)):
        g = observables(states, flips, spin)
        expected = np.cov(g.T, bias=True).reshape(g.shape[1], -1) @ np.delete(vector[row], spin) if len(g) else 0.0
        np.testing.assert_allclose(np.delete(product[row], spin), expected, atol=2e-5 * (1 + np.abs(vector).max()))


@settings(max_examples=40)
@given(samples())
def test_run_scores__objective_of_all_and_of_some_runs(drawn):
    states, flips, packed, spins, theta = drawn
    n_run, length = packed.n_restart, packed.samples_per_restart
    times = np.array([[run % 2 for run in range(n_run)], [2] * n_run])
    found = run_scores(packed, spins, theta)
    np.testing.assert_allclose(found.objective(times)[1], found.objective(), rtol=1e-6, atol=1e-6)
    for row, spin in enumerate(range(spins.start, spins.stop)):
        for value, taken in ((found.objective()[row], [1] * n_run), (found.objective(times)[0, row], times[0])):
            here = np.repeat(np.array(taken, bool), length)
            g = observables(states[here], flips[here], spin)
            if not len(g):
                assert np.isnan(value)
                continue
            u = g @ np.delete(theta[row], spin)
            expected = u.mean() + u.min() - np.log(np.mean(np.exp(u.min() - u)))
            # weights of runs more than 700 nats below the largest of all runs vanish
            if np.isfinite(value):
                assert value == pytest.approx(expected, rel=3e-5, abs=1e-3)
            else:
                assert -u.min() < found.shift[row] - 700


def test_run_scores__portions_of_a_run_make_the_whole(monkeypatch):
    rng = np.random.default_rng(1)
    packed = SpinFlips.pack(rng.choice([-1, 1], (90, 5)), rng.random((90, 5)) < 0.1, n_restart=3)
    theta = rng.normal(size=(5, 5)) * 3
    whole = run_scores(packed, slice(0, 5), theta)
    monkeypatch.setattr(spin_sums, "SAMPLES_AT_ONCE", 7)
    parts = run_scores(packed, slice(0, 5), theta)
    for name in ("count", "score", "square", "weight", "shift"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6, atol=1e-6, err_msg=name)
    assert (whole.weight.sum(axis=0) > 0).all()


def test_second_moment__of_all_samples():
    states = np.random.default_rng(0).choice([-1, 1], (5000, 7))
    packed = SpinFlips.pack(states, states > 0)
    np.testing.assert_allclose(second_moment(packed), states.T @ states / 5000, atol=1e-6)


@pytest.fixture(scope="module")
def sampled():
    flips = sample_spin_flips(sparse_spin_couplings(12, np.random.default_rng(0)), 0.9, 6000, 30).flips
    states, flipped = (np.concatenate(parts) for parts in zip(*flips.portions(4096), strict=True))
    return flips, states, flipped


def test_newton_step__solves_the_dense_system(sampled):
    flips, states, flipped = sampled
    theta, _ = spin_fit.newton_step(flips, slice(3, 9))
    for row, spin in enumerate(range(3, 9)):
        g = observables(states, flipped, spin)
        covariance = np.cov(g.T, bias=True) + spin_fit.COVARIANCE_RIDGE * np.eye(11)
        expected = np.linalg.solve(covariance, 2 * g.mean(axis=0))
        np.testing.assert_allclose(np.delete(theta[row], spin), expected, atol=2e-3 * np.abs(expected).max())


def test_newton_step__leaves_a_spin_with_few_flips_at_zero(sampled):
    _, states, flipped = sampled
    rare = flipped.copy()
    rare[11:, 2] = False
    theta, _ = spin_fit.newton_step(SpinFlips.pack(states, rare), slice(0, 12))
    assert not theta[2].any()
    assert theta[[0, 1, 3]].any(axis=1).all()


CONVERGED = spin_fit.SpinPath(ridges=(0.1, 1e-6), max_iteration=100, improvement=-1.0)


def test_fit_path__converged_is_the_maximum_of_each_spin(sampled):
    flips, states, flipped = sampled
    fit = spin_fit.fit_path(flips, flips, slice(2, 8), CONVERGED)
    for row, spin in enumerate(range(2, 8)):
        g = observables(states, flipped, spin)

        def loss(theta, g=g):
            return special.logsumexp(-g @ theta) - np.log(len(g)) - theta @ g.mean(axis=0)

        best = optimize.minimize(loss, np.zeros(11), method="BFGS")
        assert fit.validation[row] == pytest.approx(-best.fun, rel=1e-3, abs=1e-4)
        assert -loss(np.delete(fit.theta[row], spin)) == pytest.approx(fit.validation[row], abs=1e-5)


def test_fit_path__blocks_of_spins_do_not_matter_once_converged(sampled):
    flips, *_ = sampled
    whole = spin_fit.fit_path(flips, flips, slice(0, 12), CONVERGED)
    parts = [spin_fit.fit_path(flips, flips, part, CONVERGED) for part in (slice(0, 5), slice(5, 12))]
    np.testing.assert_allclose(whole.validation, np.concatenate([part.validation for part in parts]), rtol=1e-3)


def test_fit_path__no_candidate_hangs_on_a_few_flips(sampled):
    flips, *_ = sampled
    few = flips.restarts(0, 1)
    fit = spin_fit.fit_path(flips, few, slice(0, 12), spin_fit.SpinPath())
    size = tilted(few, slice(0, 12), fit.theta).effective_sample_size
    assert np.all((size >= spin_fit.MIN_CANDIDATE_SAMPLE) | ~fit.theta.any(axis=1))
    fewer = SpinFlips(few.states[:40], few.flips[:40], few.n_unit)
    assert fewer.flip_counts().max() < spin_fit.MIN_CANDIDATE_SAMPLE
    assert not spin_fit.fit_path(flips, fewer, slice(0, 12), spin_fit.SpinPath()).theta.any()
