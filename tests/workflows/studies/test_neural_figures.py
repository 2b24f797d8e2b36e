import numpy as np
import pytest
import xarray as xr

from workflows import config as configs
from workflows.studies import neural_figures, study_class

TEXT = """
recordings: {{path: {path}, options: {{condition: all}}}}
sizes: [3, all]
repetitions: 1
estimator: {{n_draw: 99, cross_fit: 4}}
store: [theta, contributions, scores, orders]
binning: {{bin_size: 0.01}}
"""


def make(folder, *overrides):
    path = folder / "study.yaml"
    path.write_text(TEXT.format(path=folder / "x.npz"))
    config = configs.load(path, list(overrides))
    return study_class(config.study)(config)


def dataset_of(study, prepared, folder):
    """Return the cells of a study as `neq.open_run` would, computed here."""
    axes, lengths = study.axes(), study.dimensions([prepared])
    shape = [len(axis.labels) for axis in axes]
    names = [axis.name for axis in axes]
    outputs = {output.name: output for output in study.outputs()}
    kinds = {"str": np.dtypes.StringDType(), "f4": np.dtype("f4")}
    arrays = {
        name: np.full(
            [*shape, *(lengths[dim] for dim in one.dims)],
            "" if one.dtype == "str" else np.nan,
            kinds.get(one.dtype, np.dtype(float)),
        )
        for name, one in outputs.items()
    }
    for index in np.ndindex(*shape):
        cell = {axis.name: axis.labels[i] for axis, i in zip(axes, index, strict=True)}
        for name, value in study.compute(cell, study.open_inputs(cell, prepared, folder)).items():
            if name != "quality":
                arrays[name][(*index, *(slice(n) for n in np.shape(value)))] = value
    variables = {name: ((*names, *outputs[name].dims), array) for name, array in arrays.items()}
    variables["status"] = (names, np.full(shape, "ok"))
    return xr.Dataset(variables, {axis.name: list(axis.labels) for axis in axes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return folder and dataset of five units that fire in turn, in ten trials of 3 s, at two lags."""
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    spikes = np.tile(np.eye(5, dtype=bool), (600, 1)) ^ (rng.random((3000, 5)) < 0.3)
    np.savez(folder / "x.npz", S=spikes, bin_size=0.01, trial_id=np.repeat(np.arange(10), 300), area=list("ABABA"))
    study = make(folder, "axes.lag=[1, 2]")
    prepared = study.ingest(study.sources()[0], folder)
    return folder, dataset_of(study, prepared, folder)


def draw(run, *overrides):
    folder, dataset = run
    study = make(folder, "axes.lag=[1, 2]", *overrides)
    return study.figures(dataset, study.reduce(dataset))


@pytest.fixture(scope="module")
def drawn(run):
    """Return the figures of the run as its config asks for them."""
    return draw(run)


def test_draw__one_figure_for_each_thing_that_is_stored(drawn):
    assert set(drawn) == {"lag", "scaling", "coupling", "contributions", "orders", "events_trial"}
    for name, figure in drawn.items():
        assert figure.axes, f"{name}: {figure.get_label()}"


def test_draw__one_size_needs_no_scaling_beside_the_lag(run):
    folder, dataset = run
    assert "scaling" not in draw((folder, dataset.isel(size=[-1])))
    assert "scaling" in draw((folder, dataset.isel(size=[-1], lag=[0])))


def test_draw__rate_against_the_lag(run, drawn):
    _, dataset = run
    axes = drawn["lag"].axes[0]
    assert axes.get_xlabel() == "Lag (bins)"
    (line,) = [one for one in axes.lines if str(one.get_gid()).startswith("line:")]
    expected = dataset["entropy_production"].isel(size=-1).values.ravel() / (0.01 * np.array([1, 2]))
    np.testing.assert_allclose(line.get_xydata(), np.transpose([[1, 2], expected]))


def test_contributions__reach_the_value_of_the_chosen_cell(run):
    _, dataset = run
    figure = draw(run, "figures.coupling={lag: 2}")["contributions"]
    value = dataset["entropy_production_uncapped"].sel(lag=2, size=0).item()
    assert f"J = {value:.3g}" in [text.get_text() for text in figure.axes[0].texts]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:-1] in (["A", "B"], ["B", "A"])
    assert figure.get_suptitle() == "x, all, lag 2, N = 5"


def test_events__mean_score_after_the_starts_of_trials(run):
    _, dataset = run
    figure = draw(run, "figures.window=[0.02, 0.05]")["events_trial"]
    assert figure.axes, figure.get_label()
    (line,) = [one for one in figure.axes[0].lines if one.get_gid() == "line:average"]
    cell = dataset.isel(session=0, condition=0, lag=0, size=-1, repetition=0)
    time, score = cell["score_time"].values, cell["score"].values.astype(float)
    since = np.rint(time / 0.01) % 300
    expected = [np.nan] * 3 + [np.nanmean(score[since == k]) for k in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose(line.get_xdata(), 10.0 * np.arange(-2, 6))
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


def test_events__kinds_are_named_or_found(run, drawn):
    assert "events_all" not in drawn
    named = draw(run, "figures.events=[all, sleep]")
    assert {name for name in named if name.startswith("events")} == {"events_all", "events_sleep"}
    assert "no such event" in named["events_sleep"].get_label()


def test_orders__of_the_largest_size(run, drawn):
    _, dataset = run
    figure = drawn["orders"]
    cell = dataset["order_increment"].isel(session=0, condition=0, lag=0, size=-1, repetition=0).values
    (mark,) = [one for one in figure.axes[1].lines if str(one.get_gid()).startswith("order 2")]
    assert mark.get_ydata().tolist() == [cell[1]]


def test_draw__a_cell_without_a_result_is_said(run):
    folder, dataset = run
    states = dataset["status"].astype("U10").copy()
    states[:] = "failed"
    states.loc[{"lag": 2}] = "ok"
    drawn = draw((folder, dataset.assign(status=states)))
    for name in ("coupling", "contributions", "orders", "events"):
        assert "this cell is failed" in drawn[name].get_label()


@pytest.mark.parametrize("lag", [1, 3])
def test_bins_and_runs__end_at_gaps_and_trials_and_not_at_other_borders(lag):
    # bins 0-9, a border without a gap before bin 10, a gap after bin 19, a trial from bin 35 on
    bins = [np.arange(0, 10), np.arange(10, 20), np.arange(25, 35), np.arange(35, 45)]
    time = 5.0 + 0.1 * np.concatenate([stretch[lag:] for stretch in bins])
    found, run = neural_figures._bins_and_runs(time, np.array([5.0 + 3.5]), 0.1, lag)
    np.testing.assert_array_equal(found, np.concatenate([stretch[lag:] for stretch in bins]))
    np.testing.assert_array_equal(run, np.repeat([0, 0, 1, 2], 10 - lag))


@pytest.mark.parametrize("shift", [0.05, 0.0501, 0.0499, 0.07])
@pytest.mark.parametrize("lag", [1, 2])
def test_bins_and_runs__trials_whose_bins_are_a_fraction_apart(lag, shift):
    # every trial has bins of its own: of two trials half a bin apart, no two bins may become one
    starts = 3.0 * np.arange(4) + shift * np.arange(4)
    time = np.concatenate([start + 0.1 * np.arange(lag, 20) for start in starts])
    bins, run = neural_figures._bins_and_runs(time, starts, 0.1, lag)
    np.testing.assert_array_equal(run, np.repeat(np.arange(4), 20 - lag))
    for number in range(4):
        np.testing.assert_array_equal(np.diff(bins[run == number]), 1)
    assert len(set(bins)) == len(bins)
    event = neural_figures._event_bins(starts + 0.5, time, bins, 0.1)
    np.testing.assert_array_equal(event, [bins[run == number][0] - lag + 5 for number in range(4)])
    begin = neural_figures._event_bins(starts, time, bins, 0.1)
    np.testing.assert_array_equal(begin, [bins[run == number][0] - lag for number in range(4)])
