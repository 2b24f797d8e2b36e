"""Synthetic recordings: the promised statistics, the exact values, and the same bits for the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neq import seeds
from neq.errors import RecordingError
from neq.estimators.maxent import MaxEnt
from neq.models.modular_network import draw_network
from neq.readers import read_recording
from neq.readers.synthetic import read as synthetic
from neq.spikes.binning import bin_spikes
from neq.spikes.transitions import Transitions


@pytest.fixture(scope="module")
def recording():
    return synthetic(session="a", n_unit=20, duration=100.0)


def all_spikes(recording):
    return [train.tolist() for train in recording.trains()]


def test_synthetic__exact_values_order_the_conditions(recording):
    exact = recording.source["exact"]
    assert exact["reversible"]["entropy_production"] == 0.0
    assert 0.01 < exact["driven"]["entropy_production_per_spike"] < 0.15
    assert 0 < exact["weak"]["entropy_production"] < 0.5 * exact["driven"]["entropy_production"]
    modules = exact["driven"]["module_entropy_production"]
    assert len(modules) == recording.units["module"].nunique()
    np.testing.assert_allclose(sum(modules), exact["driven"]["entropy_production"], rtol=1e-12)


def test_synthetic__exact_value_is_that_of_the_network(recording):
    """Twice: enumerated by another partition of the states, and sampled."""
    model = draw_network("a", n_unit=20).model(1.0)
    exact = recording.source["exact"]["driven"]["entropy_production"]
    np.testing.assert_allclose(model.entropy_production(), exact, rtol=1e-9)
    sample = model.sample_entropy_production(20_000, seed=1)
    assert abs(sample.value - exact) < 4 * sample.standard_error < exact


def test_synthetic__spikes_have_the_exact_rate(recording):
    exact = recording.source["exact"]
    for epoch in recording.epochs.itertuples():
        inside = [np.sum((train >= epoch.start) & (train < epoch.stop)) for train in recording.trains()]
        assert abs(sum(inside) / 10_000 - exact[epoch.condition]["spikes_per_bin"]) < 0.05
    assert recording.bin_size == 0.01


def test_synthetic__binning_gives_back_the_sampled_states(recording):
    spikes = bin_spikes(recording, bin_size=0.01)
    assert spikes.sizes == {"bin": 30_000, "unit": 20, "condition": 3}
    assert float(spikes.attrs["collision_share"]) == 0.0
    assert spikes["segment"].to_numpy()[[0, 9_999]].tolist() == [0, 0]
    assert len(np.unique(spikes["segment"])) == 3
    random = seeds.generator(0, session="a", condition="weak", role="spikes")
    states = draw_network("a", n_unit=20).model(0.5).simulate(10_000, seed=random)
    assert np.array_equal(spikes["spikes"].to_numpy()[10_000:20_000], states)


def test_synthetic__sessions_and_seeds_are_other_networks(recording):
    again = synthetic("a", n_unit=20, duration=100.0)
    assert all_spikes(again) == all_spikes(recording)
    assert again.source["content"] == recording.source["content"]
    for other in (synthetic("b", n_unit=20, duration=100.0), synthetic("a", n_unit=20, duration=100.0, seed=1)):
        assert other.source["content"] != recording.source["content"]
        assert other.source["exact"]["driven"] != recording.source["exact"]["driven"]


def test_synthetic__another_condition_leaves_the_first_alone(recording):
    longer = synthetic(session="a", n_unit=20, duration=100.0, conditions={"driven": 1.0, "strong": 1.5})
    for train, other in zip(recording.trains(), longer.trains(), strict=True):
        assert np.array_equal(train[train < 100.0], other[other < 100.0])


def test_synthetic__default_session_deals_units_to_areas_and_modules():
    units = synthetic(duration=1.0).units
    assert units.index.tolist() == list(range(60))
    assert units["area"].value_counts().tolist() == [15, 15, 15, 15]
    assert units["module"].value_counts().tolist() == [6] * 10
    assert (units.groupby("module")["area"].nunique() > 1).any()


def test_synthetic__is_a_kind_of_recording(recording):
    by_kind = read_recording("a", kind="synthetic", n_unit=20, duration=100.0)
    assert by_kind.session == "a"
    assert by_kind.source == recording.source
    assert read_recording(kind="synthetic", session="a", n_unit=20, duration=1.0).session == "a"
    assert json.loads(json.dumps(by_kind.source)) == by_kind.source


@pytest.mark.parametrize(
    "option",
    [
        {"n_unit": 1},
        {"n_unit": "many"},
        {"module_size": 13},
        {"bin_size": 0.0},
        {"bin_size": float("nan")},
        {"duration": 0.01},
        {"gap": -1.0},
        {"seed": -1},
        {"areas": []},
        {"conditions": {}},
    ],
)
def test_synthetic__rejects_an_option_out_of_range(option):
    with pytest.raises(RecordingError, match=f"synthetic.*{next(iter(option))}"):
        synthetic(**option)


def test_synthetic__estimate_finds_most_of_the_exact_value_and_nothing_where_there_is_none():
    """Mean over the splits: a single test part of 9,000 transitions scatters by about 15%."""
    recording = synthetic("a", n_unit=20, duration=900.0, conditions={"driven": 1.0, "reversible": 0.0})
    spikes = bin_spikes(recording, bin_size=0.01)
    mean, p_value = {}, {}
    for condition in recording.conditions:
        inside = spikes["condition_mask"].sel(condition=condition).to_numpy()
        bins = spikes["spikes"].to_numpy()[inside], spikes["segment"].to_numpy()[inside]
        results = [MaxEnt(half=False).fit(Transitions.from_spikes(*bins), seed=seed) for seed in range(4)]
        mean[condition] = np.mean([result.entropy_production for result in results])
        p_value[condition] = np.median([result.p_value for result in results])
    exact = recording.source["exact"]["driven"]["entropy_production"]
    assert 0.7 * exact < mean["driven"] < exact
    assert abs(mean["reversible"]) < 0.01 * exact
    assert p_value["driven"] < 0.01 < p_value["reversible"]
