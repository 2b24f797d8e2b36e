import warnings
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from neq.errors import RecordingError
from neq.readers import nwb, read_recording
from neq.spikes.binning import bin_spikes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pynwb = pytest.importorskip("pynwb")

TRAINS = {11: [0.5, 1.25, 2.0], 12: [], 40: [0.1, 9.5]}


def electrodes_of(nwbfile):
    device = nwbfile.create_device("probe")
    group = nwbfile.create_electrode_group("shank", "one", "somewhere", device)
    for location in ("VISp", "VISp", "LGd", "VISl"):
        nwbfile.add_electrode(group=group, location=location)


def units_of(nwbfile, electrodes):
    nwbfile.add_unit_column("snr", "signal to noise")
    nwbfile.add_unit_column("label", "of the sorter")
    nwbfile.add_unit_column("kept", "by hand")
    rows = {11: [2, 0, 1], 12: [2], 40: [3]}
    for (unit, times), label in zip(TRAINS.items(), ("good", "mua", "good"), strict=True):
        more = {"electrodes": rows[unit]} if electrodes else {}
        nwbfile.add_unit(
            id=unit, spike_times=times, snr=unit / 10, label=label, kept=unit > 11, waveform_mean=np.ones((5, 2)),
            obs_intervals=[[0.0, 10.0]], **more,
        )  # fmt: skip


def intervals_of(nwbfile):
    nwbfile.add_trial_column("block", "number")
    nwbfile.add_trial_column("image", "shown")
    for k in range(6):
        nwbfile.add_trial(start_time=float(k), stop_time=k + 0.8, block=k % 3, image="" if k == 4 else f"im{k}")
    nwbfile.add_epoch(6.0, 8.0, ["rest", "dark"])
    nwbfile.add_epoch(8.0, 9.0, ["task"])
    own = pynwb.epoch.TimeIntervals(name="running", description="own table")
    own.add_row(start_time=0.0, stop_time=4.0)
    own.add_row(start_time=3.0, stop_time=5.0)
    nwbfile.add_time_intervals(own)


