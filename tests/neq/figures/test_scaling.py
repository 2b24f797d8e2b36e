from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from neq import figures
from neq.errors import NeqError
from neq.figures import style
from neq.summary import summarise
from neq.variables import QUALITY_FLAGS

VALUE = "entropy_production_per_spike"


def by_gid(axes, gid):
    """Return the one artist of these axes with this gid."""
    found = [artist for artist in axes.get_children() if artist.get_gid() == gid]
    assert len(found) == 1, f"{gid}: {[artist.get_gid() for artist in axes.get_children() if artist.get_gid()]}"
    return found[0]


def points(axes, gid):
    return np.transpose(by_gid(axes, gid).get_data())


def bar_heights(axes, gid):
    return np.array([(high - low) / 2 for (_, low), (_, high) in by_gid(axes, gid).get_segments()])


def legend_labels(figure):
    legends = [legend for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)) if legend]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


@pytest.fixture
def dataset(make_cells):
    return make_cells(3, ("active", "passive"), surrogate=("none", "time_reversal"))


def test_scaling__draws_the_summary(dataset):
    summary = summarise(dataset)
    left, _ = figures.scaling(dataset).axes
    for condition, surrogate in (("active", "none"), ("passive", "none"), ("passive", "time_reversal")):
        series = summary.sel(condition=condition, surrogate=surrogate)
        name = f"{condition}:{surrogate}"
        expected = np.transpose([series["n_unit"], series[VALUE]])
        np.testing.assert_allclose(points(left, f"line:{name}"), expected)
        np.testing.assert_allclose(points(left, f"filled:{name}"), expected)
        np.testing.assert_allclose(bar_heights(left, f"bars:{name}"), series[f"{VALUE}_sem"])
    assert points(left, "line:active:none")[-1, 0] == 40  # the size `all` stands where its units are


def test_scaling__takes_a_summary_too(dataset):
    one, two = figures.scaling(dataset), figures.scaling(summarise(dataset))
    np.testing.assert_array_equal(points(one.axes[0], "line:active:none"), points(two.axes[0], "line:active:none"))
    assert one.get_label() == two.get_label()


def test_scaling__conditions_by_colour_and_marker_nulls_grey(dataset):
    left = figures.scaling(dataset).axes[0]
    active, passive = by_gid(left, "filled:active:none"), by_gid(left, "filled:passive:none")
    assert active.get_color() != passive.get_color()
    assert active.get_marker() != passive.get_marker()
    null = by_gid(left, "line:active:time_reversal")
    assert null.get_color() == style.GREY
    assert null.is_dashed()
    assert not by_gid(left, "line:active:none").is_dashed()
    assert by_gid(left, "filled:active:time_reversal").get_marker() == active.get_marker()


def test_scaling__draws_paired_differences_of_the_data(dataset):
    summary = summarise(dataset).sel(contrast="active − passive", surrogate="none")
    right = figures.scaling(dataset).axes[1]
    expected = np.transpose([[10, 20, 40], summary[f"{VALUE}_difference"]])
    np.testing.assert_allclose(points(right, "line:active − passive"), expected)
    np.testing.assert_allclose(bar_heights(right, "bars:active − passive"), summary[f"{VALUE}_difference_sem"])
    assert "difference" in right.get_ylabel()


def test_scaling__legend_and_labels(dataset):
    figure = figures.scaling(dataset)
    assert legend_labels(figure) == ["active", "passive", "null: time reversal", "active − passive"]
    assert figure.axes[0].get_ylabel().replace("\n", " ") == "Entropy production per spike (nats/spike)"
    assert figure.axes[0].get_xlabel() == "Number of units"


def test_scaling__hollow_where_limited(make_cells):
    dataset = make_cells(2, ("a",), repetitions=4)
    dataset["quality"].values[:, 0, 0, :2] = QUALITY_FLAGS["data_limited"]  # half of size 10
    dataset["quality"].values[:, 0, 1, 0] = QUALITY_FLAGS["tail_limited"]  # a quarter of size 20
    figure = figures.scaling(dataset)
    axes = figure.axes[0]
    assert points(axes, "hollow:a:")[:, 0].tolist() == [10]
    assert points(axes, "filled:a:")[:, 0].tolist() == [20, 40]
    assert by_gid(axes, "hollow:a:").get_markerfacecolor() == "white"
    assert "limited" in legend_labels(figure)
    assert "Hollow: half or more of the cells are data-limited, or half or more tail-limited." in figure.get_label()


def test_scaling__says_that_mtur_is_never_hollow(make_cells):
    dataset = make_cells(1, ("a",), method=("maxent", "mtur"))
    assert "MTUR" not in figures.scaling(dataset).get_label()
    dataset["quality"].loc[{"method": "maxent"}] = QUALITY_FLAGS["no_evidence"]
    assert "without evidence. MTUR is not examined" in figures.scaling(dataset).get_label()
    alone = dataset.assign_coords(method=["maxent", "newton_step"])
    assert "MTUR" not in figures.scaling(alone).get_label()


