import os
from pathlib import Path

import numpy as np
import pytest

from neq.errors import RecordingError
from neq.readers import read_recording
from neq.spikes.binning import bin_spikes

DATA = Path(os.environ.get("NEQ_DATA", Path(__file__).parents[3] / "data"))


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        path = tmp_path / "night.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def matrix():
    return np.random.default_rng(1).random((500, 4)) < 0.2


@pytest.mark.parametrize("bin_size", [0.05, 0.01, 1 / 3, 0.001, 0.0007])
def test_matrix__comes_back_bit_for_bit(save, matrix, bin_size):
    trial_id = np.repeat([5, 6, 5, 9], 125)
    recording = read_recording(save(S=matrix, bin_size=bin_size, trial_id=trial_id))
    dataset = bin_spikes(recording, bin_size)
    np.testing.assert_array_equal(dataset["spikes"], matrix)
    np.testing.assert_array_equal(dataset["trial"], trial_id)
    assert np.flatnonzero(np.diff(dataset["segment"])).tolist() == [124, 249, 374]
    pooled = bin_spikes(recording, 5 * bin_size)
    np.testing.assert_array_equal(pooled["spikes"], matrix.reshape(100, 5, 4).any(axis=1))


def test_matrix__of_counts_keeps_the_collisions(save):
    counts = np.array([[0, 3], [1, 0]])
    for dtype in (np.uint8, float):
        dataset = bin_spikes(read_recording(save(S=counts.astype(dtype), bin_size=0.1)), 0.1)
        np.testing.assert_array_equal(dataset["spikes"], counts > 0)
        np.testing.assert_array_equal(dataset["spike_count"], [1, 3])
        np.testing.assert_allclose(dataset["collision_share"], [0, 2 / 3])


def test_matrix__wins_over_spike_times(save, matrix):
    recording = read_recording(save(S=matrix, bin_size=0.1, spike_times=[0.1], spike_units=[0]))
    assert recording.bin_size == 0.1
    assert len(recording.units) == 4


def test_matrix__options(save, matrix):
    path = save(raster=matrix, where=np.array(["V1", "V1", "LM", ""]), snr=np.arange(4.0), names=np.array(list("dcba")))
    recording = read_recording(
        path,
        session="mouse",
        keys={"matrix": "raster", "area": "where", "unit_ids": "names"},
        bin_size=0.1,
        quality=["snr"],
        epochs=[{"condition": "rest", "start": 1, "stop": 3}, {"condition": "run", "start": 2, "stop": 4, "trial": 1}],
    )
    assert recording.session == "mouse"
    assert recording.units["area"].tolist() == ["V1", "V1", "LM", ""]
    assert recording.units["unit_name"].tolist() == list("dcba")
    assert recording.units["snr"].tolist() == [0, 1, 2, 3]
    assert recording.conditions == ["rest", "run"]
    dataset = bin_spikes(recording, 0.1)
    np.testing.assert_array_equal(dataset["spikes"], matrix[10:40])


def test_times__are_grouped_by_unit(save):
    arrays = {"spike_times": [0.1, 0.2, 0.3, 0.4, 1.0], "spike_units": np.array([7, 3, 7, 7, 3], dtype=np.int16)}
    recording = read_recording(save(**arrays), condition="rest")
    assert recording.session == "night"
    assert recording.units.index.tolist() == [3, 7]
    assert [times.tolist() for times in recording.spike_times] == [[0.2, 1.0], [0.1, 0.3, 0.4]]
    assert recording.epochs.to_dict("records") == [{"condition": "rest", "start": 0.0, "stop": 1.0, "trial": -1}]
    silent = read_recording(save(**arrays, unit_ids=[9, 7, 3]), duration=2.0)
    assert [len(times) for times in silent.spike_times] == [0, 3, 2]
    assert silent.epochs["stop"].tolist() == [2.0]


def test_times__units_may_be_rows(save):
    path = save(spike_times=[0.1, 0.2], spike_units=[0, 1], unit_ids=[1, 2])
    with pytest.raises(RecordingError, match=r"Unit 0 of spike_units .* spike_units: rows"):
        read_recording(path)
    recording = read_recording(path, spike_units="rows")
    assert recording.units.index.tolist() == [1, 2]
    assert [times.tolist() for times in recording.spike_times] == [[0.1], [0.2]]


