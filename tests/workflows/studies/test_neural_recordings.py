import io
import json

import numpy as np
import pytest
import reference
import xarray as xr
from rich.console import Console

import neq
from neq.errors import ConfigError, ImpossibleError, SelectionError
from neq.spikes import surrogates
from neq.spikes.selection import draw_units
from workflows import config as configs
from workflows.commands import doctor, finding, pipeline, plan, plan_text
from workflows.studies import neural_recordings, study_class
from workflows.studies.base import Prepared
from workflows.studies.neural_config import axis_section
from workflows.studies.neural_figures import truth
from workflows.studies.neural_sessions import expand

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


@pytest.fixture(scope="module")
def spikes():
    """Return the bins of session a."""
    return neq.bin_spikes(neq.read_recording(kind="synthetic", session="a", n_unit=12, duration=60), 0.01)


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


def test_compute__is_the_estimate_of_the_drawn_units(run, spikes):
    values = compute(run)
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


def test_compute__lag_enters_the_rate_and_the_value_per_spike(tmp_path):
    # units that fire in turn have a direction three bins apart too
    spikes = np.tile(np.eye(5, dtype=bool), (800, 1)) ^ (np.random.default_rng(0).random((4000, 5)) < 0.2)
    np.savez(tmp_path / "x.npz", S=spikes, bin_size=0.01)
    text = f"recordings: {{path: {tmp_path / 'x.npz'}}}\nsizes: [all]\nestimator: {{lag: 3}}"
    study = make(tmp_path, text=text)
    prepared = study.ingest(study.sources()[0], tmp_path)
    cell = {"session": "x", "condition": "all", "size": 0, "repetition": 0}
    values = study.compute(cell, study.open_inputs(cell, prepared, tmp_path))
    assert values["entropy_production"] > 0.1
    assert values["entropy_production_rate"] == pytest.approx(values["entropy_production"] / 0.03)
    per_spike = values["entropy_production"] / (3 * values["spikes_per_bin"])
    assert values["entropy_production_per_spike"] == pytest.approx(per_spike)


def direct(spikes, drawn, labels, *, surrogate="none", lag=1, **options):
    """Return the estimate of a cell without the study: its units, its bins, its seeds."""
    mask = spikes["condition_mask"].sel(condition=labels["condition"]).values
    transitions = neq.Transitions.from_spikes(spikes["spikes"].values[mask][:, drawn], lag=lag)
    rng = neq.seeds.generator(0, **labels, surrogate=surrogate)
    turned = surrogates.surrogate(transitions, surrogate, rng)
    return neq.MaxEnt(**options).fit(turned, seed=neq.seeds.seed_sequence(0, **labels, role="split"))


@pytest.mark.parametrize(
    ("axis", "default", "label"),
    [
        ("surrogate", "none", "time_reversal"),
        ("surrogate", "none", "block_reversal"),
        ("observable", "antisymmetric", "flow"),
        ("split", "blocked", "shuffled"),
        ("lag", 1, 2),
    ],
)
def test_compute__label_of_an_estimator_axis_decides(run, spikes, tmp_path, axis, default, label):
    folder, _, prepared = run
    study = make(tmp_path, f"axes.{axis}=[{default}, {label}]")
    labels = {"session": "a", "condition": "driven", "repetition": 0}
    cells = [{**labels, "size": 6, axis: one} for one in (default, label)]
    values = [study.compute(cell, study.open_inputs(cell, prepared, folder)) for cell in cells]
    drawn = np.flatnonzero(np.isin(spikes["unit"].values, values[0]["drawn_unit"]))
    expected = [direct(spikes, drawn, labels, **{axis: one}) for one in (default, label)]
    assert expected[0].entropy_production_train != expected[1].entropy_production_train
    for found, result in zip(values, expected, strict=True):
        assert found["drawn_unit"].tolist() == values[0]["drawn_unit"].tolist()
        assert found["entropy_production"] == result.entropy_production
        assert found["entropy_production_uncapped"] == result.entropy_production_uncapped
        assert found["entropy_production_train"] == result.entropy_production_train
        assert found["n_parameter"] == len(result.theta)
        assert found["n_transition"] == result.n_transition
        assert found["p_value"] == result.p_value


