import numpy as np
import pytest
import xarray as xr

from neq import figures
from neq.errors import NeqError


def by_gid(axes, gid):
    (found,) = [artist for artist in axes.get_children() if artist.get_gid() == gid]
    return found


@pytest.fixture
def summary():
    beta, names = np.array([0.0, 1.0, 2.0]), ["maxent", "mtur", "newton"]
    value = np.array([[0.0, 0.3, 0.6], [0.0, 0.2, 0.3], [0.0, 0.25, 0.5]])
    dims = ("estimator", "beta")
    return xr.Dataset(
        {
            "entropy_production": (dims, value),
            "interval_low": (dims, value - 0.01),
            "interval_high": (dims, value + 0.02),
            "share_tail_limited": (dims, [[0, 0, 1.0], [0, 0, 0], [0, 0, 0.4]]),
            "exact_entropy_production": ("beta", [0.0, 0.32, 0.7]),
            "exact_standard_error": ("beta", [0.0, 0.001, 0.002]),
        },
        coords={"beta": beta, "estimator": names},
    )


def test_spin_model__draws_lines_and_bands(summary):
    figure = figures.spin_model(summary, n_unit=20)
    (axes,) = figure.axes
    for name in ("maxent", "mtur", "newton"):
        line = by_gid(axes, f"line:{name}")
        np.testing.assert_allclose(line.get_ydata(), summary["entropy_production"].sel(estimator=name))
        band = by_gid(axes, f"band:{name}").get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(-0.01)
        assert band[:, 1].max() == pytest.approx(float(summary["interval_high"].sel(estimator=name).max()))
    np.testing.assert_allclose(by_gid(axes, "line:exact").get_ydata(), summary["exact_entropy_production"])
    assert by_gid(axes, "band:exact").get_paths()[0].vertices[:, 1].max() == pytest.approx(0.7 + 1.96 * 0.002)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["model", "MTUR", "one Newton step", "MaxEnt"]
    assert figure.get_label().startswith("20 spins, sequential Glauber dynamics.")


def test_spin_model__hollow_where_half_the_repetitions_are_limited(summary):
    figure = figures.spin_model(summary)
    assert by_gid(figure.axes[0], "hollow:maxent").get_xdata().tolist() == [2.0]
    assert by_gid(figure.axes[0], "filled:newton").get_xdata().tolist() == [0.0, 1.0, 2.0]
    assert "Hollow" in figure.get_label()
    assert "MTUR is not examined" in figure.get_label()
    assert "MTUR" not in figures.spin_model(summary.sel(estimator=["maxent"])).get_label()
    summary["share_tail_limited"][:] = 0.0
    assert "Hollow" not in figures.spin_model(summary).get_label()


def test_spin_model__leaves_out_what_is_missing(summary):
    alone = summary[["entropy_production", "exact_entropy_production"]].sel(estimator=["mtur"])
    axes = figures.spin_model(alone).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["model", "MTUR"]


def test_spin_couplings__points_identity_and_numbers():
    rng = np.random.default_rng(0)
    couplings = rng.normal(size=(6, 6))
    figure = figures.spin_couplings(3.0 * couplings, couplings, beta=2.0)
    (axes,) = figure.axes
    x, y = by_gid(axes, "pairs").get_data()
    assert len(x) == 15
    np.testing.assert_allclose(y, 1.5 * x)
    line = by_gid(axes, "identity")
    np.testing.assert_array_equal(*line.get_data())
    assert by_gid(axes, "note").get_text() == "correlation 1.000\nslope 1.50"
    assert "slope 1.50" in figure.get_label()


def test_spin_couplings__without_a_line_says_so():
    text = figures.spin_couplings(np.zeros((3, 3)), np.zeros((3, 3)), beta=0.0).get_label()
    assert "no pair differs" in text.lower()


def test_spin_couplings__refuses_other_shapes():
    with pytest.raises(NeqError, match="expected theta and couplings"):
        figures.spin_couplings(np.zeros((3, 3)), np.zeros((4, 4)), beta=1.0)