@pytest.mark.parametrize(
    ("arrays", "options", "problem"),
    [
        ({"x": [1]}, {}, "Expected in .* a matrix 'S', or 'spike_times' with 'spike_units', found the keys x"),
        ({"S": np.ones((3, 2))}, {}, "needs its bin size"),
        ({"S": np.ones((3, 2)), "bin_size": 0.0}, {}, "positive number of seconds, found 0.0"),
        ({"S": np.ones((3, 2)), "bin_size": np.array("x")}, {}, "positive number of seconds, found x"),
        ({"S": np.ones(3), "bin_size": 0.1}, {}, r"found shape \(3,\)"),
        ({"S": np.ones((3, 0)), "bin_size": 0.1}, {}, r"not empty, found shape \(3, 0\)"),
        ({"S": np.full((3, 2), 0.5), "bin_size": 0.1}, {}, "booleans or spike counts, found others"),
        ({"S": np.full((3, 2), np.nan), "bin_size": 0.1}, {}, "booleans or spike counts"),
        ({"S": np.full((3, 2), -1), "bin_size": 0.1}, {}, "booleans or spike counts"),
        ({"S": np.ones((3, 2)), "bin_size": 0.1, "trial_id": [1]}, {}, r"trial_id .* one entry per bin \(3\)"),
        ({"S": np.ones((3, 2)), "bin_size": 0.1, "area": ["a"]}, {}, r"area .* one entry per unit \(2\)"),
        ({"S": np.ones((3, 2)), "bin_size": 0.1, "unit_ids": [4, 4]}, {}, "unique, but 4 occurs"),
        ({"S": np.ones((3, 2)), "bin_size": 0.1}, {"quality": ["snr"]}, "no array 'snr'"),
        ({"spike_times": [0.2, 0.1], "spike_units": [0, 0]}, {}, "Unit 0 .* not ascending"),
        ({"spike_times": [0.1, np.nan], "spike_units": [0, 5]}, {"duration": 1.0}, "Unit 5 .* NaN"),
        ({"spike_times": [0.1, 0.2], "spike_units": [0]}, {}, r"one entry per spike \(2\)"),
        ({"spike_times": [0.1], "spike_units": [0], "unit_ids": [0, 0]}, {}, "unique, but 0 occurs"),
        ({"spike_times": [], "spike_units": []}, {}, "has no unit|stop after"),
    ],
)
def test_arrays__bad_input(save, arrays, options, problem):
    with pytest.raises(RecordingError, match=problem):
        read_recording(save(**arrays), **options)


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ([0.1, 0.2, np.inf], r"Unit 7 of session 'night' has 1 spike times that are NaN or infinite"),
        ([-0.2, -0.1, -0.1], r"Unit 3 of session 'night' has 1 negative spike times"),
        ([np.nan, np.nan, np.nan], r"Unit 3 of session 'night' has 1 spike times that are NaN"),
        ([0.0, 0.0, 0.0], r"no spike after 0 s, so its end is not known; set the option duration"),
    ],
)
def test_times__bad_last_spike_is_named_not_an_epoch(save, times, problem):
    with pytest.raises(RecordingError, match=problem):
        read_recording(save(spike_times=times, spike_units=[7, 3, 7]))


@pytest.mark.parametrize(
    ("arrays", "options", "problem"),
    [
        ({"spike_times": ["a", "b"]}, {}, r"'spike_times' .* numbers \(s\) in one dimension, found <U1"),
        ({"spike_times": [0.1j, 0.2]}, {}, "'spike_times' .* found complex128"),
        ({"spike_times": [[0.1], [0.2]]}, {}, r"'spike_times' .* found float64 of shape \(2, 1\)"),
        ({"unit_ids": [[0], [1]]}, {}, r"'unit_ids' .* unit ids in one dimension, found int64 of shape \(2, 1\)"),
        ({"unit_ids": [0, np.nan]}, {}, "'unit_ids' .* found nan among them"),
        ({"spike_units": [0, np.nan]}, {}, "'spike_units' .* unit ids in one dimension, found nan among them"),
        ({"spike_units": [0, 1j]}, {}, "'spike_units' .* found complex128"),
        ({"spike_units": ["a", "b"]}, {"spike_units": "rows"}, "'spike_units' .* whole numbers .* found <U1"),
        ({"spike_units": [0, 0.5]}, {"spike_units": "rows"}, "'spike_units' .* found 0.5 among them"),
        ({"spike_units": [0, np.inf]}, {"spike_units": "rows"}, "'spike_units' .* found inf among them"),
        ({"S": np.eye(2), "bin_size": 0.1, "unit_ids": [0, np.nan]}, {}, "'unit_ids' .* found nan among them"),
    ],
)
def test_arrays__of_the_wrong_kind(save, arrays, options, problem):
    path = save(**{"spike_times": [0.1, 0.2], "spike_units": [0, 1], **arrays})
    with pytest.raises(RecordingError, match=problem):
        read_recording(path, **options)


def test_arrays__refuses_pickled_objects(save):
    with pytest.raises(RecordingError, match=r"not a readable npz file of plain arrays"):
        read_recording(save(S=np.array([{}, {}], dtype=object), bin_size=0.1))


def test_arrays__refuses_a_cut_file(save, matrix):
    path = save(S=matrix, bin_size=0.1)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(RecordingError, match=r"not a readable npz file"):
        read_recording(path)


@pytest.mark.data
def test_retina__times_and_matrix_agree():
    path = DATA / "retina_brownian_bar.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in NEQ_DATA ({DATA})")
    recording = read_recording(path, keys={"matrix": "none"}, spike_units="rows", duration=1121.0)
    assert recording.units.index.tolist() == list(range(1, 54))
    assert sum(len(times) for times in recording.spike_times) == 92_140
