import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import SymLogNorm

from neq import figures
from neq.errors import NeqError
from neq.figures import coupling_matrix, coupling_order, style
from neq.figures.coupling import spread_labels

AREAS = np.array(["V1"] * 5 + ["LM"] * 4 + ["V1"] * 3)


@pytest.fixture
def theta():
    return np.random.default_rng(3).laplace(0.0, 0.03, 12 * 11 // 2)


def drawn(figure):
    (image,) = figure.axes[0].images
    return image


def test_coupling_matrix__signs_and_order_of_pairs():
    theta = np.arange(1.0, 7.0)
    matrix = coupling_matrix(theta)
    k = 0
    for i in range(4):
        for j in range(i + 1, 4):
            assert matrix[i, j] == theta[k] == -matrix[j, i]
            k += 1
    assert np.diag(matrix).tolist() == [0.0] * 4


def test_coupling_matrix__flow_is_taken_as_it_is():
    assert coupling_matrix(np.arange(9.0), "flow").tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_coupling_matrix__drops_padding_and_takes_dataarrays():
    padded = xr.DataArray([1.0, 2.0, 3.0, np.nan, np.nan], dims="pair")
    assert coupling_matrix(padded).shape == (3, 3)


@pytest.mark.parametrize(
    ("theta", "observable", "message"),
    [
        (np.ones(4), "antisymmetric", "4 couplings fit no number of units"),
        (np.ones(8), "flow", "8 couplings fit no number of units"),
        (np.full(3, np.nan), "antisymmetric", "0 couplings fit .* was theta stored"),
        (np.array([1.0, np.nan, 1.0]), "antisymmetric", "1 of 3 couplings are NaN"),
        (np.ones(3), "sum", 'observable must be "antisymmetric" or "flow", got "sum"'),
    ],
)
def test_coupling_matrix__names_what_is_wrong(theta, observable, message):
    with pytest.raises(NeqError, match=message):
        coupling_matrix(theta, observable)


def test_coupling_order__areas_are_contiguous_and_complete(theta):
    order = coupling_order(coupling_matrix(theta), AREAS)
    assert sorted(order.tolist()) == list(range(12))
    assert AREAS[order].tolist() == ["LM"] * 4 + ["V1"] * 8


def test_coupling_order__finds_hidden_groups():
    """Two groups with strong couplings inside, units dealt out at random: each group ends up in one piece."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat([0, 1], 10))
    matrix = np.where(group[:, None] == group[None], 1.0, 0.05) * rng.uniform(0.5, 1.0, (20, 20))
    matrix = np.triu(matrix, 1) - np.triu(matrix, 1).T
    ordered = group[coupling_order(matrix, np.full(20, ""))]
    assert np.count_nonzero(np.diff(ordered)) == 1


def test_coupling_order__does_not_mind_the_sign(theta):
    matrix = coupling_matrix(theta)
    np.testing.assert_array_equal(coupling_order(matrix, AREAS), coupling_order(-matrix, AREAS))


def test_coupling__draws_the_ordered_matrix(theta):
    matrix = coupling_matrix(theta)
    order = coupling_order(matrix, AREAS)
    image = drawn(figures.coupling(theta, AREAS))
    np.testing.assert_array_equal(image.get_array(), matrix[np.ix_(order, order)])
    np.testing.assert_array_equal(image.get_array(), -image.get_array().T)


def test_coupling__colours_are_symmetric_log(theta):
    norm = drawn(figures.coupling(theta, AREAS)).norm
    assert isinstance(norm, SymLogNorm)
    assert norm.linthresh == 0.02
    assert norm.vmax == -norm.vmin == np.abs(theta).max()
    assert float(norm(0.0)) == pytest.approx(0.5)


@pytest.mark.parametrize(("scale", "linear"), [(1.0, 0.02), (0.01, 0.01 * 0.2)])
def test_coupling__linear_part_shrinks_with_small_couplings_and_is_stated(scale, linear):
    figure = figures.coupling(np.array([1.0, -0.3, 0.5]) * scale)
    assert drawn(figure).norm.linthresh == pytest.approx(linear)
    assert f"Colours linear within ±{linear:.2g}." in figure.get_label()


def test_coupling__zero_couplings_are_drawn():
    assert drawn(figures.coupling(np.zeros(3))).norm.vmax == 0.02


def test_coupling__areas_on_both_axes_with_lines_between(theta):
    figure = figures.coupling(theta, AREAS)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["LM", "V1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["LM", "V1"]
    assert axes.get_xticks().tolist() == [1.5, 7.5]
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert sorted((list(line.get_xdata()), list(line.get_ydata())) for line in dotted) == [
        ([0, 1], [3.5, 3.5]),
        ([3.5, 3.5], [0, 1]),
    ]
    assert "areas LM 4, V1 8" in figure.get_label()


def test_coupling__unknown_area_has_no_lines_and_numbers_on_the_axes(theta):
    axes = figures.coupling(theta).axes[0]
    assert not axes.lines
    assert axes.get_xlabel() == "earlier unit j"
    assert len(axes.get_xticks()) > 2


def test_coupling__part_of_the_areas_unknown(theta):
    axes = figures.coupling(theta, ["V1"] * 6 + [""] * 6).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["unknown", "V1"]


def test_coupling__colour_bar_has_units_and_readable_ticks(theta):
    bar = drawn(figures.coupling(theta, AREAS)).colorbar
    labels = [label.get_text() for label in bar.ax.get_yticklabels()]
    assert "nats" in bar.ax.get_ylabel()
    assert labels[len(labels) // 2] == "0"
    assert {"0.02", "−0.02"} <= set(labels)


def test_coupling__wrong_number_of_areas(theta):
    with pytest.raises(NeqError, match="theta of 12 units needs as many areas, got 2"):
        figures.coupling(theta, ["a", "b"])


@pytest.mark.parametrize("n_unit", [12, 150])
def test_coupling__fits_its_page(n_unit):
    rng = np.random.default_rng(0)
    figure = figures.coupling(rng.normal(0, 0.1, n_unit * (n_unit - 1) // 2), rng.choice(list("abcde"), n_unit))
    assert figure.get_size_inches()[0] == (style.COLUMN if n_unit == 12 else style.WIDE)
    figure.draw_without_rendering()
    box, page = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.x1 <= page[0]
    assert box.y0 >= 0
    assert box.y1 <= page[1]


def test_spread_labels__keeps_the_gap_and_the_order():
    places = spread_labels(np.array([0.0, 0.5, 1.0, 9.0]), 2.0)
    assert (np.diff(places) >= 2.0 - 1e-12).all()
    assert places[-1] == 9.0
    assert places[:3].mean() == pytest.approx(0.5)