def test_compute__surrogate_takes_the_arrow_of_time_out(run, tmp_path):
    folder, _, prepared = run
    study = make(tmp_path, "estimator.surrogate=time_reversal")
    cell = cell_of(size=0)
    null = study.compute(cell, study.open_inputs(cell, prepared, folder))
    assert compute(run, size=0)["p_value"] < 0.01 < null["p_value"]


def test_compute__surrogate_is_drawn_anew_for_session_condition_and_repetition(run, tmp_path, monkeypatch):
    folder, _, prepared = run
    study = make(tmp_path, "axes.surrogate=[time_reversal, block_reversal]", "estimator.n_draw=0")
    seen = []

    def noted(transitions, name, rng):
        seen.append(rng.random())
        return transitions

    monkeypatch.setattr(neural_recordings, "surrogate", noted)
    base = {"surrogate": "time_reversal"}
    others = [{"session": "b"}, {"condition": "weak"}, {"repetition": 1}, {"surrogate": "block_reversal"}]
    for changed in ({}, {"size": 8}, *others):
        cell = cell_of(**(base | changed))
        study.compute(cell, study.open_inputs(cell, prepared, folder))
    first, other_size, *rest = seen
    assert other_size == first
    assert len({first, *rest}) == 1 + len(others)


@pytest.mark.parametrize(("order", "sign"), [("most_active", -1), ("least_active", 1)])
def test_compute__order_of_the_selection_decides_the_draw(run, spikes, tmp_path, order, sign):
    folder, _, prepared = run
    study = make(tmp_path, f"selection.order={order}")
    masks = spikes["condition_mask"].values
    activity = np.mean([spikes["spikes"].values[mask].mean(axis=0) for mask in masks], axis=0)
    first = set(spikes["unit"].values[np.argsort(sign * activity)[:4]].tolist())
    for repetition in (0, 1):
        cell = cell_of(repetition=repetition)
        values = study.compute(cell, study.open_inputs(cell, prepared, folder))
        assert set(values["drawn_unit"].tolist()) == first
    assert set(compute(run)["drawn_unit"].tolist()) != first


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


def test_compute__exact_value_only_at_lag_1_and_the_bins_of_the_network(run, tmp_path):
    folder, _, prepared = run
    study = make(tmp_path, "estimator.lag=2")
    cell = cell_of(size=0)
    assert "exact_entropy_production" not in study.compute(cell, study.open_inputs(cell, prepared, folder))
    coarse = make(tmp_path, "binning.bin_size=0.02")
    prepared = coarse.ingest(coarse.sources()[0], tmp_path)
    values = coarse.compute(cell, coarse.open_inputs(cell, prepared, tmp_path))
    assert values["n_unit"] == 12
    assert "exact_entropy_production" not in values


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


def test_impossible__is_what_compute_says(run, tmp_path):
    folder, study, prepared = run
    facts = prepared.facts
    assert facts["n_eligible"] == {"driven": 12, "weak": 12, "reversible": 12}
    assert [study.impossible(cell_of(size=size), facts) for size in (0, 12, 13)] == [False, False, True]
    assert study.impossible(cell_of(condition="sleep"), facts)
    # units that the selection leaves out cannot be drawn either
    busiest = np.sort(study.open_inputs(cell_of(), prepared, folder)[0].activity)[-5:]
    picky = make(tmp_path, f"selection.minimum_activity={float(busiest[0])}")
    few = picky.ingest(picky.sources()[0], tmp_path).facts
    assert set(few["n_eligible"].values()) == {5}
    assert picky.impossible(cell_of(size=8), few)
    nobody = make(tmp_path, "selection.area=X*")
    prepared = nobody.ingest(nobody.sources()[0], tmp_path)
    assert set(prepared.facts["n_eligible"].values()) == {0}
    assert all(nobody.impossible(cell_of(size=size), prepared.facts) for size in (0, 4))
    with pytest.raises(ImpossibleError, match="no unit is left"):
        nobody.open_inputs(cell_of(), prepared, tmp_path)
    # a session without such units is impossible; a selection that leaves none anywhere is a mistake
    nobody.check_prepared([prepared, run[2]])
    with pytest.raises(SelectionError, match=r"no unit is left .* correct the config"):
        nobody.check_prepared([prepared])


