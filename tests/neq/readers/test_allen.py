import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from allen_session import (
    ANSWERS,
    CACHE,
    ELECTRODES,
    FILE,
    IMAGES,
    OTHER_FILE,
    UNITS,
    answer,
    changed,
    make_unreadable,
    remove,
    set_entry,
    set_values,
)

from neq.errors import RecordingError
from neq.readers import detect_kind, nwb, read_recording
from neq.spikes.binning import bin_spikes


@pytest.fixture(scope="module")
def reference():
    return read_recording(FILE, order="reference")


def test_allen__recording(reference):
    recording = read_recording(FILE)
    assert (recording.session, recording.subject, recording.conditions) == (
        "1064644573", "544456", ["active", "gabor", "passive"],
    )  # fmt: skip
    assert recording.source == {"kind": "allen", "path": str(FILE), "options": {}}
    assert sorted(recording.units.index) == sorted(answer("good_units").index)
    good = answer("good_units").rename(columns={"structure_acronym": "area"})
    assert set(recording.units.columns) == set(good.columns)
    np.testing.assert_allclose(recording.units["snr"], good["snr"].reindex(recording.units.index), rtol=0)
    assert np.all(np.diff(recording.units["probe_vertical_position"]) <= 0)
    assert recording.units["area"].to_dict() == good["area"].to_dict()
    assert reference.source["options"] == {"order": "reference"}


def test_allen__spike_times_as_the_sdk():
    spikes = np.load(ANSWERS / "spikes.npz")
    with h5py.File(FILE, "r") as file:
        for unit, times in zip(file["units/id"][:], nwb.spike_trains(file["units"]), strict=True):
            np.testing.assert_array_equal(times, spikes[str(unit)])
    for options in ({}, {"order": "reference"}, {"quality": {}}):
        recording = read_recording(FILE, **options)
        for unit, times in zip(recording.units.index, recording.spike_times, strict=True):
            np.testing.assert_array_equal(times, spikes[str(unit)])
    assert len(recording.units) == 58


def test_allen__bins_of_the_published_preprocessing(reference):
    published = np.load(ANSWERS / "reference_binned.npz")
    assert reference.units.index.tolist() == answer("good_units").index.tolist()
    binned = bin_spikes(reference, 0.01)
    for condition in ("active", "passive", "gabor"):
        inside = binned["condition_mask"].sel(condition=condition).values
        np.testing.assert_array_equal(binned["spikes"].values[inside], published[f"S_{condition}"])
    assert binned["area"].values.tolist() == published["areas"].tolist()


def test_allen__windows_begin_with_the_first_presentation():
    epochs = read_recording(FILE).epochs.set_index("condition")
    assert epochs.round(9).loc[["active", "gabor", "passive"], "start"].tolist() == [5.013, 44.763, 80.017]
    gabors = read_recording(FILE, gabor_window="presentations").epochs.set_index("condition")
    assert gabors.round(9).loc["gabor", ["start", "stop"]].tolist() == [45.763, 65.763]


def test_allen__from_a_cache_folder():
    recording = read_recording(CACHE, session="1064644574")
    alone = read_recording(OTHER_FILE)
    assert recording.session == alone.session == "1064644574"
    assert recording.source == alone.source
    for one, other in zip(recording.spike_times, alone.spike_times, strict=True):
        np.testing.assert_array_equal(one, other)


def test_allen__cache_without_the_session(tmp_path):
    with pytest.raises(RecordingError, match=r"id of one of the \d+ sessions of .* found 'cache'; name one as session"):
        read_recording(CACHE)
    with pytest.raises(RecordingError, match="session 77"):
        read_recording(CACHE, session="77")
    shutil.copytree(CACHE, tmp_path / "cache", ignore=shutil.ignore_patterns("*4573.nwb"))
    problem = r"1064644573 is not downloaded to .*; `neq fetch allen-vbn --sessions 1064644573 --to .*cache`"
    with pytest.raises(RecordingError, match=problem):
        read_recording(tmp_path / "cache", session="1064644573")
    (path,) = (tmp_path / "cache").rglob("ecephys_sessions.csv")
    table = pd.read_csv(path, dtype=str)
    table.loc[0, "abnormal_activity"] = "[1]"
    table.to_csv(path, index=False)
    with pytest.raises(RecordingError, match=r"`neq fetch allen-vbn --sessions 1064644573 --abnormal --to .*cache`"):
        read_recording(tmp_path / "cache", session="1064644573")


