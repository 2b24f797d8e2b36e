import h5py
import numpy as np
import pandas as pd
import pytest
from allen_session import ELECTRODES, FILE, UNITS, answer, assert_same, changed, remove, set_entry, set_values

from neq.errors import RecordingError
from neq.readers import allen_units


def opened(tmp_path, change):
    return h5py.File(changed(tmp_path, change), "r")


def merged(file):
    return allen_units.joined_units(allen_units.unit_table(file), allen_units.channel_table(file), "it")


@pytest.fixture(scope="module")
def file():
    with h5py.File(FILE, "r") as file:
        yield file


def test_unit_table__as_the_sdk(file):
    assert_same(allen_units.unit_table(file), answer("units"))


def test_channel_table__as_the_sdk(file):
    table = allen_units.channel_table(file)
    assert_same(table, answer("channels"))
    assert len(table) < len(file[ELECTRODES]["id"])
    assert None in table["structure_acronym"].tolist()


def test_good_units__as_the_published_preprocessing(file):
    ordered = allen_units.ordered_units(merged(file), "reference")
    assert_same(allen_units.good_units(ordered, allen_units.PUBLISHED_QUALITY, "it"), answer("good_units"))


def test_ordered_units__stable_keeps_the_file_within_a_height(file):
    table = merged(file)
    ordered = allen_units.ordered_units(table, "stable")
    row = {unit: row for row, unit in enumerate(table.index)}
    keys = [(-height, row[unit]) for unit, height in ordered["probe_vertical_position"].items()]
    assert keys == sorted(keys)
    reference = allen_units.ordered_units(table, "reference")
    assert set(reference.index) == set(ordered.index)
    assert reference.index.tolist() != ordered.index.tolist()


@pytest.mark.parametrize("measure", ["amplitude_cutoff", "presence_ratio", "isi_violations"])
def test_unit_table__drops_units_without_a_measure(tmp_path, file, measure):
    before = allen_units.unit_table(file)
    with opened(tmp_path, set_entry(UNITS, measure, 7, np.nan)) as copy:
        assert allen_units.unit_table(copy).index.tolist() == before.index.delete(7).tolist()
    with opened(tmp_path, set_entry(UNITS, measure, 7, np.inf)) as copy:
        assert len(allen_units.unit_table(copy)) == len(before)


@pytest.mark.parametrize("stored", [bool, float, "u1"])
def test_channel_table__drops_channels_without_valid_data(tmp_path, file, stored):
    table = merged(file)
    channel = table["peak_channel_id"].iloc[3]
    valid = np.where(file[ELECTRODES]["id"][:] == channel, 0, file[ELECTRODES]["valid_data"][:]).astype(stored)
    with opened(tmp_path, set_values(ELECTRODES, "valid_data", valid)) as copy:
        assert channel not in allen_units.channel_table(copy).index
        assert merged(copy).index.tolist() == table.index[table["peak_channel_id"] != channel].tolist()
        assert len(allen_units.unit_table(copy)) == len(allen_units.unit_table(file))


def test_channel_table__areas(tmp_path):
    names = ["LGd-sh", "None", "", "VISp", "CA1-so-x", "root"]

    def change(file):
        file[ELECTRODES]["location"][: len(names)] = names

    with opened(tmp_path, change) as copy:
        areas = allen_units.channel_table(copy)["structure_acronym"]
        by_id = areas.reindex(copy[ELECTRODES]["id"][: len(names)])
        assert by_id.tolist() == ["LGd", None, None, "VISp", "CA1", "root"]


def test_tables__go_through_the_probes_as_the_file_lists_them(tmp_path, file):
    """The SDK asks one probe after the other, wherever its rows are."""

    def turn_round(file):
        for table in (ELECTRODES, UNITS):
            for name in file[table]:
                column = file[table][name]
                if column.shape == file[table]["id"].shape and column.dtype.kind in "bif" and "index" not in name:
                    column[:] = column[:][::-1]

    with opened(tmp_path, turn_round) as copy:
        for of in (allen_units.unit_table, allen_units.channel_table):
            before, after = of(file), of(copy)
            assert sorted(after.index) == sorted(before.index)
            assert after.index.tolist() != before.index.tolist()
        assert after["probe_id"].is_monotonic_increasing


def test_tables__leave_out_what_is_of_no_probe(tmp_path, file):
    with opened(tmp_path, set_entry(ELECTRODES, "probe_id", slice(0, 24), 5)) as copy:
        gone = set(file[ELECTRODES]["id"][:24])
        units = allen_units.unit_table(file)
        assert not gone & set(allen_units.channel_table(copy).index)
        assert allen_units.unit_table(copy).index.tolist() == units.index[~units["peak_channel_id"].isin(gone)].tolist()


def test_joined_units__counts_what_does_not_match(file):
    units = allen_units.unit_table(file).assign(peak_channel_id=1)
    with pytest.raises(
        RecordingError,
        match=r"found 60 units that have a channel .* 138 channels with valid data, and none with the peak_channel_id",
    ):
        allen_units.joined_units(units, allen_units.channel_table(file), "it")


def test_good_units__counts_what_each_rule_leaves(file):
    quality = {"snr": "> 1", "firing_rate": "> 1000"}
    with pytest.raises(RecordingError, match=r"of the 58 of it \(snr > 1 leaves \d+, firing_rate > 1000 leaves 0\)"):
        allen_units.good_units(merged(file), quality, "it")


def test_good_units__compares_words_and_channels(file):
    table = merged(file)
    good = allen_units.good_units(table, {"quality": "== good", "structure_acronym": "== CA1"}, "it")
    expected = table[(table["quality"] == "good") & (table["structure_acronym"] == "CA1")]
    assert 0 < len(good) < len(table)
    pd.testing.assert_frame_equal(good, expected)


@pytest.mark.parametrize(
    ("quality", "problem"),
    [
        ({"sn": "> 1"}, "no column 'sn' for the option quality; they have PT_ratio, .*snr"),
        ({"quality": "> 1"}, "option quality does not fit .* holds text"),
        ({"snr": "== good"}, "option quality does not fit .* holds numbers"),
    ],
)
def test_good_units__bad_quality(file, quality, problem):
    with pytest.raises(RecordingError, match=problem):
        allen_units.good_units(merged(file), quality, "it")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (remove(ELECTRODES), "a table of electrodes, found none, so its units have no channels"),
        (remove(f"{ELECTRODES}/probe_vertical_position"), "electrodes' of .* a column probe_vertical_position, found"),
        (remove(f"{UNITS}/amplitude_cutoff", f"{UNITS}/peak_channel_id"), "a column amplitude_cutoff, peak_channel_id"),
        (set_entry(UNITS, "id", slice(0, 2), 44), r"'/units' of .* an id of its own for each row, found 44 more than"),
        (remove(UNITS), "an NWB units table with spike_times and spike_times_index, found acquisition"),
    ],
)
def test_tables__name_what_is_missing(tmp_path, change, problem):
    with opened(tmp_path, change) as copy, pytest.raises(RecordingError, match=problem):
        allen_units.unit_table(copy)


def test_tables__need_no_other_columns(tmp_path, file):
    more = ("quality", "d_prime", "local_index", "waveform_duration")
    with opened(tmp_path, remove(*(f"{UNITS}/{name}" for name in more), f"{ELECTRODES}/x")) as copy:
        assert merged(copy).index.tolist() == merged(file).index.tolist()
