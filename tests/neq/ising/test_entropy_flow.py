"""Entropy flow against written-out sums, detailed balance, and the published values."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from neq.errors import IsingError
from neq.ising import KineticStateSpaceIsing
from neq.ising.entropy_flow import entropy_flow

FOLDER = Path(__file__).resolve().parents[2] / "reference_data" / "kinetic"


def stationary(couplings, bias, n_time=200):
    """Return parameters (time, unit, parameter) that do not change."""
    return np.repeat(np.column_stack([bias, couplings])[None], n_time, axis=0)


def written_out(theta, rate):
    """Return the flow of each bin by a loop over pairs of words."""
    words = list(product((0, 1), repeat=len(rate)))
    p = {x: np.prod([r if on else 1 - r for r, on in zip(rate, x, strict=True)]) for x in words}
    flows = []
    for one in theta:

        def log_step(x, y, one=one):
            field = one[:, 0] + one[:, 1:] @ np.array(x)
            return float((np.array(y) * field - np.log1p(np.exp(field))).sum())

        joint = {(x, y): p[x] * np.exp(log_step(x, y)) for x in words for y in words}
        flows.append(sum(weight * (log_step(x, y) - log_step(y, x)) for (x, y), weight in joint.items()))
        p = {y: sum(joint[x, y] for x in words) for y in words}
    return np.array(flows)


def test_exact__is_what_is_written_out():
    theta = np.random.default_rng(0).normal(size=(4, 3, 4))
    rate = np.array([0.2, 0.5, 0.9])
    flow = entropy_flow(theta, rate, "exact").flow.sum(axis=1)
    np.testing.assert_allclose(flow, written_out(theta, rate), rtol=1e-10)


@pytest.mark.parametrize("kind", ["symmetric", "refractory"])
def test_flow__in_detailed_balance_is_zero_where_the_mean_field_sees_some(kind):
    rng = np.random.default_rng(1)
    if kind == "refractory":
        couplings, bias = -3.0 * np.eye(5), np.full(5, -1.0)
    else:
        drawn = rng.normal(size=(6, 6)) / np.sqrt(6)
        couplings, bias = (drawn + drawn.T) / 2, np.full(6, -1.0)
    theta, rate = stationary(couplings, bias), np.full(len(bias), 0.2)
    last = {name: entropy_flow(theta, rate, name).flow[-1].sum() for name in ("exact", "mean_field", "corrected")}
    assert abs(last["exact"]) < 1e-12
    assert abs(last["corrected"]) < 0.003
    assert last["mean_field"] > 0.02
    if kind == "refractory":
        assert last["mean_field"] == pytest.approx(1.042, abs=2e-3)


def test_flow__without_couplings_is_that_of_the_fields():
    bias = np.array([[-1.0, 0.5], [0.3, -2.0], [1.0, 0.0]])
    theta = np.concatenate([bias[:, :, None], np.zeros((3, 2, 2))], axis=2)
    rate = np.array([0.4, 0.3])
    rates = np.vstack([rate, 1 / (1 + np.exp(-bias))])
    for method in ("exact", "mean_field", "corrected"):
        found = entropy_flow(theta, rate, method)
        np.testing.assert_allclose(found.flow, bias * np.diff(rates, axis=0), atol=1e-12)
        np.testing.assert_allclose(found.rate, rates[1:], atol=1e-12)


@pytest.mark.parametrize(("theta", "key"), [("theta_true", "true"), ("scalar_theta_s", "scalar")])
def test_flow__is_the_published_one(theta, key):
    fits, exact = np.load(FOLDER / "kinetic_ref_N4.npz"), np.load(FOLDER / "kinetic_ref_N4_exact.npz")
    found = {name: entropy_flow(fits[theta], exact["m0"], name) for name in ("exact", "mean_field", "corrected")}
    np.testing.assert_allclose(found["exact"].flow, exact[f"exact_{key}_flow"], atol=1e-10)
    np.testing.assert_allclose(found["exact"].rate, exact[f"exact_{key}_m"], atol=1e-10)
    # their quadrature ends at four deviations and is not normalised: up to 1.3e-4 a bin and unit
    np.testing.assert_allclose(found["mean_field"].flow, exact[f"mf_{key}_flow"], atol=1.5e-4)
    np.testing.assert_allclose(found["corrected"].flow, exact[f"mf_{key}_flow_corrected"], atol=2e-4)


def test_result__entropy_flow_is_exact_for_few_units():
    spikes = np.load(FOLDER / "kinetic_ref_N4.npz")["spikes"]
    result = KineticStateSpaceIsing(max_iter=2).fit(spikes)
    found = result.entropy_flow()
    assert found.method == "exact"
    np.testing.assert_allclose(result.rate, spikes.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.per_spike, found.flow.sum(axis=0) / found.rate.sum(axis=0))


def test_entropy_flow__of_many_units_is_corrected():
    theta = 0.1 * np.random.default_rng(0).normal(size=(2, 13, 14))
    assert entropy_flow(theta, np.full(13, 0.2)).method == "corrected"
    with pytest.raises(IsingError, match=r"pairs of words of 13 units need 0\.5 GiB; take at most 12 units"):
        entropy_flow(theta, np.full(13, 0.2), "exact")


@pytest.mark.parametrize(
    ("shape", "n_rate", "method", "problem"),
    [
        ((3, 2, 2), 2, "exact", r"found shapes \(3, 2, 2\) and \(2,\)"),
        ((3, 2, 3), 3, "exact", r"and \(3,\)"),
        ((3, 2, 3), 2, "sampled", "out of auto, exact, mean_field, corrected, found 'sampled'"),
    ],
)
def test_entropy_flow__refuses(shape, n_rate, method, problem):
    with pytest.raises(IsingError, match=problem):
        entropy_flow(np.zeros(shape), np.full(n_rate, 0.5), method)