def test_draw__activity_in_the_condition_or_in_the_session(tmp_path):
    # unit 1 is the busiest in "here" and silent in "there"; unit 0 is the busiest over both
    shares = {"here": [0.3, 0.6, 0.1], "there": [0.5, 0.0, 0.4]}
    rng = np.random.default_rng(0)
    spikes = np.concatenate([rng.random((1000, 3)) < share for share in shares.values()])
    epochs = [{"condition": name, "start": 10.0 * i, "stop": 10.0 * (i + 1)} for i, name in enumerate(shares)]
    np.savez(tmp_path / "x.npz", S=spikes, bin_size=0.01, unit_ids=[0, 1, 2])
    text = f"recordings: {{path: {tmp_path / 'x.npz'}, options: {{epochs: {epochs}}}}}\nsizes: [2]\nrepetitions: 1\n"
    text += "conditions: [here, there]\nselection: {order: most_active, minimum_activity: 0.05}\n"

    def drawn(condition, *overrides):
        study = make(tmp_path, *overrides, text=text)
        prepared = study.ingest(study.sources()[0], tmp_path)
        cell = {"session": "x", "condition": condition, "size": 2, "repetition": 0}
        values = study.compute(cell, study.open_inputs(cell, prepared, tmp_path))
        return sorted(values["drawn_unit"].tolist()), prepared.facts["n_eligible"]

    assert drawn("here") == ([0, 1], {"here": 3, "there": 3})
    assert drawn("there") == ([0, 1], {"here": 3, "there": 3})
    own = "selection.activity_in=condition"
    assert drawn("here", own) == ([0, 1], {"here": 3, "there": 2})
    assert drawn("there", own) == ([0, 2], {"here": 3, "there": 2})


def test_load__rate_matched_units_need_all_conditions(tmp_path):
    with pytest.raises(ConfigError, match="rate_matched compares conditions, so it needs activity_in session"):
        load(tmp_path, BASE, "selection.order=rate_matched", "selection.activity_in=condition")


def test_check_prepared__a_selection_that_fits_no_session(run, tmp_path):
    picky = make(tmp_path, "selection.quality={snrr: '> 1'}")
    source = picky.sources()[0]
    prepared = picky.ingest(source, tmp_path)
    assert "n_eligible" not in prepared.facts
    assert not picky.impossible(cell_of(), prepared.facts)
    failed = Prepared({"session": "b"}, error_type="RecordingError", error="it is not there")
    with pytest.raises(
        SelectionError, match=r"^selection: the unit table has no column 'snrr'; it has .*correct the con"
    ):
        picky.check_prepared([prepared, failed])
    # a session that has the column is computed; the cells of the other say what it lacks
    picky.check_prepared([prepared, run[2]])
    with pytest.raises(SelectionError, match="no column 'snrr'"):
        picky.open_inputs(cell_of(), prepared, tmp_path)


def test_plan__tells_of_a_selection_that_fits_no_session(tmp_path):
    config = load(tmp_path, BASE, "selection.quality={snrr: '> 1'}", f"results={tmp_path}/run")
    text = "\n".join(plan_text.lines(plan.make(config)))
    assert "the unit table has no column 'snrr'" in text
    assert "impossible" not in text
    assert "nothing to compute" not in text


def test_cost__is_of_the_bins_of_the_condition(run):
    _, study, prepared = run
    facts = {**prepared.facts, "conditions": {"driven": 1000, "weak": 250}}
    driven, weak = (study.cost(cell_of(condition=name), facts) for name in ("driven", "weak"))
    assert driven == 4 * weak


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