def test_scaling__capped_points_are_crossed(make_cells):
    dataset = make_cells(1, ("a",))
    dataset["quality"].values[:, :, 2] = QUALITY_FLAGS["capped"]
    figure = figures.scaling(dataset)
    assert points(figure.axes[0], "capped:a:")[:, 0].tolist() == [40]
    assert "capped" in legend_labels(figure)
    assert "capped at ln n" in figure.get_label()


def test_scaling__caption_says_what_was_averaged_and_what_is_missing(make_cells, spoil):
    dataset = spoil(make_cells(3, repetitions=5), "impossible", session="s0", size=0)
    dataset = spoil(dataset, "failed", session="s1", size=10, repetition=2, condition="active")
    text = figures.scaling(dataset).get_label()
    assert "Means over repetitions (n = 4 to 5), then over 2 to 3 sessions (no animal ids); bars: SEM over" in text
    assert "79/90 cells, 10 impossible, 1 failed." in text


def test_scaling__errors_are_over_animals_where_these_are_known(make_cells, spoil):
    dataset = make_cells(5).assign_coords(subject=("session", ["m1", "m1", "m2", "m2", "m3"]))
    figure, summary = figures.scaling(dataset), summarise(dataset)
    assert "then over 3 animals (5 sessions); bars: SEM over animals." in figure.get_label()
    active = summary.sel(condition="active")
    np.testing.assert_allclose(bar_heights(figure.axes[0], "bars:active:"), active[f"{VALUE}_sem"])
    np.testing.assert_allclose(points(figure.axes[0], "line:active:")[:, 1], active[VALUE])
    difference = summary[f"{VALUE}_difference_sem"].squeeze("contrast")
    np.testing.assert_allclose(bar_heights(figure.axes[1], "bars:active − passive"), difference)
    fewer = spoil(spoil(dataset, "impossible", subject="m2", size=0), "impossible", subject="m3", size=0)
    text = figures.scaling(fewer).get_label()
    assert (
        "1 to 3 animals (2 to 5 sessions); bars: SEM over animals, SD over repetitions where there is one animal"
        in text
    )
    assert (
        "5 sessions (of one animal); bars: SEM over sessions"
        in figures.scaling(dataset.assign_coords(subject=("session", ["m1"] * 5))).get_label()
    )


def test_scaling__caption_is_printed_on_the_figure(dataset):
    figure = figures.scaling(dataset)
    (printed,) = [text for text in figure.texts if text.get_gid() == "caption"]
    assert printed.get_text().replace("\n", " ") == figure.get_label()


def test_scaling__one_session_shows_spread_over_repetitions(make_cells):
    dataset = make_cells(1, ("all",), repetitions=6)
    figure = figures.scaling(dataset)
    (axes,) = figure.axes
    np.testing.assert_allclose(bar_heights(axes, "bars:all:"), summarise(dataset)[f"{VALUE}_spread"].values[0])
    assert "bars: SD over repetitions." in figure.get_label()
    assert figure.get_size_inches()[0] == style.COLUMN


def test_scaling__sessions_that_end_early_leave_spread_at_the_end(make_cells, spoil):
    figure = figures.scaling(spoil(make_cells(2, ("a",)), "impossible", session="s1", size=0))
    assert "SEM over sessions, SD over repetitions where there is one session" in figure.get_label()


def test_scaling__one_cell_per_point_has_no_bars(make_cells):
    figure = figures.scaling(make_cells(1, ("a",), repetitions=1))
    assert "no bars: one session, one repetition" in figure.get_label()
    assert not figure.axes[0].collections


def test_scaling__one_cell_per_point_shows_its_interval(make_cells):
    dataset = make_cells(1, ("a",), repetitions=1)
    per_transition = dataset[VALUE] * 7.0
    dataset = dataset.assign(entropy_production=per_transition)
    dataset = dataset.assign(interval_low=per_transition - 0.7, interval_high=per_transition + 1.4)
    figure = figures.scaling(dataset)
    (bars,) = [one for one in figure.axes[0].collections if str(one.get_gid()).startswith("interval:a")]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    value = points(figure.axes[0], "line:a:")[:, 1]
    # nats per transition, drawn per spike
    np.testing.assert_allclose(ends, np.stack([value - 0.1, value + 0.2], axis=1))
    assert "bars: 95% block bootstrap of a single cell." in figure.get_label()


