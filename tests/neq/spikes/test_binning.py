import itertools
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neq.errors import RecordingError
from neq.readers import read_recording
from neq.spikes.binning import bin_sparse, bin_spikes
from neq.spikes.recording import Recording, epoch_table, unit_table

DATA = Path(os.environ.get("NEQ_DATA", Path(__file__).parents[3] / "data"))


def make(trains, epochs, **fields):
    units = unit_table(range(len(trains)))
    return Recording("a", units, [np.sort(np.asarray(times, float)) for times in trains], epoch_table(epochs), **fields)


def epoch(condition, start, stop, trial=-1):
    return {"condition": condition, "start": start, "stop": stop, "trial": trial}


def reference_bins(recording, bin_size):
    """Bins in the obvious way: every bin of every grid against every epoch, every spike against every bin."""
    epochs = recording.epochs.to_dict("records")
    groups = []
    for one in epochs:
        if groups and one["start"] < max(other["stop"] for other in groups[-1]) - 1e-9:
            groups[-1].append(one)
        else:
            groups.append([one])
    bins, segment = [], -1
    for group in groups:
        anchor, previous, k = group[0]["start"], None, 0
        while anchor + k * bin_size < max(one["stop"] for one in group):
            left, right = anchor + k * bin_size, anchor + (k + 1) * bin_size
            inside = [
                i
                for i, one in enumerate(group)
                if left >= one["start"] - 1e-6 * bin_size and right <= one["stop"] + 1e-6 * bin_size
            ]
            if inside:
                segment += inside != previous
                trials = [group[i]["trial"] for i in inside if group[i]["trial"] >= 0]
                bins.append(
                    (left, right, trials[-1] if trials else -1, segment, {group[i]["condition"] for i in inside})
                )
            previous, k = inside, k + 1
    spikes = np.zeros((len(bins), len(recording.spike_times)), dtype=int)
    for unit, times in enumerate(recording.spike_times):
        for time in times:
            holding = [row for row, (left, right, *_) in enumerate(bins) if left <= time < right]
            if holding:  # two where rounding makes the last bin of one epoch reach into the next: the later one
                spikes[holding[-1], unit] += 1
    return bins, spikes


times = st.one_of(
    st.floats(0.0, 6.0), st.integers(0, 60).map(lambda k: k * 0.1), st.integers(0, 600).map(lambda k: k / 100)
)


@st.composite
def recordings(draw):
    borders = st.one_of(st.integers(0, 60).map(lambda k: k * 0.1), st.floats(0.0, 6.0).map(lambda t: round(t, 3)))
    epochs = []
    for condition in draw(st.sampled_from([["x"], ["x", "y"], ["x", "y", "z"]])):
        cuts = sorted(set(draw(st.lists(borders, min_size=2, max_size=6))))
        for start, stop in itertools.pairwise(cuts):
            if stop - start > 1e-6 and draw(st.booleans()):
                epochs.append(epoch(condition, start, stop, draw(st.integers(-1, 3))))
    if not epochs:
        epochs = [epoch("x", 0.25, 2.0)]
    trains = draw(st.lists(st.lists(times, max_size=12), min_size=1, max_size=3))
    return make(trains, epochs, duration=6.0)


@settings(max_examples=150)
@given(recording=recordings(), bin_size=st.sampled_from([0.1, 0.05, 0.07, 0.3, 1 / 3, 0.01]))
def test_bin_spikes__match_reference(recording, bin_size):
    bins, spikes = reference_bins(recording, bin_size)
    if not bins:
        with pytest.raises(RecordingError, match="whole bin"):
            bin_spikes(recording, bin_size)
        return
    dataset = bin_spikes(recording, bin_size)
    np.testing.assert_array_equal(dataset["time"], [left for left, *_ in bins])
    np.testing.assert_array_equal(dataset["trial"], [trial for _, _, trial, *_ in bins])
    np.testing.assert_array_equal(dataset["segment"], [segment for *_, segment, _ in bins])
    for condition in dataset["condition"].values:
        held = [condition in names for *_, names in bins]
        np.testing.assert_array_equal(dataset["condition_mask"].sel(condition=condition), held)
    np.testing.assert_array_equal(dataset["spikes"], spikes > 0)
    np.testing.assert_array_equal(dataset["spike_count"], spikes.sum(axis=0))
    lost = spikes.sum(axis=0) - (spikes > 0).sum(axis=0)
    np.testing.assert_allclose(dataset["collision_share"], lost / np.maximum(spikes.sum(axis=0), 1), atol=1e-15)