def test_open_population__events_are_starts_of_trials_and_epochs(tmp_path):
    spikes = np.random.default_rng(0).random((300, 3)) < 0.3
    epochs = [
        {"condition": "whole", "start": 0.0, "stop": 2.0, "trial": 4},
        {"condition": "whole", "start": 2.0, "stop": 3.0, "trial": 5},
        {"condition": "flash", "start": 0.5, "stop": 0.7},
        {"condition": "flash", "start": 1.5, "stop": 1.7},
    ]
    np.savez(tmp_path / "x.npz", S=spikes, bin_size=0.01)
    text = f"recordings: {{path: {tmp_path / 'x.npz'}, options: {{epochs: {epochs}}}}}\nsizes: [2]\nconditions: [whole]"
    study = make(tmp_path, text=text)
    prepared = study.ingest(study.sources()[0], tmp_path)

    def events(condition):
        population, _ = study.open_inputs({"condition": condition}, prepared, tmp_path)
        assert len(population.event_time) <= study.dimensions([prepared])["event"]
        return list(zip(population.event_time.round(2).tolist(), population.event_name.tolist(), strict=True))

    # each epoch of whole is a trial, which says it already; the borders of flash begin no epoch of whole
    assert [one for one in events("whole") if one[1] != "flash"] == [(0.0, "trial"), (2.0, "trial")]
    assert [one for one in events("whole") if one[1] == "flash"] == [(0.5, "flash"), (1.5, "flash")]
    assert [one for one in events("flash") if one[1] == "flash"] == [(0.5, "flash"), (1.5, "flash")]


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


def test_settings__hold_the_version_of_the_estimator(tmp_path, monkeypatch):
    study = make(tmp_path)
    before = study.settings()
    assert before["versions"] == {"maxent": neq.MaxEnt.version, "orders": neq.OrderDecomposition.version}
    monkeypatch.setattr(neq.MaxEnt, "version", neq.MaxEnt.version + 1)
    assert study.settings() != before


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
        ("axes.lags=[1]", "lags cannot be an axis; these can: method, observable, split, cross_fit, lag"),
        ("axes.lag=[1, 1]", "a label stands twice"),
        ("axes.lag=['1', 1.0]", "a label stands twice"),
        ("figures.coupling={cond: weak}", "cond is no axis; these are: session, condition, size, repetition"),
        ("figures.coupling={size: 7}", "size has no label 7"),
        ("figures.coupling={condition: sleep}", "condition has no label sleep"),
        ("axes.lag=[0]", "axes"),
        ("binning.bin_size=0", "binning.bin_size"),
        ("binning.bin_size=-1", "binning.bin_size"),
        ("recordings.sessions=[a, a]", "a session is named twice"),
        ("selection.quality={snr: big}", "expected a comparison"),
        ("estimator.splitt=shuffled", "split"),
        ("estimator.method=newton", "estimator.method: expected 'maxent', 'mtur' or 'newton_step', found 'newton'"),
        ("estimator.cross_fit=1", "estimator.cross_fit: expected 2 folds or more, or 0 for a single split"),
        ("axes.cross_fit=[0, 1]", "expected 2 folds or more"),
        ("axes.max_order=[2, 3]", "max_order cannot be an axis"),
        ("estimator.max_order=4", "estimator.max_order: expected 2 or 3"),
        ("estimator={cross_fit: 5, split: shuffled}", "folds are stretches of time, so they need split blocked"),
        ("estimator={cross_fit: 5, method: mtur}", "only method maxent is cross-fitted; found method mtur"),
        ("estimator={method: mtur, observable: flow}", "mtur holds for observables that change sign"),
        ("store=[couplings]", "store"),
        ("store=[theta, theta]", "a label stands twice"),
        ("figures.events=[trial]", "add scores to store"),
        ("figures.window=[-1, 1]", "figures.window"),
    ],
)
def test_config__problems_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load(tmp_path, BASE, override)


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (
            ["axes={cross_fit: [0, 5], split: [blocked, shuffled], method: [maxent, mtur, newton_step]}"],
            ["need split blocked", "found method mtur, newton_step"],
        ),
        (["axes={method: [mtur, maxent], observable: [flow]}"], ["mtur holds for"]),
        (["estimator.method=mtur", "store=[contributions, scores]"], ["store: contributions are", "store: scores are"]),
        (["estimator.method=newton_step", "store=[orders]"], ["orders are fitted by method maxent"]),
        (["axes={observable: [antisymmetric, flow]}", "store=[orders]"], ["orders are of antisymmetric observables"]),
        (["sizes=[4]", "figures.coupling={size: 0}"], ["size has no label 0; it has [4]"]),
        (
            ["estimator.max_order=3", "store=[orders]", "sizes=[2, 20, 60]", "figures.coupling={size: 7}"],
            ["needs 3 units or more; found sizes [2]", "at most 40 units; found sizes [60]", "size has no label 7"],
        ),
    ],
)
def test_config__combinations_that_cannot_be_are_told_together(tmp_path, overrides, messages):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, BASE, *overrides)
    for message in messages:
        assert message in str(caught.value)
    assert f"{len(messages)} problem" in str(caught.value)


