import numpy as np
import pytest
import xarray as xr

from neq import Contributions, figures
from neq.errors import NeqError

AREAS = ["V1", "LM", "V1", "", "LM"]


@pytest.fixture
def parts():
    return Contributions(np.random.default_rng(0).normal(0.01, 0.02, 10), 0.03, n_unit=5)


def with_gid(axes, gid):
    return [artist for artist in axes.get_children() if artist.get_gid() == gid]


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def bars(axes):
    """Return start and end of each bar of contributions, then of the remainder."""
    found = [*with_gid(axes, "contributions"), *with_gid(axes, "remainder")]
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in found]


@pytest.mark.parametrize("area", [AREAS, None])
def test_bars_lead_from_zero_to_the_objective(parts, area):
    axes = figures.contributions(figures.contributions_dataset(parts, area)).axes[0]
    steps = bars(axes)
    assert steps[0][0] == 0
    np.testing.assert_allclose([end for _, end in steps[:-1]], [start for start, _ in steps[1:]], atol=1e-12)
    assert steps[-1][1] == pytest.approx(parts.objective, abs=1e-12)
    (line,) = with_gid(axes, "objective")
    assert line.get_xdata()[0] == pytest.approx(parts.objective, abs=1e-12)
    assert steps[-1][1] - steps[-1][0] == pytest.approx(-parts.log_normaliser)


def test_areas__largest_first_and_unknown_named(parts):
    axes, heat, *_ = figures.contributions(figures.contributions_dataset(parts, AREAS), title="one cell").axes
    areas = parts.by_area(AREAS)
    order = np.argsort(-areas.value)
    assert names(axes) == [*([areas.area[k] or "unknown" for k in order]), "−ln Z"]
    np.testing.assert_allclose([end - start for start, end in bars(axes)[:-1]], areas.value[order], atol=1e-12)
    (image,) = heat.images
    np.testing.assert_allclose(image.get_array(), areas.pair[np.ix_(order, order)])
    assert image.norm.vmin == -image.norm.vmax


def test_one_area__units_are_drawn(parts):
    axes, heat, *_ = figures.contributions(figures.contributions_dataset(parts, ["V1"] * 5)).axes
    assert len(bars(axes)) == 6
    np.testing.assert_allclose(heat.images[0].get_array().sum(), parts.total)


def test_several_cells__means_of_areas_add_up_to_the_mean_objective():
    rng = np.random.default_rng(1)
    sizes = {0: 4, 1: 3, 2: 5}
    data = xr.Dataset(
        {
            "contribution": (("repetition", "pair"), np.full((4, 10), np.nan)),
            "log_normaliser": ("repetition", [0.1, -0.02, 0.05, np.nan]),
            "drawn_area": (("repetition", "drawn"), np.full((4, 5), "", dtype="U2")),
        }
    )
    expected = []
    for cell, n_unit in sizes.items():
        value = rng.normal(size=n_unit * (n_unit - 1) // 2)
        data["contribution"][cell, : len(value)] = value
        data["drawn_area"][cell, :n_unit] = ["V1", "LM", "V1", "AL", "AL"][:n_unit]
        expected.append(value.sum() - float(data["log_normaliser"][cell]))
    figure = figures.contributions(data)
    assert bars(figure.axes[0])[-1][1] == pytest.approx(np.mean(expected), abs=1e-12)
    assert sorted(names(figure.axes[0])) == ["AL", "LM", "V1", "−ln Z"]
    assert "Means over 3 cells" in figure.get_label()


def test_flow__rows_are_the_later_units():
    value = np.zeros((3, 3))
    value[2, 0] = 0.5
    parts = Contributions(value.reshape(-1), 0.0, n_unit=3, observable="flow")
    data = figures.contributions_dataset(parts, ["A", "B", "C"])
    heat = figures.contributions(data, observable="flow").axes[1]
    row, column = np.argwhere(heat.images[0].get_array() > 0)[0]
    assert (names(heat)[row], names(heat)[column]) == ("C", "A")
    assert (heat.get_ylabel(), heat.get_xlabel()) == ("later", "earlier")


def test_nothing_to_draw__says_so():
    data = xr.Dataset({"contribution": ("pair", np.full(3, np.nan)), "log_normaliser": np.nan})
    assert "no cell has contributions" in figures.contributions(data).get_label()


def test_missing_variables_are_named():
    with pytest.raises(NeqError, match="lack log_normaliser; were they stored"):
        figures.contributions(xr.Dataset({"contribution": ("pair", np.ones(3))}))


def test_many_units__are_numbered_by_rank_and_draw_without_a_warning():
    parts = Contributions(np.random.default_rng(2).normal(0.0, 1e-3, 60 * 59 // 2), -0.01, n_unit=60)
    figure = figures.contributions(figures.contributions_dataset(parts))
    figure.draw_without_rendering()
    assert names(figure.axes[0]) == ["1", "−ln Z"]
    assert names(figure.axes[1]) == ["1", "60"]
