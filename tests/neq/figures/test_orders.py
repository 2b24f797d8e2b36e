from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neq import OrderDecomposition, Transitions, figures
from neq.errors import NeqError


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    spikes = np.tile(np.eye(3, dtype=bool), (3000, 1)) ^ (rng.random((9000, 3)) < 0.2)
    return OrderDecomposition(max_order=2).fit(Transitions.from_spikes(spikes), seed=0)


def points(axes, name=""):
    found = [line for line in axes.lines if str(line.get_gid()).startswith("order ")]
    return [line for line in found if str(line.get_gid()).endswith(f":{name}")]


def intervals(axes, name=""):
    (lines,) = [artist for artist in axes.collections if artist.get_gid() == f"intervals:{name}"]
    return np.array([path.vertices[:, 1] for path in lines.get_paths()])


def test_orders__values_and_intervals_are_those_of_the_result(result):
    values, increments = figures.orders(result, title="ring").axes
    for axes, middle, ends in (
        (values, result.entropy_production, result.interval),
        (increments, result.increment, result.increment_interval),
    ):
        np.testing.assert_array_equal([line.get_ydata()[0] for line in points(axes)], middle)
        np.testing.assert_array_equal(intervals(axes), ends)
        assert [line.get_xdata()[0] for line in points(axes)] == [1, 2]


def test_order_1_is_marked_as_the_drift_check(result):
    figure = figures.orders(result)
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["drift\ncheck"]
    assert "Order 1 telescopes" in figure.get_label()
    assert "order 2 need not equal the value of MaxEnt" in figure.get_label()


def test_orders__hollow_where_validation_preferred_the_order_below(result):
    turned_down = replace(result, quality=(frozenset(), frozenset({"no_evidence"})))
    for axes in figures.orders(turned_down).axes:
        assert [line.get_markerfacecolor() == "white" for line in points(axes)] == [False, True]
    assert "Hollow" in figures.orders(turned_down).get_label()
    sure = replace(result, quality=(frozenset(), frozenset({"tail_limited"})))
    assert "Hollow" not in figures.orders(sure).get_label()


def test_orders__conditions_stand_side_by_side(result):
    one = figures.orders_dataset(result)
    data = xr.concat([one, 2 * one], xr.Variable("condition", ["active", "passive"]))
    data["order_quality"] = one["order_quality"].expand_dims(condition=data["condition"])
    figure = figures.orders(data)
    active, passive = (points(figure.axes[0], name) for name in ("active", "passive"))
    assert passive[1].get_ydata()[0] == 2 * active[1].get_ydata()[0]
    assert active[1].get_xdata()[0] < 2 < passive[1].get_xdata()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["active", "passive"]


def test_orders__without_intervals_says_so(result):
    none = np.full((2, 2), np.nan)
    figure = figures.orders(replace(result, interval=none, increment_interval=none))
    figure.draw_without_rendering()
    assert "No intervals" in figure.get_label()


def test_orders__nothing_to_draw(result):
    data = figures.orders_dataset(result)
    data["order_increment"] = data["order_increment"] * np.nan
    assert "no order has a value" in figures.orders(data).get_label()


def test_orders__names_what_is_wrong(result):
    data = figures.orders_dataset(result)
    with pytest.raises(NeqError, match="lack order_increment_low"):
        figures.orders(data.drop_vars("order_increment_low"))
    with pytest.raises(NeqError, match="have the dimensions repetition"):
        figures.orders(data.expand_dims(repetition=2))
