import numpy as np
import pytest
import xarray as xr

from neq.errors import NeqError
from neq.figures import against
from neq.summary import summarise

DIMS = ("session", "condition", "method", "surrogate", "lag", "size", "repetition")
LAGS = (1, 2, 10)


@pytest.fixture
def run():
    """Return a run of two sessions whose rate is known at every point."""
    shape = (2, 2, 2, 2, 3, 2, 2)
    rate = np.random.default_rng(0).random(shape)
    coords = {
        "condition": ["active", "rest"],
        "method": ["maxent", "newton_step"],
        "surrogate": ["none", "time_reversal"],
        "lag": list(LAGS),
        "size": [10, 20],
    }
    names = {"entropy_production_rate": rate, "n_unit": np.broadcast_to(np.array([10.0, 20.0])[:, None], shape)}
    data = {name: (DIMS, values) for name, values in names.items()}
    return xr.Dataset(data | {"status": (DIMS, np.full(shape, "ok"))}, coords)


def line(axes, gid):
    (found,) = [one for one in axes.lines if one.get_gid() == f"line:{gid}"]
    return found.get_xydata()


def test_against__means_at_the_largest_size_in_a_panel_for_each_label(run):
    figure = against(summarise(run))
    assert [axes.get_title() for axes in figure.axes] == ["maxent", "newton step"]
    for axes, method in zip(figure.axes, run["method"].values, strict=True):
        for condition in ("active", "rest"):
            for surrogate in ("none", "time_reversal"):
                # method is also an argument of sel, so its labels are given by name
                where = {"condition": condition, "method": method, "surrogate": surrogate, "size": 20}
                cells = run["entropy_production_rate"].sel(where)
                expected = cells.mean(["session", "repetition"]).values
                found = line(axes, f"{condition}:{surrogate}")
                np.testing.assert_allclose(found, np.transpose([LAGS, expected]))
    assert "At N = 20." in figure.get_label()
    assert "bars: SEM over sessions" in figure.get_label()


def test_against__size_all_counts_by_its_units(run):
    run["n_unit"] = 3 * run["n_unit"].copy(data=run["n_unit"].values[..., ::-1, :])
    whole = run.assign_coords(size=[0, 20])
    assert "At N = 60." in against(summarise(whole)).get_label()


def test_against__wide_axes_are_logarithmic_and_every_label_has_its_tick(run):
    (axes, _) = against(summarise(run)).axes
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "10"]
    (axes, _) = against(summarise(run.isel(lag=[0, 1]))).axes
    assert axes.get_xscale() == "linear"


def test_against__limited_points_are_hollow(run):
    run["quality"] = xr.zeros_like(run["entropy_production_rate"], dtype="u1")
    run["quality"].loc[{"lag": 2}] = 2
    axes = against(summarise(run)).axes[0]
    (hollow,) = [one for one in axes.lines if one.get_gid() == "hollow:active:none"]
    assert hollow.get_xdata().tolist() == [2.0]


def test_against__what_is_missing_is_named(run):
    with pytest.raises(NeqError, match="cannot draw entropy_production against lag"):
        against(summarise(run), value="entropy_production")
    with pytest.raises(NeqError, match="bin_size as an axis"):
        against(summarise(run), axis="bin_size")
    run["status"][:] = "failed"
    assert "nothing to draw yet" in against(summarise(run)).get_label().lower()


def test_against__says_how_many_panels_are_left_out(run):
    figure = against(summarise(xr.concat([run] * 3, xr.Variable("cross_fit", [0, 2, 5]))))
    titles = [axes.get_title().splitlines() for axes in figure.axes]
    assert titles == [
        ["cross fit 0", "maxent"],
        ["cross fit 0", "newton step"],
        ["cross fit 2", "maxent"],
        ["cross fit 2", "newton step"],
    ]
    assert "Shown: 4 of 6 panels." in figure.get_label()
