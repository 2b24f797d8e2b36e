"""Ornstein-Uhlenbeck processes and Gaussian chains: closed forms, other formulas for the same number, samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg

from neq.errors import ModelError
from neq.models import GaussianChain, OrnsteinUhlenbeck


def random_process(n_unit, seed):
    rng = np.random.default_rng(seed)
    drift = rng.normal(size=(n_unit, n_unit))
    drift += (0.2 - min(0.0, np.linalg.eigvals(drift).real.min())) * np.eye(n_unit)
    root = rng.normal(size=(n_unit, n_unit))
    return OrnsteinUhlenbeck(drift=drift, diffusion=root @ root.T + 0.1 * np.eye(n_unit))


def pair_divergence(covariance, lagged):
    """Kullback-Leibler divergence of the joint law of earlier and later state from itself exchanged."""
    forward = np.block([[covariance, lagged.T], [lagged, covariance]])
    backward = np.block([[covariance, lagged], [lagged.T, covariance]])
    return 0.5 * (np.trace(np.linalg.solve(backward, forward)) - len(forward))


@pytest.mark.parametrize(("rate", "frequency", "noise"), [(1.0, 2.0, 1.0), (0.3, 0.1, 5.0), (2.0, -3.0, 0.01)])
def test_rotation__closed_forms(rate, frequency, noise):
    """E = e^-kt R(wt): rate 2 w^2 / k, and 4 sin^2(wt) / (e^2kt - 1) per interval t, by hand."""
    model = OrnsteinUhlenbeck(drift=np.array([[rate, -frequency], [frequency, rate]]), diffusion=noise * np.eye(2))
    np.testing.assert_allclose(model.entropy_production_rate(), 2 * frequency**2 / rate, rtol=1e-12)
    np.testing.assert_allclose(model.stationary_covariance(), noise / rate * np.eye(2), rtol=1e-12, atol=1e-15)
    for interval in (1e-8, 0.1, 1.0, 5.0):
        want = 4 * np.sin(frequency * interval) ** 2 / np.expm1(2 * rate * interval)
        np.testing.assert_allclose(model.entropy_production(interval), want, rtol=1e-7)


@pytest.mark.parametrize(("cold", "hot"), [(1.0, 10.0), (5.0, 10.0), (10.0, 10.0)])
def test_two_beads_between_two_baths__closed_form(cold, hot):
    model = OrnsteinUhlenbeck(drift=np.array([[2.0, -1.0], [-1.0, 2.0]]), diffusion=np.diag([cold, hot]))
    np.testing.assert_allclose(model.entropy_production_rate(), (cold - hot) ** 2 / (4 * cold * hot), rtol=1e-12)
    want = [[(7 * cold + hot) / 12, (cold + hot) / 6], [(cold + hot) / 6, (cold + 7 * hot) / 12]]
    np.testing.assert_allclose(model.stationary_covariance(), want, rtol=1e-12)


def test_ring_with_a_shifted_kernel__sum_over_its_modes():
    """The ring's modes decouple: sum over k of (Im w_k)^2 / (1 - Re w_k), whatever the noise."""
    n_unit, width = 64, 0.5
    distance = (np.arange(n_unit) * width + n_unit * width / 2) % (n_unit * width) - n_unit * width / 2
    kernel = 0.3 * np.exp(-0.5 * (distance - 0.6) ** 2)
    mode = width * np.fft.fft(kernel)
    drift = np.eye(n_unit) - width * linalg.circulant(kernel)
    correlated = linalg.circulant(np.exp(-np.abs(distance)))
    want = np.sum(mode.imag**2 / (1 - mode.real))
    for diffusion in (np.eye(n_unit), correlated):
        rate = OrnsteinUhlenbeck(drift=drift, diffusion=diffusion).entropy_production_rate()
        np.testing.assert_allclose(rate, want, rtol=1e-9)


