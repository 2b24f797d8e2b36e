import numpy as np
import pytest
import reference

import neq
from neq.errors import ConfigError, ImpossibleError, SelectionError
from neq.spikes.selection import draw_units
from workflows import config as configs
from workflows.studies import study_class
from workflows.studies.base import Prepared, Source
from workflows.studies.neural_config import axis_section, expand
from workflows.studies.population import open_population

BASE = """
recordings: {kind: synthetic, sessions: [a, b], options: {n_unit: 12, duration: 60}}
conditions: [driven, weak, reversible]
sizes: [4, 8, all]
repetitions: 2
"""


def load(folder, text=BASE, *overrides):
    path = folder / "study.yaml"
    path.write_text(text)
    return configs.load(path, list(overrides))


def make(folder, *overrides, text=BASE):
    config = load(folder, text, *overrides)
    return study_class(config.study)(config)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a study and what its ingest prepared for session a."""
    folder = tmp_path_factory.mktemp("run")
    study = make(folder)
    return folder, study, study.ingest(study.sources()[0], folder)


def cell_of(**labels):
    return {"session": "a", "condition": "driven", "size": 4, "repetition": 0} | labels


def compute(run, **labels):
    folder, study, prepared = run
    cell = cell_of(**labels)
    return study.compute(cell, study.open_inputs(cell, prepared, folder))


def test_axes__in_order_with_all_as_zero(tmp_path):
    axes = make(tmp_path, "axes.surrogate=[none, time_reversal]").axes()
    assert [axis.name for axis in axes] == ["session", "condition", "surrogate", "size", "repetition"]
    assert axes[3].labels == (4, 8, 0)


def test_compute__is_the_estimate_of_the_drawn_units(run):
    _folder, _study, _prepared = run
    values = compute(run)
    spikes = neq.bin_spikes(neq.read_recording(kind="synthetic", session="a", n_unit=12, duration=60), 0.01)
    mask = spikes["condition_mask"].sel(condition="driven").values
    ids = spikes["unit"].values
    drawn = draw_units(ids, np.ones(12), 4, "random", root=0, session="a", repetition=0)
    assert values["drawn_unit"].tolist() == ids[drawn].tolist()
    array = spikes["spikes"].values[mask][:, drawn]
    transitions = neq.Transitions.from_spikes(array)
    assert values["n_transition"] == len(reference.transition_pairs(np.zeros(len(array)), 1))
    seed = neq.seeds.seed_sequence(0, session="a", condition="driven", repetition=0, role="split")
    result = neq.MaxEnt().fit(transitions, seed=seed)
    assert values["entropy_production"] == result.entropy_production
    assert values["interval_low"] == result.interval[0]
    assert values["entropy_production_rate"] == pytest.approx(result.entropy_production / 0.01)
    per_spike = result.entropy_production / result.spikes_per_bin
    assert values["entropy_production_per_spike"] == pytest.approx(per_spike)


def test_compute__lag_enters_the_rate(run, tmp_path):
    folder, _, prepared = run
    study = make(tmp_path, "estimator.lag=3")
    cell = cell_of()
    values = study.compute(cell, study.open_inputs(cell, prepared, folder))
    assert values["entropy_production_rate"] == pytest.approx(values["entropy_production"] / 0.03)


def test_compute__every_output_is_declared(run, tmp_path):
    folder, _, prepared = run
    study = make(tmp_path, "store=[theta]")
    declared = {output.name: output for output in study.outputs()}
    cell = cell_of(size=0)
    values = study.compute(cell, study.open_inputs(cell, prepared, folder))
    assert set(values) == {*declared, "quality"}
    lengths = study.dimensions([prepared])
    assert len(values["drawn_unit"]) == lengths["drawn"] == 12
    assert len(values["theta"]) == lengths["pair"] == 66


def test_compute__exact_value_only_where_the_whole_network_is_drawn(run):
    assert "exact_entropy_production" not in compute(run, size=8)
    whole = compute(run, size=0)
    recording = neq.read_recording(kind="synthetic", session="a", n_unit=12, duration=60)
    assert whole["exact_entropy_production"] == recording.source["exact"]["driven"]["entropy_production"]


def test_compute__half_only_in_the_first_repetition(run):
    assert np.isfinite(compute(run)["entropy_production_half"])
    assert np.isnan(compute(run, repetition=1)["entropy_production_half"])


def test_draws__paired_over_condition_and_nested_over_size(run):
    drawn = {
        (condition, size): set(compute(run, condition=condition, size=size)["drawn_unit"].tolist())
        for condition in ("driven", "weak")
        for size in (4, 8)
    }
    assert drawn["driven", 4] == drawn["weak", 4]
    assert drawn["driven", 4] < drawn["driven", 8]


def test_compute__too_many_units_and_unknown_conditions_are_impossible(run):
    with pytest.raises(ImpossibleError, match="13 asked, 12 eligible"):
        compute(run, size=13)
    with pytest.raises(ImpossibleError, match="no condition 'sleep'; it has driven, weak, reversible"):
        compute(run, condition="sleep")


def test_compute__no_unit_left_is_a_named_failure(run, tmp_path):
    folder, _, prepared = run
    study = make(tmp_path, "selection.area=X*")
    with pytest.raises(SelectionError, match="no unit is left"):
        study.open_inputs(cell_of(), prepared, folder)


def test_open_population__a_gap_inside_a_segment_number_is_a_border(tmp_path):
    # Condition inner lies inside outer; rest is outer before and after it, so that its bins have a gap.
    rng = np.random.default_rng(0)
    spikes = rng.random((300, 3)) < 0.3
    epochs = [
        {"condition": "rest", "start": 0.0, "stop": 1.0},
        {"condition": "inner", "start": 1.0, "stop": 2.0},
        {"condition": "rest", "start": 2.0, "stop": 3.0},
    ]
    np.savez(tmp_path / "x.npz", S=spikes, bin_size=0.01)
    text = f"recordings: {{path: {tmp_path / 'x.npz'}, options: {{epochs: {epochs}}}}}\nsizes: [2]\nconditions: [rest]"
    study = make(tmp_path, text=text)
    prepared = study.ingest(study.sources()[0], tmp_path)
    population, _ = study.open_inputs({"condition": "rest"}, prepared, tmp_path)
    assert population.transitions.n_transition == 2 * 99


def test_settings__hold_what_changes_a_number_and_nothing_else(tmp_path):
    settings = make(tmp_path).settings()
    assert settings == make(tmp_path, "sizes=[4]", "repetitions=9", "conditions=[weak]").settings()
    assert (
        settings
        == make(tmp_path, "cluster.workers=3", "results=elsewhere", "figures.value=entropy_production").settings()
    )
    for override in ("seed=1", "selection.minimum_activity=0.1", "estimator.lag=2", "binning.bin_size=0.02"):
        assert settings != make(tmp_path, override).settings()
    assert "lag" not in make(tmp_path, "axes.lag=[1, 2]").settings()["estimator"]


def test_sources__one_per_session_and_bin_size(tmp_path):
    study = make(tmp_path, "axes.bin_size=[0.01, 0.02]")
    assert [source.labels for source in study.sources()] == [
        {"session": session, "bin_size": size} for session in ("a", "b") for size in (0.01, 0.02)
    ]
    assert study.sources()[1].spec["bin_size"] == 0.02


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sizes=[1]", "sizes"),
        ("sizes=[4, 4]", "a label stands twice"),
        ("axes.lags=[1]", "lags cannot be an axis; these can: observable, split, lag"),
        ("axes.lag=[1, 1]", "a label stands twice"),
        ("axes.lag=[0]", "axes"),
        ("binning.bin_size=0", "binning.bin_size"),
        ("binning.bin_size=-1", "binning.bin_size"),
        ("recordings.sessions=[a, a]", "a session is named twice"),
        ("selection.quality={snr: big}", "expected a comparison"),
        ("estimator.splitt=shuffled", "split"),
    ],
)
def test_config__problems_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load(tmp_path, BASE, override)


def test_config__two_files_of_one_name_need_names(tmp_path):
    text = "recordings: {path: [x/a.npz, y/a.npz]}\nsizes: [4]"
    with pytest.raises(ConfigError, match="two sources would be session a"):
        load(tmp_path, text)
    named = load(tmp_path, "recordings: {path: {one: x/a.npz, two: y/a.npz}}\nsizes: [4]")
    assert [name for name, _ in named.session_paths()] == ["one", "two"]


def test_expand__sorted_matches_or_the_pattern_itself(tmp_path):
    for name in ("b.npz", "a.npz"):
        (tmp_path / name).touch()
    assert expand(str(tmp_path / "*.npz")) == [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
    assert expand(str(tmp_path / "*.nwb")) == [str(tmp_path / "*.nwb")]


def test_ingest__a_missing_file_is_the_readers_sentence(tmp_path):
    study = make(tmp_path, text="recordings: {path: nowhere.npz}\nsizes: [4]")
    with pytest.raises(neq.NeqError, match="does not exist"):
        study.ingest(study.sources()[0], tmp_path)


def test_axis_section__knows_estimator_and_binning():
    assert axis_section("lag").model_fields["lag"].default == 1
    assert "bin_size" in axis_section("bin_size").model_fields


def test_figures__of_a_small_run(run):
    _folder, study, prepared = run
    assert isinstance(prepared, Prepared)
    assert isinstance(study.sources()[0], Source)
    assert study.cost(cell_of(size=8), prepared.facts) > study.cost(cell_of(size=4), prepared.facts)
    assert open_population.cache_info().maxsize == 4
