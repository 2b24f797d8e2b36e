import h5py
import numpy as np
import pandas as pd
import pytest
from allen_session import FILE, GABORS, GREY, IMAGES, answer, assert_same, changed, remove, set_values

from neq.errors import RecordingError
from neq.readers import allen_epochs


def windows(file, gabor_window="published"):
    epochs = allen_epochs.condition_epochs(allen_epochs.presentation_table(file), gabor_window, "it")
    return {row.condition: (round(row.start, 9), round(row.stop, 9)) for row in epochs.itertuples()}


def windows_of(tmp_path, *changes, gabor_window="published"):
    def change(file):
        for one in changes:
            one(file)

    with h5py.File(changed(tmp_path, change), "r") as file:
        return windows(file, gabor_window)


@pytest.fixture(scope="module")
def file():
    with h5py.File(FILE, "r") as file:
        yield file


@pytest.fixture(scope="module")
def published():
    return {"active": (5.013, 44.263), "passive": (80.017, 119.267), "gabor": (44.763, 75.013)}


def test_presentation_table__as_the_sdk(file):
    assert_same(allen_epochs.presentation_table(file), answer("presentations"))


def test_condition_epochs__published(file, published):
    shown = answer("presentations")
    passive = shown[~shown["active"]]
    gabor = passive[passive["image_name"].isna()]
    assert gabor["stimulus_name"].nunique() == 3
    assert windows(file) == published
    assert windows(file)["gabor"] == (round(gabor["start_time"].min(), 9), round(gabor["end_time"].max(), 9))


def test_condition_epochs__gabors_only(file, published):
    gabors = answer("presentations").query("stimulus_name == 'gabor_20_deg_250ms'")
    proper = {"gabor": (45.763, 65.763)}
    assert proper["gabor"] == (round(gabors["start_time"].min(), 9), round(gabors["end_time"].max(), 9))
    assert windows(file, "presentations") == published | proper


def test_condition_epochs__an_omitted_image_is_one(tmp_path, file, published):
    """Also where the file says that its name is missing: the SDK reads that as a name without letters."""
    names = file[IMAGES]["image_name"].asstr()[:]
    last = np.where(np.arange(len(names)) == len(names) - 1, "N/A", names).astype("S")
    assert "omitted" in names
    assert windows_of(tmp_path, set_values(IMAGES, "image_name", last)) == published


def test_condition_epochs__image_name_stored_as_missing(tmp_path, published):
    assert windows_of(tmp_path, set_values(GABORS, "image_name", np.nan)) == published


@pytest.mark.parametrize("kind", [float, "u1", "i8"])
def test_condition_epochs__active_stored_as_number(tmp_path, file, published, kind):
    changes = [set_values(name, "active", file[name]["active"][:].astype(kind)) for name in (IMAGES, GREY)]
    assert windows_of(tmp_path, *changes) == published


@pytest.mark.parametrize("others", [bool, float])
def test_condition_epochs__neither_where_active_is_missing(tmp_path, file, published, others):
    active = file[IMAGES]["active"][:].astype(float)
    active[0] = active[-1] = np.nan
    tables = [f"intervals/{name}" for name in file["intervals"] if name.endswith("_presentations")]
    changes = [set_values(name, "active", file[name]["active"][:].astype(others)) for name in tables]
    changed_windows = windows_of(tmp_path, *changes, set_values(IMAGES, "active", active))
    images = file[IMAGES]
    expected = {
        "active": (round(images["start_time"][1], 9), 44.263),
        "passive": (80.017, round(images["stop_time"][-2], 9)),
    }
    assert changed_windows == published | expected


def test_condition_epochs__without_a_passive_block(tmp_path, file, published):
    found = windows_of(tmp_path, set_values(IMAGES, "active", True))
    assert set(found) == {"active", "gabor"}
    assert found["active"] == (5.013, 119.267)


def test_condition_epochs__stimulus_named_by_its_table(tmp_path, published):
    gabors = windows_of(tmp_path, remove(f"{GABORS}/stimulus_name"), gabor_window="presentations")["gabor"]
    assert gabors == (45.763, 65.763)


def every_table(name):
    def change(file):
        for table in [name for name in file["intervals"] if name.endswith("_presentations")]:
            del file[f"intervals/{table}"]
        file.move("intervals/trials", f"intervals/{name}")

    return change


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            [every_table("trials2")],
            r"tables \*_presentations with rows, found trials2; choose .* or give the option epochs",
        ),
        ([every_table("x_presentations")], "'/intervals/x_presentations' of .* a column active, found aborted"),
        ([remove("intervals")], r"with rows, found none; choose"),
        ([remove(f"{GABORS}/stop_time")], "a column stop_time, found active"),
    ],
)
def test_presentation_table__says_what_there_is(tmp_path, changes, problem):
    with pytest.raises(RecordingError, match=problem):
        windows_of(tmp_path, *changes)


SHOWN = pd.DataFrame(
    {
        "start_time": [3.0, 4.0],
        "end_time": [3.5, 4.5],
        "active": [True, False],
        "image_name": ["im1", "im2"],
        "stimulus_name": "images",
    }
)


def test_condition_epochs__nothing_active_or_not():
    shown = SHOWN.assign(active=[np.nan, np.nan])
    with pytest.raises(
        RecordingError, match=r"active or not \(column active\), found 2 of images where that is missing"
    ):
        allen_epochs.condition_epochs(shown, "published", "it")


@pytest.mark.parametrize("end", [3.0, 2.0, np.nan])
def test_condition_epochs__that_take_no_time(end):
    with pytest.raises(
        RecordingError,
        match=r"the 1 presentations of condition 'active' in it to take time, found .* 3.*; leave the session out",
    ):
        allen_epochs.condition_epochs(SHOWN.assign(end_time=[end, 4.5]), "published", "it")


def test_on_published_grid__ends_with_the_spikes():
    epochs = allen_epochs.condition_epochs(SHOWN, "published", "it")
    grid = allen_epochs.on_published_grid(epochs, first=3.004, last=4.239)
    bins = (grid[["start", "stop"]] - 3.004) / 0.01
    np.testing.assert_allclose(bins, [[0, 49], [99, 123]], atol=1e-9)