def test_allen__session_names(tmp_path):
    copy = shutil.copyfile(FILE, tmp_path / "mouse 3.nwb")
    assert read_recording(copy).session == "mouse 3"
    assert read_recording(FILE, session="mine").session == "mine"


def test_detect_kind__of_sessions(tmp_path):
    assert detect_kind(FILE) == detect_kind(CACHE) == "allen"
    for change in (remove("intervals"), remove(f"{UNITS}/peak_channel_id"), remove(ELECTRODES)):
        path = changed(tmp_path, change)
        other = shutil.copyfile(path, tmp_path / "mouse.nwb")
        assert detect_kind(path) == detect_kind(other) == "allen"
        with h5py.File(other, "r+") as file:
            del file["specifications"]
        assert detect_kind(other) == "nwb"
    assert detect_kind(shutil.copyfile(changed(tmp_path, remove("specifications")), other)) == "allen"


def test_allen__files_of_a_cache_are_told_with_the_command_that_fetches_them(tmp_path):
    cache = shutil.copytree(CACHE, tmp_path / "cache")
    path = next(cache.rglob(FILE.name))
    whole = path.read_bytes()
    command = rf"`neq fetch allen-vbn --sessions 1064644573 --to {cache}`"
    for content, problem in [
        (whole[:5000], "is not a readable HDF5 file"),
        (whole[:-400_000] + bytes(400_000), "is damaged"),
        (None, "is not downloaded"),
    ]:
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(RecordingError, match=rf"{problem}.*; {command}"):
            read_recording(cache, session="1064644573")


UNWANTED = (f"{UNITS}/waveform_mean", f"{UNITS}/spike_amplitudes", "acquisition/v_sig/data", "acquisition/v_in/data")


def test_allen__reads_no_waveforms_and_no_amplitudes(tmp_path, reference):
    def change(file):
        for name in UNWANTED:
            make_unreadable(name)(file)

    path = changed(tmp_path, change)
    with h5py.File(path) as file:
        for name in UNWANTED:
            with pytest.raises(OSError, match="Can't synchronously read"):
                file[name][0]
    recording = read_recording(path, order="reference")
    assert detect_kind(path) == "allen"
    assert recording.units.equals(reference.units)
    assert bin_spikes(recording).equals(bin_spikes(reference))


def test_allen__reads_spike_times_when_they_are_asked_for(tmp_path):
    path = changed(tmp_path, make_unreadable(f"{UNITS}/spike_times"))
    recording = read_recording(path)
    with pytest.raises(RecordingError, match=r"spike times of unit \d+ of session '1064644573' cannot be read"):
        bin_spikes(recording)
    with pytest.raises(RecordingError, match=r"4573\.nwb' is damaged \(.*\); fetch it again"):
        read_recording(path, order="reference")


def test_allen__epochs_and_condition_of_the_options(tmp_path):
    path = changed(tmp_path, remove("intervals"))
    epochs = [{"condition": "grey", "start": 1.0, "stop": 4.0}]
    for order in ("stable", "reference"):
        recording = read_recording(path, kind="allen", epochs=epochs, order=order)
        assert recording.epochs[["condition", "start", "stop"]].values.tolist() == [["grey", 1.0, 4.0]]
    recording = read_recording(FILE, condition="whole", duration=110.0)
    assert recording.epochs[["condition", "start", "stop"]].values.tolist() == [["whole", 0.0, 110.0]]
    assert recording.duration == 110.0
    with h5py.File(FILE, "r") as file:
        end = file["units/spike_times"][:].max()
    assert read_recording(FILE, condition="whole").epochs["stop"].tolist() == [end]


def test_allen__without_a_passive_block(tmp_path):
    path = changed(tmp_path, set_values(IMAGES, "active", True))
    assert read_recording(path).conditions == ["active", "gabor"]


def test_allen__units_in_no_area(tmp_path):
    def change(file):
        file[ELECTRODES]["location"][:] = "None"

    recording = read_recording(changed(tmp_path, change), order="reference")
    assert set(recording.units["area"]) == {""}
    assert set(bin_spikes(recording)["area"].values) == {""}


