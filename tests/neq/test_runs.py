import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neq
from neq import runs
from neq.errors import ChunkError, StoreError
from workflows import store as stores
from workflows.grid import Grid
from workflows.studies.base import Prepared

TESTS = str(Path(__file__).parents[1])
OK, FAILED, IMPOSSIBLE = 1, 2, 3


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """Make a run folder with a store of the toy study: labels out of order, every cell with its own number."""
    monkeypatch.syspath_prepend(TESTS)
    import toy_study

    def make(status=OK, subjects=(), **keys):
        config = {"sessions": ("s10", "s2"), "sizes": (4, "all", 2), "repetitions": 3, **keys}
        study = toy_study.Toy(toy_study.ToyConfig(**config))
        axes = tuple(
            axis if axis.name != "size" else type(axis)("size", tuple(0 if n == "all" else n for n in axis.labels))
            for axis in study.axes()
        )
        prepared = [Prepared({"session": name}, facts={"subject": one}) for name, one in dict(subjects).items()]
        folder = tmp_path / "toy"
        folder.mkdir()
        made = stores.create(folder / "sweep.zarr", study, prepared, Grid(axes))
        shape = made.shape
        made.array("value")[...] = np.arange(np.prod(shape), dtype=float).reshape(shape)
        made.array("n_unit")[...] = 7
        made.array("reason")[...] = "because"
        made.array("quality")[...] = 9
        made.array("seconds")[...] = 0.5
        made.array("status")[...] = status
        return made

    return make


def stored_value(made, **labels):
    """The value of one cell, looked up in the store itself by the position of its labels."""
    return made.read("value")[tuple(made.labels(axis).index(labels[axis]) for axis in made.names)]


def test_open_run__sorts_axes_and_keeps_each_value_with_its_labels(make_run):
    made = make_run(extra={"surrogate": ("time_reversal", "none"), "lag": (5, 1)})
    dataset = neq.open_run(made.path.parent)
    assert dataset["session"].values.tolist() == ["s2", "s10"]
    assert dataset["size"].values.tolist() == [2, 4, 0]
    assert dataset["size_label"].values.tolist() == ["2", "4", "all"]
    assert dataset["surrogate"].values.tolist() == ["none", "time_reversal"]
    assert dataset["lag"].values.tolist() == [1, 5]
    assert dataset["value"].dims == made.names
    for labels in ({"session": "s2", "size": 0, "lag": 5}, {"session": "s10", "size": 2, "lag": 1}):
        labels |= {"condition": "move", "surrogate": "none", "repetition": 2}
        assert dataset["value"].sel(labels).item() == stored_value(made, **labels)


def test_open_run__names_the_animal_of_each_session(make_run):
    made = make_run(subjects={"s10": "m1", "s2": "m2"})
    dataset = neq.open_run(made.path.parent, variables=["value"])
    assert dataset["session"].values.tolist() == ["s2", "s10"]
    assert dataset["subject"].dims == ("session",)
    assert dataset["subject"].values.tolist() == ["m2", "m1"]
    assert dataset.sel(session="s10")["subject"].item() == "m1"
    assert "subject" not in dataset.data_vars


@pytest.mark.parametrize("subjects", [{}, {"s2": ""}])
def test_open_run__animals_that_nobody_named(make_run, subjects):
    dataset = neq.open_run(make_run(subjects=subjects).path.parent)
    assert dataset["subject"].values.tolist() == ["", ""]


