import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.estimators.quasi_newton import QuasiNewton


def quadratic(seed, n=12):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    curvature, linear = root @ root.T / n, rng.normal(size=n)
    return curvature, linear, lambda y: (y @ curvature @ y / 2 - linear @ y, curvature @ y - linear)


@given(seed=st.integers(0, 1000), ridge=st.floats(1e-2, 10))
def test_steps__reach_the_closed_form_of_a_quadratic(seed, ridge):
    curvature, linear, function = quadratic(seed)
    walk = QuasiNewton(function, np.zeros(len(linear)))
    # without a tolerance: one short step among long ones, as a poor curvature makes them, would end the walk early
    for _ in walk.steps(ridge, 200, tolerance=0.0):
        pass
    exact = np.linalg.solve(curvature + ridge * np.eye(len(linear)), linear)
    lowest = function(exact)[0] + ridge / 2 * exact @ exact
    assert walk.value + ridge / 2 * walk.point @ walk.point == pytest.approx(lowest, rel=1e-9)


def test_steps__every_one_lowers_function_and_ridge():
    _, linear, function = quadratic(3)
    walk, losses = QuasiNewton(function, np.zeros(len(linear))), [0.0]
    for point in walk.steps(0.1, 50):
        losses.append(function(point)[0] + 0.05 * point @ point)
    assert len(losses) > 5
    assert (np.diff(losses) < 0).all()


def test_steps__a_new_ridge_keeps_what_was_learned():
    """With a few steps at each ridge the walk ends nearer to the minimum than one that forgets at each."""
    rng = np.random.default_rng(1)
    g = rng.normal(size=(4000, 60)) @ np.diag(np.geomspace(0.1, 1.5, 60))
    drive = g.mean(axis=0) + 0.05 * rng.normal(size=60)

    def function(y):
        top = (g @ y).max()
        weight = np.exp(g @ y - top)
        return float(top + np.log(weight.mean()) - y @ drive), weight @ g / weight.sum() - drive

    def walk(ridges, most, *, forget):
        at = QuasiNewton(function, np.zeros(60))
        for ridge in ridges:
            at = QuasiNewton(function, at.point) if forget else at
            for _ in at.steps(ridge, most):
                pass
        return at.value + ridges[-1] / 2 * at.point @ at.point

    ridges = 0.5 ** np.arange(10)
    lowest = walk(ridges[-1:], 500, forget=False)
    assert 0 <= walk(ridges, 4, forget=False) - lowest < 0.5 * (walk(ridges, 4, forget=True) - lowest)


def test_steps__stop_where_nothing_falls():
    walk = QuasiNewton(lambda y: (float(y @ y), 2 * y), np.zeros(3))
    assert list(walk.steps(1.0, 10)) == []
    assert walk.n_evaluation == 2


def test_steps__a_step_too_long_is_halved():
    walk = QuasiNewton(lambda y: (float(np.cosh(5 * y[0])), 5 * np.sinh(5 * y)), np.array([0.3]))
    for _ in walk.steps(0.0, 100):
        pass
    assert abs(walk.point[0]) < 1e-3