def test_scaling__interval_of_a_cell_is_not_that_of_a_mean(make_cells):
    for n_session, repetitions in ((1, 3), (2, 1)):
        dataset = make_cells(n_session, ("a",), repetitions=repetitions)
        ends = {"interval_low": dataset[VALUE] - 1.0, "interval_high": dataset[VALUE] + 1.0}
        figure = figures.scaling(dataset.assign(entropy_production=dataset[VALUE], **ends))
        assert "bootstrap" not in figure.get_label()
        assert not [one for one in figure.axes[0].collections if str(one.get_gid()).startswith("interval:")]


def test_scaling__exact_value_at_the_whole_network(dataset):
    truth = xr.Dataset(
        {f"exact_{VALUE}": (("session", "condition"), [[0.004, 0.002], [0.006, 0.002]])},
        coords={"condition": ["active", "passive"]},
        attrs={"truth_size": 40},
    )
    figure = figures.scaling(dataset, truth=truth)
    left = figure.axes[0]
    assert points(left, "truth:active").tolist() == [[40.0, 0.005]]
    assert by_gid(left, "limit:passive").get_ydata() == [0.002, 0.002]
    assert by_gid(left, "truth:active").get_color() == by_gid(left, "filled:active:none").get_color()
    assert "exact, whole network" in legend_labels(figure)
    assert "do not bound its subsets" in figure.get_label()


def test_scaling__exact_values_are_averaged_as_the_estimates_are(make_cells):
    dataset = make_cells(3, ("a",)).assign_coords(subject=("session", ["m1", "m1", "m2"]))
    truth = xr.DataArray([0.1, 0.3, 0.6], dims="session", coords={"subject": dataset["subject"], "truth_size": 40})
    assert points(figures.scaling(dataset, truth=truth).axes[0], "truth:a")[0, 1] == pytest.approx(0.4)
    alone = dataset.drop_vars("subject")
    assert points(figures.scaling(alone, truth=truth).axes[0], "truth:a")[0, 1] == pytest.approx(1 / 3)


def test_scaling__truth_as_array_with_its_size(dataset):
    exact = xr.DataArray([0.1, 0.2], dims="condition", coords={"condition": ["active", "passive"], "truth_size": 40})
    assert points(figures.scaling(dataset, truth=exact).axes[0], "truth:passive").tolist() == [[40.0, 0.2]]


def test_scaling__a_panel_for_each_label_of_further_axes(make_cells):
    dataset = make_cells(2, observable=("antisymmetric", "flow"), lag=(1, 2))
    figure = figures.scaling(dataset)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["antisymmetric\nlag 1", "antisymmetric\nlag 2"]
    assert len(figure.axes) == 8  # and the differences below
    expected = summarise(dataset)[VALUE].sel(observable="flow", lag=1, condition="passive")
    np.testing.assert_allclose(points(figure.axes[2], "line:passive:")[:, 1], expected)


def test_scaling__panels_are_bounded(make_cells):
    figure = figures.scaling(make_cells(1, ("a",), lag=tuple(range(1, 10))))
    assert len(figure.axes) == 6
    figure.draw_without_rendering()
    below = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(below))
    assert "Shown: 6 of 9 panels." in figure.get_label()


def test_scaling__says_so_when_there_is_nothing(make_cells, spoil):
    assert figures.scaling(spoil(make_cells(), "failed")).get_label() == "Nothing to draw yet: 0/36 cells, 36 failed."


def test_scaling__skips_sizes_without_a_value(make_cells, spoil):
    axes = figures.scaling(spoil(make_cells(1, ("a",)), "impossible", size=20)).axes[0]
    assert points(axes, "line:a:")[:, 0].tolist() == [10, 40]


def test_scaling__unknown_value(make_cells):
    with pytest.raises(NeqError, match="no variable nothing"):
        figures.scaling(make_cells(), value="nothing")


@pytest.mark.parametrize("sessions", [1, 3])
def test_scaling__nothing_overlaps_or_leaves_the_page(make_cells, sessions):
    """Legends, labels and caption keep clear of each other at the printed size."""
    dataset = make_cells(sessions, ("active", "passive", "gabor"), surrogate=("none", "time_reversal"))
    truth = xr.DataArray([1e-3] * 3, dims="condition", coords={"condition": ["active", "passive", "gabor"]})
    figure = figures.scaling(dataset, truth=truth.assign_attrs(truth_size=40))
    with matplotlib.rc_context(style.RC):
        FigureCanvasAgg(figure).draw()
    page = figure.bbox
    renderer = figure.canvas.get_renderer()
    boxes = [legend.get_window_extent() for legend in (axes.get_legend() for axes in figure.axes)]
    boxes += [text.get_window_extent() for text in figure.texts]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    boxes += [label.get_window_extent() for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    for box in boxes:
        assert (box.min >= page.min).all()
        assert (box.max <= page.max).all()
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(sizes) >= 8.0
    assert renderer.width == round(style.PAGE * figure.dpi)
