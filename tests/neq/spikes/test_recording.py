import numpy as np
import pytest

from neq.errors import RecordingError
from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table


def make(trains=([0.1, 0.2], [0.3]), ids=None, epochs=None, **fields):
    trains = [np.array(times, dtype=float) for times in trains]
    units = unit_table(range(len(trains)) if ids is None else ids)
    table = epoch_table(epochs) if epochs is not None else epoch_table(stop=1.0)
    return Recording("a", units, trains, table, **fields)


def epoch(start, stop, condition="all", trial=-1):
    return {"condition": condition, "start": start, "stop": stop, "trial": trial}


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ([0.1, np.nan], "Unit 1 .* 1 spike times that are NaN or infinite"),
        ([0.1, np.inf], "Unit 1 .* NaN or infinite"),
        ([-0.5, 0.1], r"Unit 1 .* 1 negative spike times \(first -0.5 s\)"),
        ([0.2, 0.1], r"Unit 1 .* not ascending \(0.1 s after 0.2 s\)"),
        ([[0.1], [0.2]], r"Unit 1 .* one dimension, but they have shape \(2, 1\)"),
    ],
)
def test_recording__names_the_unit_with_bad_times(times, problem):
    with pytest.raises(RecordingError, match=problem):
        make(trains=([0.1], times))


def test_recording__checks_lazy_trains_when_they_are_read():
    trains = SpikeTrains(np.array([0.1, 0.3, 0.2]), [0, 1, 3])
    recording = Recording("a", unit_table([4, 9]), trains, epoch_table(stop=1.0))
    with pytest.raises(RecordingError, match=r"Unit 9 of session 'a' .* not ascending"):
        list(recording.trains())


@pytest.mark.parametrize(
    ("epochs", "problem"),
    [
        ([epoch(0, 5), epoch(4, 6)], r"\[4, 6\) s .* overlaps another epoch of the same condition, which ends at 5 s"),
        ([epoch(0, 20)], "outside the recording, which ends at 10 s"),
        ([epoch(-1, 5)], "outside the recording, which starts at 0 s"),
        ([epoch(3, 3)], "must stop after it starts"),
        ([epoch(0, np.nan)], "finite times"),
        ([], "at least one epoch"),
    ],
)
def test_recording__names_the_bad_epoch(epochs, problem):
    with pytest.raises(RecordingError, match=problem):
        make(epochs=epochs, duration=10.0)


def test_recording__epochs_may_touch_and_conditions_overlap():
    epochs = [epoch(0.3, 0.6), epoch(0.0, 3 * 0.1), epoch(0.0, 1.0, "whole")]
    recording = make(epochs=epochs)
    assert recording.epochs["start"].tolist() == [0.0, 0.0, 0.3]
    assert recording.conditions == ["all", "whole"]


def test_recording__epochs_of_a_matrix_start_on_its_grid():
    with pytest.raises(RecordingError, match=r"start on a border of the source's bins of 0.05 s"):
        make(epochs=[epoch(0.03, 1.0)], bin_size=0.05)


@pytest.mark.parametrize("ids", [[3, 3], ["u", "u"]])
def test_recording__refuses_duplicate_units(ids):
    with pytest.raises(RecordingError, match=r"unique, but (3|u) occurs more than once"):
        make(ids=ids)


def test_recording__refuses_another_number_of_trains():
    with pytest.raises(RecordingError, match="3 units but spike times for 2"):
        make(ids=[1, 2, 3])
    with pytest.raises(RecordingError, match="has no unit"):
        make(trains=())


def test_unit_table__keeps_names_that_are_not_integers():
    units = unit_table(["b", "a"], area=[b"V1", float("nan")])
    assert units.index.tolist() == [0, 1]
    assert units["unit_name"].tolist() == ["b", "a"]
    assert units["area"].tolist() == ["V1", ""]
    assert unit_table([7, 3]).columns.tolist() == ["area"]


def test_spike_trains__reads_only_the_slice_asked_for():
    class Flat:
        asked = ()

        def __len__(self):
            return 5

        def __getitem__(self, index):
            self.asked += (index,)
            return np.arange(5)[index]

    flat = Flat()
    trains = SpikeTrains(flat, [0, 2, 2, 5], rate=2.0)
    assert trains[2].tolist() == [1.0, 1.5, 2.0]
    assert flat.asked == (slice(2, 5),)
    assert len(trains[1]) == 0
    assert [len(train) for train in trains[:2]] == [2, 0]
    assert trains[-1].tolist() == trains[2].tolist()
    assert trains.last() == 2.0
    with pytest.raises(IndexError):
        trains[3]


def test_spike_trains__of_some_units_in_another_order():
    trains = SpikeTrains(np.array([2.0, 4.0, 6.0, 8.0, 9.0]), [0, 2, 2, 5], rate=2.0, rows=[2, 0])
    assert [train.tolist() for train in trains] == [[3.0, 4.0, 4.5], [1.0, 2.0]]
    assert len(trains) == 2
    assert trains[-1].tolist() == [1.0, 2.0]
    assert trains.last() == 4.5
    with pytest.raises(IndexError):
        trains[2]


@pytest.mark.parametrize("offsets", [[0, 3, 2], [0, 9], []])
def test_spike_trains__refuses_a_damaged_index(offsets):
    with pytest.raises(RecordingError, match="damaged"):
        SpikeTrains(np.zeros(4), offsets)