@settings(max_examples=200)
@given(
    start=st.floats(0.0, 10_000.0),
    bin_size=st.floats(1e-3, 1.0),
    data=st.data(),
)
def test_bin_spikes__agree_with_the_edges_to_the_last_bit(start, bin_size, data):
    """Spikes on an edge, and one float before and after it."""
    n_bin = data.draw(st.integers(1, 200))
    edges = start + np.arange(n_bin + 1) * bin_size
    chosen = edges[data.draw(st.lists(st.integers(0, n_bin), min_size=1, max_size=8))]
    spikes = np.sort(np.concatenate([chosen, np.nextafter(chosen, np.inf), np.nextafter(chosen, 0.0)]))
    epochs = [epoch("x", start, start + n_bin * bin_size)]
    binned = bin_sparse(make([spikes], epochs, duration=start + n_bin + 1), bin_size)
    assert binned.grid.n_bin == n_bin
    expected = np.searchsorted(edges, spikes, side="right") - 1
    np.testing.assert_array_equal(binned.rows, np.unique(expected[(expected >= 0) & (expected < n_bin)]))


@pytest.mark.parametrize("n_bin", [1, 7, 8, 1000])
def test_blocks__do_not_depend_on_their_size(n_bin):
    random = np.random.default_rng(0)
    recording = make([random.uniform(0, 9, 200) for _ in range(5)], [epoch("x", 0.5, 4.0), epoch("y", 3.0, 8.0)])
    binned = bin_sparse(recording, 0.05)
    blocks = [(first, block.copy()) for first, block in binned.blocks(n_bin)]
    assert [first for first, _ in blocks] == list(range(0, binned.grid.n_bin, n_bin))
    whole = np.concatenate([block for _, block in blocks])
    np.testing.assert_array_equal(whole, bin_spikes(recording, 0.05)["spikes"])


def test_bin_sparse__needs_little_more_memory_than_what_it_returns():
    train = np.arange(50_000) * 0.01 + 0.005
    recording = Recording("a", unit_table(range(100)), [train] * 100, epoch_table(stop=500.0))
    bin_sparse(recording, 0.01)  # compiles
    tracemalloc.start()
    rows = bin_sparse(recording, 0.01).rows
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 100 * 50_000
    assert peak < 1.3 * rows.nbytes


def test_bin_spikes__overlapping_conditions_share_bins():
    epochs = [epoch("whole", 0.0, 1.0), epoch("trials", 0.2, 0.4, 0), epoch("trials", 0.65, 0.9, 1)]
    dataset = bin_spikes(make([[0.25]], epochs), 0.1)
    assert dataset.sizes["bin"] == 10
    np.testing.assert_array_equal(dataset["condition_mask"].sel(condition="whole"), True)
    np.testing.assert_array_equal(np.flatnonzero(dataset["condition_mask"].sel(condition="trials")), [2, 3, 7, 8])
    np.testing.assert_array_equal(dataset["segment"], [0, 0, 1, 1, 2, 2, 2, 3, 3, 4])
    np.testing.assert_array_equal(dataset["trial"], [-1, -1, 0, 0, -1, -1, -1, 1, 1, -1])


def test_bin_spikes__disjoint_epochs_have_their_own_anchor():
    dataset = bin_spikes(make([[0.5]], [epoch("x", 0.25, 0.6), epoch("x", 1.03, 1.24)]), 0.1)
    np.testing.assert_allclose(dataset["time"], [0.25, 0.35, 0.45, 1.03, 1.13])
    np.testing.assert_array_equal(dataset["segment"], [0, 0, 0, 1, 1])


def test_bin_spikes__every_trial_is_a_segment_even_where_they_touch():
    dataset = bin_spikes(make([[0.5]], [epoch("x", 0.0, 0.3, 0), epoch("x", 0.3, 0.6, 1)]), 0.1)
    assert dataset.sizes["bin"] == 6
    np.testing.assert_array_equal(dataset["segment"], [0, 0, 0, 1, 1, 1])


def test_bin_spikes__a_spike_on_a_rounded_border_is_counted_once():
    assert 3 * 0.1 > 0.3
    dataset = bin_spikes(make([[0.3]], [epoch("x", 0.0, 0.3), epoch("x", 0.3, 0.6)]), 0.1)
    np.testing.assert_array_equal(dataset["spikes"][:, 0], [0, 0, 0, 1, 0, 0])
    assert dataset["spike_count"].item() == 1