def test_config__combinations_that_can_be(tmp_path):
    config = load(tmp_path, BASE, "axes={method: [maxent, mtur]}", "store=[contributions, scores, orders]")
    assert config.labels("method") == ["maxent", "mtur"]
    assert config.labels("cross_fit") == [0]
    assert load(tmp_path, BASE, "estimator={cross_fit: null, split: shuffled}").estimator.cross_fit == 0
    assert load(tmp_path, BASE, "axes.cross_fit=[null, 5]").axes["cross_fit"] == [0, 5]
    # sizes that orders do not have are fine where none are stored
    load(tmp_path, BASE, "estimator.max_order=3", "sizes=[2, 60]")


def test_config__two_files_of_one_name_need_names(tmp_path):
    text = "recordings: {path: [x/a.npz, y/a.npz]}\nsizes: [4]"
    with pytest.raises(ConfigError, match="two sources would be session a"):
        load(tmp_path, text)
    named = load(tmp_path, "recordings: {path: {one: x/a.npz, two: y/a.npz}}\nsizes: [4]")
    assert [name for name, _ in named.session_paths()] == ["one", "two"]


def test_config__sessions_that_no_source_has(tmp_path):
    text = "recordings: {path: {a: x.npz, b: y.npz}, sessions: [a, bb]}\nsizes: [4]"
    with pytest.raises(ConfigError, match="no source is session bb; there are a, b"):
        load(tmp_path, text)


def test_config__animals_of_sessions(tmp_path):
    text = "recordings: {path: {'9': x.npz, b: y.npz}, sessions: [9], subjects: {9: 524760, b: m2}}\nsizes: [4]"
    config = load(tmp_path, text)
    assert config.recordings.subjects == {"9": "524760", "b": "m2"}
    study = study_class(config.study)(config)
    assert [source.spec["options"] for source in study.sources()] == [{"subject": "524760"}]
    resolved = study.resolved()  # must be a config that loads
    assert load(tmp_path, resolved.model_dump_json()).recordings.subjects == {"9": "524760"}
    with pytest.raises(ConfigError, match=r"recordings\.subjects: no source is session c; there are 9, b"):
        load(tmp_path, text, "recordings.subjects={c: m3}")


def test_ingest__the_animal_changes_neither_content_nor_settings(run, tmp_path):
    _, _, unnamed = run
    study = make(tmp_path, "recordings.subjects={a: m1}")
    named = study.ingest(study.sources()[0], tmp_path)
    assert (unnamed.facts["subject"], named.facts["subject"]) == ("", "m1")
    assert (named.content, named.path) == (unnamed.content, unnamed.path)
    assert study.settings() == make(tmp_path).settings()


def test_config__labels_of_axes_are_the_checked_values(tmp_path):
    assert load(tmp_path, BASE, "axes.lag=['1', 2.0]").axes["lag"] == [1, 2]


def test_axes__a_pattern_without_a_match_is_named(tmp_path):
    study = make(tmp_path, text="recordings: {path: nowhere/*.npz}\nsizes: [4]")
    with pytest.raises(neq.NeqError, match=r"No file matches recordings.path .*nowhere/\*.npz"):
        study.axes()