def write(path, *parts):
    nwbfile = pynwb.NWBFile("test", "test", datetime(2020, 1, 1, tzinfo=UTC))
    for part in parts:
        part(nwbfile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(nwbfile)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    name = tmp_path_factory.mktemp("nwb") / "mouse.nwb"
    return write(name, electrodes_of, lambda file: units_of(file, electrodes=True), intervals_of)


def test_nwb__animal(path, tmp_path):
    def subject_of(nwbfile):
        nwbfile.subject = pynwb.file.Subject(subject_id="M-7", species="Mus musculus")

    known = write(tmp_path / "known.nwb", lambda file: units_of(file, electrodes=False), subject_of)
    assert read_recording(path).subject == ""
    assert read_recording(known).subject == "M-7"
    assert read_recording(known, subject="of the notebook").subject == "of the notebook"
    assert bin_spikes(read_recording(known), 0.5).attrs["subject"] == "M-7"


@pytest.mark.parametrize(
    ("stored", "read"),
    [(408021, "408021"), (b" M-7 ", "M-7"), ([b"M-7"], "M-7"), ("", ""), (h5py.Empty("S1"), ""), ([b"a", b"b"], "")],
)
def test_nwb__ids_of_animals_as_exporters_write_them(tmp_path, stored, read):
    path = write(tmp_path / "a.nwb", lambda file: units_of(file, electrodes=False))
    with h5py.File(path, "a") as file:
        file["general/subject/subject_id"] = stored
    assert read_recording(path).subject == read


def test_nwb__units(path):
    recording = read_recording(path)
    assert recording.session == "mouse"
    assert recording.units.index.tolist() == [11, 12, 40]
    assert [times.tolist() for times in recording.spike_times] == list(TRAINS.values())
    assert recording.units["area"].tolist() == ["VISp", "LGd", "VISl"]
    assert sorted(recording.units.columns) == ["area", "kept", "label", "snr"]
    assert recording.units["kept"].tolist() == [False, True, True]
    assert recording.units["label"].tolist() == ["good", "mua", "good"]
    assert recording.epochs.to_dict("records") == [{"condition": "all", "start": 0.0, "stop": 9.5, "trial": -1}]
    dataset = bin_spikes(recording, 0.5)
    assert dataset["spike_count"].values.tolist() == [3, 0, 1]


def test_nwb__area_and_quality_by_option(path):
    recording = read_recording(path, area="label", quality=["snr"])
    assert recording.units["area"].tolist() == ["good", "mua", "good"]
    assert sorted(recording.units.columns) == ["area", "snr"]


def test_nwb__area_by_peak_channel(tmp_path):
    def units(nwbfile):
        nwbfile.add_unit_column("peak_channel_id", "id of electrode")
        nwbfile.add_unit(spike_times=[0.1], peak_channel_id=3)
        nwbfile.add_unit(spike_times=[0.2], peak_channel_id=77)

    recording = read_recording(write(tmp_path / "a.nwb", electrodes_of, units))
    assert recording.units["area"].tolist() == ["VISl", ""]


def test_nwb__without_electrodes(tmp_path):
    recording = read_recording(write(tmp_path / "a.nwb", lambda file: units_of(file, electrodes=False)))
    assert recording.units["area"].tolist() == ["", "", ""]


def test_nwb__conditions(path):
    conditions = {
        "first": {"table": "trials", "where": {"block": 1}},
        "some": {"table": "trials", "where": {"block": [0, 2], "image": ["im0", "im2"]}},
        "none": {"table": "trials", "where": {"image": None}},
        "rest": {"table": "epochs", "where": {"tags": "rest"}},
        "running": {"table": "running", "merge": True},
        "whole": {"start": 0, "stop": 9},
    }
    recording = read_recording(path, conditions=conditions)
    found = {
        condition: [(row.start, row.stop, row.trial) for row in rows.itertuples()]
        for condition, rows in recording.epochs.groupby("condition")
    }
    assert found == {
        "first": [(1.0, 1.8, 1), (4.0, 4.8, 4)],
        "some": [(0.0, 0.8, 0), (2.0, 2.8, 2)],
        "none": [(4.0, 4.8, 4)],
        "rest": [(6.0, 8.0, 0)],
        "running": [(0.0, 5.0, -1)],
        "whole": [(0.0, 9.0, -1)],
    }
    assert recording.source["options"]["conditions"]["rest"] == {"table": "epochs", "where": {"tags": "rest"}}
    assert bin_spikes(recording, 0.1)["condition_mask"].sum("bin").sel(condition="first").item() == 16


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"conditions": {"a": {"table": "licks"}}}, "no intervals table 'licks' .* epochs, running, trials"),
        (
            {"conditions": {"a": {"table": "trials", "where": {"blok": 1}}}},
            "has no column 'blok'; it has block, id, image",
        ),
        (
            {"conditions": {"a": {"table": "trials", "where": {"block": 9}}}},
            "No row of table 'trials' has {'block': 9}",
        ),
        ({"conditions": {"a": {"table": "running"}}}, "'a' .* overlaps another epoch"),
        ({"conditions": {"a": {"start": 0}}}, r"conditions\.a: .* expected either a table or both start and stop"),
        ({"conditions": {"a": {"start": 0, "stop": 1, "merge": True}}}, "where and merge need a table"),
        ({"conditions": {"a": {"start": 0, "stop": 99}}, "duration": 10}, "outside the recording, which ends at 10 s"),
        ({"conditions": {"a": {"start": 0, "stop": 1}}, "epochs": []}, "either conditions or epochs"),
        ({"area": "region"}, "no column 'region' with one value per unit; it has kept, label, snr"),
        ({"quality": ["waveform_mean"]}, "no column 'waveform_mean'"),
    ],
)
def test_nwb__bad_options(path, options, problem):
    with pytest.raises(RecordingError, match=problem):
        read_recording(path, **options)


def test_nwb__without_units(tmp_path):
    with pytest.raises(RecordingError, match=r"Expected .* an NWB units table .* found .*intervals"):
        read_recording(write(tmp_path / "a.nwb", intervals_of))


def test_nwb__cut_file(path, tmp_path):
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RecordingError, match=r"not a readable HDF5 file"):
        read_recording(cut)


def test_nwb__names_the_unit_with_bad_times(path, tmp_path):
    bad = tmp_path / "bad.nwb"
    bad.write_bytes(path.read_bytes())
    with h5py.File(bad, "r+") as file:
        file["units/spike_times"][3] = np.nan
    recording = read_recording(bad, duration=10.0)  # lazy: nothing is read yet
    with pytest.raises(RecordingError, match=r"Unit 40 of session 'bad' has 1 spike times that are NaN"):
        bin_spikes(recording, 0.1)


def test_nwb__reads_no_waveforms(path, monkeypatch):
    read = []
    original = h5py.Dataset.__getitem__

    def spy(dataset, *args, **kwargs):
        read.append(dataset.name)
        return original(dataset, *args, **kwargs)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    recording = nwb.read(path, "a", duration=10.0)
    assert "/units/spike_times" not in read
    bin_spikes(recording, 0.1)
    assert "/units/spike_times" in read
    assert not [name for name in read if "waveform" in name or "obs_intervals" in name]


def test_most_frequent__of_variable_width_strings():
    names = np.array(["LGd", "VISp", "VISp"], dtype=np.dtypes.StringDType())
    assert nwb._most_frequent(names) == "VISp"