def test_open_run__masks_all_but_ok_cells(make_run):
    made = make_run()
    status = np.ones(made.shape, dtype="u1")
    status[0, 0, 0, 0], status[0, 0, 0, 1], status[0, 0, 0, 2] = FAILED, IMPOSSIBLE, 0
    status[0, 0, 1, 0] = 4
    made.array("status")[...] = status
    dataset = runs.open_run(made.path)
    first = dataset.sel(session="s10", condition="rest", size=4)
    assert first["status"].values.tolist() == ["failed", "impossible", "pending"]
    assert dataset["status"].sel(session="s10", condition="rest", size=0, repetition=0).item() == "not_needed"
    not_needed = dataset.sel(session="s10", condition="rest", size=0, repetition=0)
    assert np.isnan(not_needed["value"])
    assert not_needed["reason"].item() == not_needed["run"].item() == ""
    assert np.isnan(first["value"]).all()
    assert np.isnan(first["n_unit"]).all()
    assert first["reason"].values.tolist() == ["because", "because", ""]
    assert first["seconds"].values.tolist() == [0.5] * 3
    ok = dataset["status"] == "ok"
    assert int(ok.sum()) == status.size - 4
    assert np.isfinite(dataset["value"].values[ok.values]).all()
    assert (dataset["n_unit"].values[ok.values] == 7.0).all()


def test_open_run__spells_out_quality(make_run):
    dataset = runs.open_run(make_run().path)
    assert dataset["quality"].dtype.kind in "iu"
    assert set(dataset["quality_flags"].values.ravel().tolist()) == {"capped, data_limited"}


def test_open_run__reads_live_and_consolidated_stores_alike(make_run):
    """Warnings are errors here, so this shows too that there are none."""
    made = make_run()
    live = runs.open_run(made.path)
    stores.consolidate(made.path)
    xr.testing.assert_identical(live, runs.open_run(made.path))


def test_open_run__sees_what_was_written_after_consolidation(make_run):
    made = make_run()
    stores.consolidate(made.path)
    made.array("value")[0, 0, 0, 0] = -1.0
    assert -1.0 in runs.open_run(made.path)["value"].values


def test_open_run__says_what_the_run_is(make_run):
    dataset = runs.open_run(make_run().path.parent)
    assert dataset.attrs["run"] == "toy"
    assert dataset.attrs["study"] == "toy_study:Toy"
    assert len(dataset.attrs["settings_hash"]) == 32
    assert dataset.attrs["cells_ok"] == "36 of 36"
    assert json.loads(dataset.attrs["config"])["repetitions"] == 3
    assert dataset["value"].attrs["units"] == "nats"
    assert "all units" in dataset["size"].attrs["comment"]
    assert "toy" in repr(dataset)
    assert dataset["condition"].dtype.kind == "U"


def test_open_run__leaves_big_arrays_on_disk(make_run):
    dataset = runs.open_run(make_run(big=True).path)
    assert not dataset["theta"].variable._in_memory
    assert not dataset["drawn_unit"].variable._in_memory
    assert np.isnan(dataset["theta"].isel(session=0, condition=0, size=0, repetition=0)).all()
    assert (dataset["drawn_unit"].isel(session=0) == -1).all()


def test_open_run__reads_only_the_variables_wanted(make_run):
    made = make_run()
    assert set(runs.open_run(made.path, ["value"]).data_vars) == {"value", "status", "quality", "quality_flags"}
    with pytest.raises(StoreError, match=r"no variable nothing; it has value, n_unit, .*status"):
        runs.open_run(made.path, ["nothing"])


def test_open_run__natural_order_of_labels():
    labels = np.array(["s10", "none", "s2", "b", "10", "9"])
    assert labels[runs._order(labels, "session")].tolist() == ["none", "9", "10", "b", "s2", "s10"]


@pytest.mark.parametrize("found", ["nothing", "a file", "a folder without one"])
def test_open_run__names_what_is_no_run(tmp_path, found):
    path = tmp_path / "x"
    if found == "a file":
        path.write_text("")
    elif found != "nothing":
        path.mkdir()
    with pytest.raises(
        StoreError, match=f"is not a run: expected a folder that holds sweep.zarr .*found {found}; `neq"
    ):
        runs.open_run(path)


def test_open_run__damaged_metadata(make_run):
    made = make_run()
    (made.path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"cannot be read .*neq doctor"):
        runs.open_run(made.path)


def test_open_run__damaged_chunk(make_run):
    made = make_run()
    chunk = next((made.path / "value").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(ChunkError, match=r"Variable value of .* is damaged") as caught:
        runs.open_run(made.path)
    assert caught.value.variable == "value"