def test_expand__sorted_matches_of_every_folder(tmp_path):
    for name in ("y/b.npz", "x/a.npz"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert expand(str(tmp_path / "*" / "*.npz")) == [str(tmp_path / "x/a.npz"), str(tmp_path / "y/b.npz")]
    assert expand(str(tmp_path / "*.nwb")) == []
    assert expand(str(tmp_path / "missing.npz")) == [str(tmp_path / "missing.npz")]


def test_ingest__a_missing_file_is_the_readers_sentence(tmp_path):
    study = make(tmp_path, text="recordings: {path: nowhere.npz}\nsizes: [4]")
    with pytest.raises(neq.NeqError, match="does not exist"):
        study.ingest(study.sources()[0], tmp_path)


def test_axis_section__knows_estimator_and_binning():
    assert axis_section("lag").model_fields["lag"].default == 1
    assert "bin_size" in axis_section("bin_size").model_fields


def test_cost__grows_with_the_size(run):
    _folder, study, prepared = run
    small, large, whole = (study.cost(cell_of(size=size), prepared.facts) for size in (4, 8, 0))
    assert small < large < whole


SMALL = """
recordings: {kind: synthetic, sessions: [a], options: {n_unit: 8, duration: 20}}
conditions: [weak, driven]
sizes: [3, 9, all]
repetitions: 2
store: [theta]
estimator: {n_draw: 99}
cluster: {workers: 1}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the config's folder and the dataset of a run of 8 units; size 9 is impossible."""
    folder = tmp_path_factory.mktemp("small")
    config = load(folder, SMALL, f"results={folder}/run")
    pipeline.run(config, Console(file=io.StringIO()))
    return folder, neq.open_run(folder / "run")


def draw(folder, dataset, *overrides):
    study = make(folder, *overrides, text=SMALL)
    return study.figures(dataset, study.reduce(dataset))


def legend(figure):
    """Return the labels of all legends of a figure, in order."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for one in legends for text in one.get_texts()]


def line(figure, gid):
    """Return the points of the one line with this gid."""
    (found,) = [one for axes in figure.axes for one in axes.lines if one.get_gid() == gid]
    return found.get_xydata().tolist()


def test_run__small_one_has_values_where_they_are_possible(small):
    _folder, dataset = small
    assert dataset["size"].values.tolist() == [3, 9, 0]
    states = dataset["status"].transpose("size", ...).values.reshape(3, -1)
    assert [set(row) for row in states] == [{"ok"}, {"impossible"}, {"ok"}]
    finite = np.isfinite(dataset["exact_entropy_production"]).transpose("size", ...).values.reshape(3, -1)
    assert [set(row) for row in finite] == [{False}, {False}, {True}]


def test_reduce__conditions_in_the_order_of_the_config(small):
    folder, dataset = small
    assert dataset["condition"].values.tolist() == ["driven", "weak"]
    summary = make(folder, text=SMALL).reduce(dataset)
    assert summary["condition"].values.tolist() == ["weak", "driven"]
    assert summary["contrast"].values.tolist() == ["weak \N{MINUS SIGN} driven"]
    means = dataset["entropy_production"].mean(["repetition", "session"])
    assert means.sel(condition="driven", size=0) != means.sel(condition="weak", size=0)
    for condition in ("weak", "driven"):
        mean = summary["entropy_production"].sel(condition=condition, size=0)
        assert float(mean) == pytest.approx(float(means.sel(condition=condition, size=0)))
    assert make(folder, "conditions=[driven]", text=SMALL).reduce(dataset)["condition"].values.tolist() == ["driven"]


def test_figures__scaling_and_on_request_coupling(small):
    folder, dataset = small
    assert set(draw(folder, dataset)) == {"scaling", "coupling"}
    without = dataset.drop_vars(["theta", "drawn_area"])
    assert set(draw(folder, without)) == {"scaling"}


def test_figures__legend_in_the_order_of_the_config(small):
    folder, dataset = small
    assert legend(draw(folder, dataset)["scaling"])[:2] == ["weak", "driven"]
    turned = draw(folder, dataset, "conditions=[driven, weak]")["scaling"]
    assert legend(turned)[:2] == ["driven", "weak"]


@pytest.mark.parametrize(
    ("value", "unit"),
    [("entropy_production", 1.0), ("entropy_production_per_spike", 1.0), ("entropy_production_rate", 0.01)],
)
def test_figures__exact_value_of_each_condition_at_the_whole_network(small, value, unit):
    folder, dataset = small
    figure = draw(folder, dataset, f"figures.value={value}")["scaling"]
    exact = neq.read_recording(kind="synthetic", session="a", n_unit=8, duration=20).source["exact"]
    assert "exact, whole network" in legend(figure)
    for condition in ("weak", "driven"):
        of_a_bin = exact[condition][value.removesuffix("_rate")]
        assert line(figure, f"truth:{condition}") == [[8.0, of_a_bin / unit]]


def test_figures__no_exact_value_where_only_subsets_were_drawn(small):
    folder, dataset = small
    figure = draw(folder, dataset.sel(size=[3]))["scaling"]
    assert legend(figure)[:2] == ["weak", "driven"]
    assert "exact, whole network" not in legend(figure)
    assert truth(dataset.sel(size=[3]), "entropy_production", 0.01) is None
    assert truth(dataset.sel(size=[3]), "entropy_production_rate", 0.01) is None
    assert truth(dataset, "entropy_production", 0.01).attrs["truth_size"] == 8


@pytest.mark.parametrize(
    ("named", "title", "n_coupling"),
    [
        ("{}", "a, weak, N = 8", 28),
        ("{condition: driven}", "a, driven, N = 8", 28),
        ("{size: 3, repetition: 1}", "a, weak, N = 3", 3),
    ],
)
def test_coupling__of_the_largest_size_unless_named(small, named, title, n_coupling):
    folder, dataset = small
    figure = draw(folder, dataset, f"figures.coupling={named}")["coupling"]
    assert figure.axes[0].get_title() == title
    assert f" {n_coupling} couplings (antisymmetric)" in figure.get_label()


def test_coupling__draws_the_stored_theta(small):
    folder, dataset = small
    figure = draw(folder, dataset, "figures.coupling={condition: driven, repetition: 1}")["coupling"]
    theta = dataset["theta"].sel(session="a", condition="driven", size=0, repetition=1).values
    (image,) = figure.axes[0].images
    assert np.abs(theta).max() > 0
    # ordered by units, so the same numbers in another order
    shown = np.sort(image.get_array()[np.triu_indices(8, 1)].__abs__())
    np.testing.assert_array_equal(shown, np.sort(np.abs(theta)))


def test_coupling__cell_without_a_result_says_so(small):
    folder, dataset = small
    figure = draw(folder, dataset, "figures.coupling={size: 9}")["coupling"]
    assert figure.get_label() == "No couplings: this cell is impossible."
    assert not figure.axes
    states = dataset["status"].astype("U10").copy()
    states.loc[{"condition": "weak", "size": 0, "repetition": 0}] = "failed"
    figures = draw(folder, dataset.assign(status=states))
    assert figures["coupling"].get_label() == "No couplings: this cell is failed."
    assert figures["scaling"].axes


def test_run__another_figure_is_drawn_without_computing(small):
    folder, _ = small
    before = (folder / "run" / "figures" / "scaling.png").read_bytes()
    config = load(folder, SMALL, f"results={folder}/run", "figures.value=entropy_production_rate")
    outcome = pipeline.run(config, Console(file=io.StringIO()))
    assert outcome.n_computed == 0
    assert (folder / "run" / "figures" / "scaling.png").read_bytes() != before


@pytest.mark.long
def test_run__errors_are_over_animals_as_soon_as_they_are_named(tmp_path):
    small = [f"results={tmp_path}/run", "recordings.sessions=[a, b, c]", "sizes=[3]", "repetitions=1", "store=[]"]
    config = load(tmp_path, SMALL, *small)
    pipeline.run(config, Console(file=io.StringIO()))
    store = tmp_path / "run" / "sweep.zarr"
    spikes = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "spikes").rglob("c/*")}

    def caption():
        return json.loads((tmp_path / "run" / "figures" / "figures.json").read_text())["figures"]["scaling"]

    assert "over 3 sessions (no animal ids)" in caption()
    named = load(tmp_path, SMALL, *small, "recordings.subjects={a: m1, b: m1, c: m2}")
    outcome = pipeline.run(named, Console(file=io.StringIO()))
    assert outcome.n_computed == 0
    assert "over 2 animals (3 sessions)" in caption()
    for dataset in (neq.open_run(tmp_path / "run"), xr.open_zarr(store)):
        assert dataset.coords["subject"].values.tolist() == ["m1", "m1", "m2"]
    assert spikes == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "spikes").rglob("c/*")}
    assert [one.text for one in doctor.examine(tmp_path / "run") if one.kind == finding.PROBLEM] == []
