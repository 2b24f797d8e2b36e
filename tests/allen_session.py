"""A session file of the fixture of the Allen release, changed copies of it, and what the Allen SDK answers for it."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

CACHE = Path(__file__).parent / "reference_data/allen/cache"
ANSWERS = CACHE.parent / "answers_1064644573"
(FILE,) = CACHE.rglob("ecephys_session_1064644573.nwb")
(OTHER_FILE,) = CACHE.rglob("ecephys_session_1064644574.nwb")

UNITS = "units"
ELECTRODES = "general/extracellular_ephys/electrodes"
IMAGES = "intervals/Natural_Images_Lum_Matched_set_ophys_G_2019_presentations"
GABORS = "intervals/gabor_20_deg_250ms_presentations"
GREY = "intervals/spontaneous_presentations"


def answer(name):
    """Return a table of the SDK's answers, indexed by the id of its rows."""
    return pd.read_csv(ANSWERS / f"{name}.csv", index_col=0)


def assert_same(table, expected):
    """Every value of the table is the one in the SDK's answers, which in a CSV are numbers, words or missing."""
    assert set(table.columns) == set(expected.columns)
    assert table.index.tolist() == expected.index.tolist()
    for name in expected:
        ours, theirs = (
            [None if pd.isna(value) or value == "" else value for value in t[name]] for t in (table, expected)
        )
        assert ours == theirs, name


def changed(folder, change):
    """Return a copy of the session file after ``change(file)``."""
    path = Path(folder) / FILE.name
    shutil.copyfile(FILE, path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def set_values(table, name, values):
    """Return a change that writes a column anew, whatever its type was."""

    def change(file):
        if name in file[table]:
            del file[table][name]
        n_row = len(file[table]["id"])
        file[table].create_dataset(name, data=[values] * n_row if np.ndim(values) == 0 else values)

    return change


def set_entry(table, name, row, value):
    """Return a change of one entry of a column."""

    def change(file):
        file[table][name][row] = value

    return change


def remove(*paths):
    """Return a change that removes tables or columns."""

    def change(file):
        for path in paths:
            del file[path]

    return change


def make_unreadable(path):
    """Return a change after which a dataset has its shape and type, and reading any of it fails."""

    def change(file):
        shape, dtype = file[path].shape, file[path].dtype
        del file[path]
        file.create_dataset(path, shape, dtype, external=[("/nowhere/at all", 0, h5py.h5f.UNLIMITED)])

    return change
