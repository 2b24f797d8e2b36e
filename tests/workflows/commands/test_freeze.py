"""Copies for sharing: equal to the run in everything, few files, whole or not there."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import neq
from neq.errors import ChunkError, LeaseHeldError, StoreError
from workflows import cli, layout, lease
from workflows.commands import freeze
from workflows.reconcile import reconcile
from workflows.store import Store, consolidate
from workflows.studies.base import Prepared


def make_pending(run, region):
    array = Store.open(run / "sweep.zarr", "r+").array("status")
    array[region] = layout.PENDING


@pytest.mark.parametrize("zipped", [False, True])
def test_freeze__equals_the_run_wherever_it_is_taken(run_copy, tmp_path, zipped):
    made = freeze.freeze(run_copy, zipped)
    elsewhere = tmp_path / "laptop" / made.path.name
    elsewhere.parent.mkdir()
    made.path.rename(elsewhere)
    with neq.open_run(run_copy) as original, neq.open_run(elsewhere) as copy:
        xr.testing.assert_identical(copy.load(), original.load())
        assert copy["value"].dtype == original["value"].dtype


@pytest.mark.parametrize("zipped", [False, True])
def test_freeze__plain_xarray_reads_the_same_arrays_and_attributes(run_copy, zipped):
    made = freeze.freeze(run_copy, zipped)
    original = xr.open_zarr(run_copy / "sweep.zarr").load()
    with xr.open_zarr(made.address) as copy:
        facts = copy.attrs.pop("frozen")
        xr.testing.assert_identical(copy.load(), original)
    assert facts["run"] == run_copy.name
    assert set(facts["runs"]) == {path.stem for path in (run_copy / "runs").glob("*.json")}


@pytest.mark.parametrize("zipped", [False, True])
def test_freeze__names_the_animals(run_copy, zipped):
    opened = Store.open(run_copy / "sweep.zarr", "r+")
    first, *others = opened.labels("session")
    reconcile(opened, opened.study, [Prepared({"session": first}, facts={"subject": "m1"})])
    made = freeze.freeze(run_copy, zipped)
    with xr.open_zarr(made.address) as plain, neq.open_run(made.path) as copy:
        for dataset in (plain, copy):
            names = dict(
                zip(dataset["session"].values.tolist(), dataset.coords["subject"].values.tolist(), strict=True)
            )
            assert names == {first: "m1"} | dict.fromkeys(others, "")


def test_freeze__few_files_that_nobody_may_write(run_copy):
    made = freeze.freeze(run_copy)
    n_variable = len(list((run_copy / "sweep.zarr").glob("*/zarr.json")))
    files = [path for path in made.path.rglob("*") if path.is_file()]
    assert made.n_file == len(files) <= 2 * n_variable + 1
    assert all(path.stat().st_mode & 0o222 == 0 for path in files)
    assert freeze.freeze(run_copy, zipped=True).n_file == 1
    with pytest.raises(StoreError, match="frozen copy"):
        Store.open(made.path, "r+")


def test_freeze__large_arrays_are_split_between_cells(run_copy, monkeypatch):
    monkeypatch.setattr(freeze, "CHUNK_BYTES", 100)
    made = freeze.freeze(run_copy)
    assert len(list((made.path / "theta").glob("c/**/*"))) > 10
    with neq.open_run(run_copy) as original, neq.open_run(made.path) as copy:
        xr.testing.assert_identical(copy.load(), original.load())


def test_freeze__unfinished_only_on_demand(run_copy):
    make_pending(run_copy, (0, 0, 0, slice(None)))
    with pytest.raises(StoreError, match=r"3 of 36 cells .* are pending: .*--partial"):
        freeze.freeze(run_copy)
    made = freeze.freeze(run_copy, partial=True)
    assert made.n_pending == 3
    assert (neq.open_run(made.path)["status"] == "pending").sum() == 3


def test_freeze__an_older_copy_is_replaced(run_copy):
    before = freeze.freeze(run_copy)
    make_pending(run_copy, (0, 0, 0, 0))
    freeze.freeze(run_copy, partial=True)
    assert Store.open(before.path).status()[0, 0, 0, 0] == layout.PENDING


@pytest.mark.parametrize("zipped", [False, True])
def test_freeze__cut_short_leaves_nothing_half_made(run_copy, monkeypatch, zipped):
    made = freeze.freeze(run_copy, zipped)
    names = sorted(path.name for path in run_copy.iterdir())

    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(freeze, "consolidate", fail)
    with pytest.raises(StoreError, match="Free some space"):
        freeze.freeze(run_copy, zipped)
    assert sorted(path.name for path in run_copy.iterdir()) == names
    assert neq.open_run(made.path).sizes == neq.open_run(run_copy).sizes


@pytest.mark.parametrize("name", ["value", "theta"])
def test_freeze__refuses_a_store_that_lost_a_chunk(run_copy, name):
    ok = np.argwhere(Store.open(run_copy / "sweep.zarr").status() == layout.OK)[0]
    chunk = ok if name == "theta" else [0] * 4
    path = next((run_copy / "sweep.zarr" / name).glob(".".join(["c", *map(str, chunk)]) + "*"))
    path.unlink()
    with pytest.raises(ChunkError, match=f"variable {name}"):
        freeze.freeze(run_copy)
    assert not list(run_copy.glob("*frozen*"))


def test_freeze__refuses_while_a_driver_works(run_copy):
    with lease.acquire(run_copy), pytest.raises(LeaseHeldError):
        freeze.freeze(run_copy)


def test_freeze__labels_left_out_of_the_config_need_no_result(run_copy):
    make_pending(run_copy, np.s_[0])
    header = run_copy / "sweep.zarr" / "zarr.json"
    content = json.loads(header.read_text())
    content["attributes"]["neq"]["named"]["session"] = ["bad1"]
    header.write_text(json.dumps(content))
    consolidate(run_copy / "sweep.zarr")
    assert freeze.freeze(run_copy).n_pending == 0


def test_cli__tells_how_to_open_the_copy(run_copy):
    result = CliRunner().invoke(cli.app, ["freeze", str(run_copy), "--zip"])
    assert result.exit_code == 0, result.output
    assert f'xarray.open_zarr("zip::{run_copy}/run-frozen.zarr.zip")' in result.stdout
    shutil.rmtree(run_copy / "sweep.zarr")
    assert CliRunner().invoke(cli.app, ["freeze", str(run_copy)]).exit_code == 2