@given(n_unit=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_rate__is_its_trace_formula(n_unit, seed):
    model = random_process(n_unit, seed)
    covariance = linalg.solve_continuous_lyapunov(model.drift, 2 * model.diffusion)
    np.testing.assert_allclose(model.stationary_covariance(), covariance, rtol=1e-7, atol=1e-9 * abs(covariance).max())
    trace = np.trace(model.drift.T @ np.linalg.solve(model.diffusion, model.drift) @ covariance) - np.trace(model.drift)
    np.testing.assert_allclose(model.entropy_production_rate(), trace, rtol=1e-6, atol=1e-8)


@settings(max_examples=40)
@given(n_unit=st.integers(1, 6), seed=st.integers(0, 10_000), interval=st.floats(0.01, 3.0))
def test_entropy_production__is_the_divergence_of_the_pair_law(n_unit, seed, interval):
    model = random_process(n_unit, seed)
    lagged = model.lagged_covariance(interval)
    want = pair_divergence(model.stationary_covariance(), lagged)
    np.testing.assert_allclose(model.entropy_production(interval), want, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(model.lagged_covariance(-interval), lagged.T)
    assert model.entropy_production(interval) <= model.entropy_production_rate() * interval * (1 + 1e-9)


@settings(max_examples=25)
@given(n_unit=st.integers(2, 6), seed=st.integers(0, 10_000))
def test_entropy_production__approaches_the_rate_from_below(n_unit, seed):
    model = random_process(n_unit, seed)
    fast = np.abs(np.linalg.eigvals(model.drift)).max()
    rate = model.entropy_production_rate()
    intervals = np.array([1e-1, 1e-3, 1e-5]) / fast
    values = [model.entropy_production(interval) / interval for interval in intervals]
    assert values[0] <= values[1] * (1 + 1e-9) <= values[2] * (1 + 2e-9)
    np.testing.assert_allclose(values[2], rate, rtol=1e-2)


@given(n_unit=st.integers(1, 6), seed=st.integers(0, 10_000), strength=st.sampled_from([0.0, 1e-8, 1.0]))
def test_detailed_balance__is_what_makes_it_zero(n_unit, seed, strength):
    """A = D K with K symmetric is a gradient flow; what is added to A S against it is what it dissipates."""
    rng = np.random.default_rng(seed)
    diffusion = np.diag(rng.uniform(0.5, 2.0, n_unit))
    root = rng.normal(size=(n_unit, n_unit))
    stiffness = root @ root.T + 0.5 * np.eye(n_unit)
    turn = rng.normal(size=(n_unit, n_unit))
    model = OrnsteinUhlenbeck(drift=(diffusion + strength * (turn - turn.T)) @ stiffness, diffusion=diffusion)
    assert model.is_reversible == (strength == 0.0 or n_unit == 1)
    want = strength**2 * np.trace((turn - turn.T).T @ np.linalg.inv(diffusion) @ (turn - turn.T) @ stiffness)
    np.testing.assert_allclose(model.entropy_production_rate(), want, rtol=1e-5, atol=1e-20)
    np.testing.assert_allclose(model.circulation, strength * (turn - turn.T), atol=1e-7 * max(strength, 1e-8))


def test_symmetric_drift_in_white_noise__exactly_zero():
    model = OrnsteinUhlenbeck(drift=np.array([[2.0, -0.3], [-0.3, 1.0]]), diffusion=0.7 * np.eye(2))
    assert model.is_reversible
    assert model.entropy_production_rate() == 0.0
    assert model.entropy_production(0.1) == 0.0


def test_sampled__noise_is_the_integral_and_keeps_the_covariance():
    model = random_process(3, 5)
    for interval in (1e-6, 0.3, 20.0):
        chain = model.sampled(interval)
        np.testing.assert_allclose(chain.propagator, linalg.expm(-model.drift * interval), rtol=1e-7, atol=1e-12)
        covariance = chain.propagator @ chain.covariance() @ chain.propagator.T + chain.noise
        np.testing.assert_allclose(covariance, model.stationary_covariance(), rtol=1e-9)

    def density(time):
        part = linalg.expm(-model.drift * time)
        return part @ (2 * model.diffusion) @ part.T

    noise, _ = integrate.quad_vec(density, 0.0, 0.3)
    np.testing.assert_allclose(model.sampled(0.3).noise, noise, rtol=1e-9)


def test_chain__euler_steps_have_their_own_stationary_law():
    """Two beads by Euler steps of 0.01: 2.040302 per unit time instead of 2.025 (independent evaluation)."""
    step = 0.01
    chain = GaussianChain(
        propagator=np.eye(2) - step * np.array([[2.0, -1.0], [-1.0, 2.0]]), noise=2 * step * np.diag([1.0, 10.0])
    )
    np.testing.assert_allclose(chain.entropy_production() / step, 2.040302, rtol=1e-6)
    want = pair_divergence(chain.covariance(), chain.lagged_covariance())
    np.testing.assert_allclose(chain.entropy_production(), want, rtol=1e-8)


def test_lagged_covariance__backwards_is_its_mirror_image():
    process = random_process(3, 4)
    chain = process.sampled(0.2)
    for lag in (0, 1, 3):
        want = process.lagged_covariance(0.2 * lag)
        np.testing.assert_allclose(chain.lagged_covariance(lag), want, atol=1e-12)
        np.testing.assert_allclose(chain.lagged_covariance(-lag), want.T, atol=1e-12)
        np.testing.assert_allclose(process.lagged_covariance(-0.2 * lag), want.T, atol=1e-12)


def test_simulate__has_the_covariances_of_the_process():
    model = random_process(3, 7)
    runs = [states for _, states in model.restarts(20, 0.2, n_restart=4000, seed=1)]
    first, later = (np.array([run[index] for run in runs]) for index in (0, -1))
    covariance, lagged = model.stationary_covariance(), model.lagged_covariance(19 * 0.2)
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    for got, want in ((first.T @ first, covariance), (later.T @ later, covariance), (later.T @ first, lagged)):
        assert (np.abs(got / len(runs) - want) < 5 * spread * np.sqrt(2 / len(runs))).all()


def test_simulate__is_the_recursion():
    chain = random_process(4, 2).sampled(0.5)
    generator = np.random.default_rng(3)
    state = np.array([1.0, -2.0, 0.5, 3.0])
    states = chain.simulate(6, seed=3, start=state)
    for row in states:
        state = chain.propagator @ state + np.linalg.cholesky(chain.noise) @ generator.standard_normal(4)
        np.testing.assert_allclose(row, state, rtol=1e-10, atol=1e-12)


@given(block=st.integers(1, 40), n_step=st.integers(0, 50))
def test_stream__block_size_changes_no_bit(block, n_step):
    model = random_process(3, 1)
    blocks = list(model.stream(n_step, 0.1, seed=2, block=block))
    whole = model.simulate(n_step, 0.1, seed=2)
    assert np.array_equal(np.concatenate([whole[:0], *blocks]), whole)


def test_restarts__each_has_its_own_stream():
    chain = random_process(2, 1).sampled(0.1)
    runs = dict(chain.restarts(5, n_restart=4, seed=9))
    assert np.array_equal(dict(chain.restarts(5, n_restart=1, first=3, seed=9))[3], runs[3])
    assert len({run[0, 0] for run in runs.values()}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drift": np.ones((2, 3))}, "drift as a square matrix"),
        ({"drift": np.array([[1.0, np.nan], [0.0, 1.0]])}, "drift must hold finite"),
        ({"drift": np.diag([1.0, -1.0])}, "positive real part"),
        ({"drift": np.array([[0.0, 1.0], [-1.0, 0.0]])}, "positive real part"),
        ({"diffusion": np.eye(3)}, "diffusion of 2 units"),
        ({"diffusion": np.array([[1.0, 0.2], [0.1, 1.0]])}, "symmetric diffusion"),
        ({"diffusion": np.diag([1.0, 0.0])}, "positive definite diffusion"),
        ({"diffusion": np.diag([1.0, -1.0])}, "positive definite diffusion"),
        ({"diffusion": np.zeros((2, 2))}, "positive definite diffusion"),
        ({"diffusion": np.full((2, 2), np.inf)}, "diffusion must hold finite"),
    ],
)
def test_ornstein_uhlenbeck__rejects(change, message):
    with pytest.raises(ModelError, match=message):
        OrnsteinUhlenbeck(**{"drift": np.eye(2), "diffusion": np.eye(2)} | change)


@pytest.mark.parametrize("interval", [0.0, -1.0, np.nan, np.inf])
def test_entropy_production__rejects_an_interval(interval):
    with pytest.raises(ModelError, match="interval above 0"):
        random_process(2, 0).entropy_production(interval)


def test_chain__rejects():
    with pytest.raises(ModelError, match="below 1 in size"):
        GaussianChain(propagator=np.eye(2), noise=np.eye(2))
    with pytest.raises(ModelError, match="noise of 2 units"):
        GaussianChain(propagator=0.5 * np.eye(2), noise=np.eye(3))
    with pytest.raises(ModelError, match="stationary of 2 units"):
        GaussianChain(propagator=0.5 * np.eye(2), noise=np.eye(2), stationary=np.eye(3))
    with pytest.raises(ModelError, match="start as 2 finite numbers"):
        GaussianChain(propagator=0.5 * np.eye(2), noise=np.eye(2)).simulate(3, start=np.zeros(3))
    with pytest.raises(ModelError, match="n_step >= 0"):
        GaussianChain(propagator=0.5 * np.eye(2), noise=np.eye(2)).simulate(-1)
