import numpy as np
import pytest
import xarray as xr

from neq import figures
from neq.estimators.events import peri_event

BIN = np.arange(400)


@pytest.fixture
def curve():
    score = np.random.default_rng(0).normal(size=400)
    score[:30] = np.nan
    return peri_event(score, BIN, np.zeros(400), np.arange(30, 390, 20), window=(10, 15), n_shift=99)


def part(figure, gid):
    (artist,) = [one for one in figure.axes[0].get_children() if one.get_gid() == gid]
    return artist


def test_events__draws_the_curve_in_milliseconds_with_both_bands(curve):
    figure = figures.events(curve, bin_size=0.01, title="saccades")
    x, y = part(figure, "line:average").get_data()
    np.testing.assert_allclose(x, np.arange(-10, 16) * 10.0)
    np.testing.assert_array_equal(y, curve.average)
    each, together = (part(figure, f"band:{name}").get_paths()[0].get_extents() for name in ("each", "all"))
    assert (each.y0, each.y1) == (curve.low.min(), curve.high.max())
    assert (together.y0, together.y1) == (curve.low_all.min(), curve.high_all.max())
    assert together.height > each.height
    assert figure.axes[0].get_title() == "saccades"
    assert "17 to 18 events" in figure.get_label()


def test_events__takes_a_dataset_and_counts_in_bins(curve):
    names = ("average", "low", "high", "low_all", "high_all", "n_event")
    stored = xr.Dataset({name: ("offset", getattr(curve, name)) for name in names}, {"offset": curve.offset})
    figure = figures.events(stored)
    x, y = part(figure, "line:average").get_data()
    np.testing.assert_array_equal(x, curve.offset)
    np.testing.assert_array_equal(y, curve.average)
    assert figure.axes[0].get_xlabel() == "bins from event"


def test_events__without_a_curve_says_why():
    none = peri_event(np.ones(400), BIN, np.zeros(400), np.array([9999]), n_shift=9)
    assert "none of the 1 events lies in a stretch" in figures.events(none).get_label()