def test_bin_spikes__counts_collisions():
    dataset = bin_spikes(make([[0.01, 0.02, 0.03, 0.15], [], [0.5]], [epoch("x", 0.0, 0.2)]), 0.1)
    np.testing.assert_array_equal(dataset["spike_count"], [4, 0, 0])
    np.testing.assert_array_equal(dataset["collision_share"], [0.5, 0.0, 0.0])
    assert dataset.attrs["collision_share"] == 0.5
    assert dataset["spikes"].dtype == bool


def test_bin_spikes__keeps_the_unit_table():
    columns = {"snr": [1.5, np.nan], "label": ["good", None], "time": [1, 2]}
    units = unit_table([12, 3], area=["V1", "LM"], columns=columns)
    recording = Recording("a", units, [np.array([0.1]), np.array([])], epoch_table(stop=0.5), {"kind": "test"})
    dataset = bin_spikes(recording, 0.1)
    assert dataset["unit"].values.tolist() == [12, 3]
    assert dataset["area"].values.tolist() == ["V1", "LM"]
    assert dataset["label"].values.tolist() == ["good", ""]
    assert dataset["unit_time"].values.tolist() == [1, 2]  # "time" is that of the bins
    assert dataset["time"].dims == ("bin",)
    assert dataset["time"].attrs["units"] == "s"
    assert dataset.attrs == {
        "session": "a",
        "subject": "",
        "bin_size": 0.1,
        "collision_share": 0.0,
        "source": '{"kind": "test"}',
    }


def test_bin_spikes__leaves_out_a_condition_without_a_whole_bin():
    dataset = bin_spikes(make([[0.1]], [epoch("x", 0.0, 0.5), epoch("short", 1.0, 1.05)]), 0.1)
    assert dataset["condition"].values.tolist() == ["x"]


@pytest.mark.parametrize("bin_size", [0.0, -0.01, np.nan, np.inf])
def test_bin_spikes__refuses_a_bad_bin_size(bin_size):
    with pytest.raises(RecordingError, match="bin size must be a positive number"):
        bin_spikes(make([[0.1]], [epoch("x", 0.0, 0.5)]), bin_size)


@pytest.mark.parametrize("bin_size", [0.02, 0.07, 0.125])
def test_bin_spikes__refuses_what_is_no_multiple_of_the_source(bin_size):
    recording = make([[0.025]], [epoch("x", 0.0, 0.5)], bin_size=0.05)
    with pytest.raises(RecordingError, match="whole multiple"):
        bin_spikes(recording, bin_size)
    assert bin_spikes(recording, 0.1).sizes["bin"] == 5


def test_bin_spikes__refuses_epochs_without_a_whole_bin():
    with pytest.raises(RecordingError, match=r"No epoch .* whole bin of 1 s \(the longest lasts 0.5 s\)"):
        bin_spikes(make([[0.1]], [epoch("x", 0.0, 0.5)]), 1.0)


def test_bin_spikes__refuses_an_epoch_far_beyond_the_last_spike():
    recording = make([np.arange(100.0)], [epoch("rest", 0.0, 200.0)])
    with pytest.raises(RecordingError, match=r"Epoch 'rest' .* ends at 200 s, far outside .* last spike is at 99 s"):
        bin_spikes(recording, 0.1)
    stated = make([np.arange(100.0)], [epoch("rest", 0.0, 200.0)], duration=200.0)
    assert bin_spikes(stated, 0.1).sizes["bin"] == 2000


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "n_transition"),
    [("s1", (35_129, 52), 35_128), ("retina_brownian_bar", (112_067, 53), 112_005)],
)
def test_bin_spikes__returns_a_recorded_matrix_unchanged(name, shape, n_transition):
    path = DATA / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in NEQ_DATA ({DATA})")
    recording = read_recording(path)
    dataset = bin_spikes(recording, recording.bin_size)
    with np.load(path) as file:
        assert dataset["spikes"].shape == shape
        np.testing.assert_array_equal(dataset["spikes"], file["S"])
        doubled = bin_spikes(recording, 2 * recording.bin_size)
        if "trial_id" not in file.files:
            pairs = file["S"][: shape[0] // 2 * 2].reshape(-1, 2, shape[1]).any(axis=1)
            np.testing.assert_array_equal(doubled["spikes"], pairs)
    assert int((np.diff(dataset["segment"]) == 0).sum()) == n_transition
    assert float(dataset["collision_share"].max()) == 0.0