def test_allen__reference_order_with_silent_units(tmp_path):
    """The grid of the published bins begins with the first spike of the units that have any."""

    def silence_the_first(file):
        file[UNITS]["spike_times_index"][:] = np.maximum(file[UNITS]["spike_times_index"][:].astype(int) - 2188, 0)
        times = file[UNITS]["spike_times"][:]
        file[UNITS]["spike_times"][:-2188] = times[2188:]

    path = changed(tmp_path, silence_the_first)
    recording = read_recording(path, order="reference", quality={})
    assert len(recording.spike_times[recording.units.index.get_loc(1064644573000000)]) == 0
    first = min(times[0] for times in recording.spike_times if len(times))
    bins = (recording.epochs["start"] - first) / 0.01
    np.testing.assert_allclose(bins, bins.round(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"order": "published"}, r"allen' are wrong: order: .* 'stable' or 'reference', found 'published'"),
        ({"quality": {"snr": "= 1"}}, r"allen' are wrong: quality: .* comparison such as '> 1'"),
        ({"quality": {"snr": "> 99"}}, r"No unit is left of the 58 of session '1064644573' \(snr > 99 leaves 0\)"),
        ({"conditions": {}}, "conditions: there is no such option, did you mean condition"),
        ({"epochs": [{"condition": "a", "start": 5, "stop": 5}]}, "Epoch 'a' .* must stop after it starts"),
    ],
)
def test_allen__bad_options(options, problem):
    with pytest.raises(RecordingError, match=problem):
        read_recording(FILE, **options)


def test_allen__units_without_channels(tmp_path):
    path = changed(tmp_path, set_values(UNITS, "peak_channel_id", 1))
    with pytest.raises(RecordingError, match=r"found 60 units, 0 of them with such a channel, 0 of these"):
        read_recording(path)
    path = changed(tmp_path, set_values(ELECTRODES, "valid_data", False))
    with pytest.raises(RecordingError, match=r"found 60 units .*, 0 channels with valid data, and none"):
        read_recording(path)


def test_allen__cut_off_file(tmp_path):
    cut = tmp_path / FILE.name
    for length in (300, 5000, 900_000, FILE.stat().st_size - 1):
        cut.write_bytes(FILE.read_bytes()[:length])
        with pytest.raises(RecordingError, match=r"not a readable HDF5 file .*; fetch it again"):
            read_recording(cut)


@pytest.mark.parametrize("place", [f"{UNITS}/snr", f"{ELECTRODES}/location", IMAGES, f"{IMAGES}/active"])
def test_allen__damaged_file(tmp_path, place):
    with h5py.File(FILE, "r") as file:
        address = h5py.h5o.get_info(file[place].id).addr
    content = bytearray(FILE.read_bytes())
    content[address : address + 64] = bytes(64)
    path = tmp_path / FILE.name
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"4573\.nwb' is damaged \(.*\); fetch it again"):
        read_recording(path, kind="allen")


def test_allen__not_a_session(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = np.arange(3)
    with pytest.raises(RecordingError, match=r"Expected .* an NWB units table with spike_times .*, found values"):
        read_recording(tmp_path / "other.h5", kind="allen")
    (tmp_path / "notes.nwb").write_text("not HDF5 at all")
    with pytest.raises(RecordingError, match="not a readable HDF5 file"):
        read_recording(tmp_path / "notes.nwb", kind="allen")
    with pytest.raises(RecordingError, match="does not exist"):
        read_recording(tmp_path / "none.nwb", kind="allen")


def test_allen__names_the_unit_with_bad_times(tmp_path):
    path = changed(tmp_path, set_entry(UNITS, "spike_times", slice(0, None), -1.0))
    with pytest.raises(RecordingError, match=r"Unit \d+ of session '1064644573' has \d+ negative spike times"):
        bin_spikes(read_recording(path))


@pytest.mark.parametrize("n_unit", [61, 40])
@pytest.mark.parametrize("kind", ["allen", "nwb"])
def test_read__an_index_of_other_units_than_the_table(tmp_path, kind, n_unit):
    with h5py.File(FILE, "r") as file:
        index = file[f"{UNITS}/spike_times_index"][:]
    path = changed(tmp_path, set_values(UNITS, "spike_times_index", np.insert(index, 0, 1000)[:n_unit]))
    with pytest.raises(RecordingError, match=f"spike_times_index of the 60 unit ids, found one of {n_unit} units; exp"):
        read_recording(path, kind=kind)


@pytest.mark.parametrize("table", [UNITS, ELECTRODES])
@pytest.mark.parametrize("first", [1.5, np.nan, "1"])
def test_allen__ids_that_are_no_whole_numbers(tmp_path, table, first):
    def change(file):
        ids = [first, *map(type(first), file[table]["id"][1:].tolist())]
        del file[table]["id"]
        file[table]["id"] = ids

    with pytest.raises(RecordingError, match=rf"table '/{table}' of .* ids that are whole numbers"):
        read_recording(changed(tmp_path, change))
