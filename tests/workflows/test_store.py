import errno
import json

import numpy as np
import pytest
import xarray as xr
import zarr

from neq.errors import ChunkError, StoreError, StudyMismatchError
from workflows import layout, store
from workflows import lease as leases
from workflows.blocks import owners, reset, task
from workflows.commands.damage import structure
from workflows.grid import Grid
from workflows.reconcile import reconcile
from workflows.store import Store
from workflows.studies.base import Prepared


@pytest.fixture
def held(tmp_path):
    with leases.acquire(tmp_path) as held:
        yield held


@pytest.fixture
def make(tmp_path, toy):
    """Make the store of a toy study in the temporary folder."""

    def make(prepared=(), **keys):
        study = toy(**keys)
        return store.create(tmp_path / "sweep.zarr", study, prepared, Grid(study.axes()), study.config.sweep.block)

    return make


@pytest.fixture
def compute(held):
    """Compute all pending cells of a store in this process."""

    def compute(opened):
        for block in list(opened.blocks.ids()):
            token = held.token()
            owners.grant(opened.path.parent, block, token)
            result = task.run_block(str(opened.path.parent), block, token)
            assert result["state"] == "done", result
            owners.finish(opened.path.parent, block, held.epoch)

    return compute


def test_create__every_array_is_chunked_by_block_and_named(make):
    opened = make(big=True)
    assert opened.chunk == (1, 1, 3, 1)
    group = zarr.open_group(opened.path, mode="r", use_consolidated=False)
    for name, output in opened.outputs.items():
        array = group[name]
        assert array.metadata.dimension_names == (*opened.names, *output.dims)
        assert array.chunks[:4] == ((1, 1, 1, 1) if output.own_chunk else opened.chunk)
        assert array.shards is None
    assert dict(group["status"].attrs) == {
        "long_name": "state of the cell",
        "comment": "the only sign that a cell is done; written last",
        "flag_values": [0, 1, 2, 3, 4],
        "flag_meanings": "pending ok failed impossible not_needed",
    }
    assert group["size"][:].tolist() == [2, 4, 0]
    assert (opened.status() == layout.PENDING).all()
    assert list(opened.outputs)[-1] == "status"


def test_create__leaves_nothing_behind_where_the_disk_is_full(make, tmp_path, monkeypatch):
    def full(*args, **keys):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(layout, "create_array", full)
    with pytest.raises(StoreError, match=r"sweep\.zarr cannot be written: No space left on device\. Free some space"):
        make()
    assert not (tmp_path / "sweep.zarr").exists()


def test_open__says_what_is_wrong(tmp_path, make):
    with pytest.raises(StoreError, match="There is no store"):
        Store.open(tmp_path / "nowhere")
    opened = make()
    attrs = {**opened.attrs, "format": 99}
    zarr.open_group(opened.path, mode="r+").attrs["neq"] = attrs
    with pytest.raises(StoreError, match="store format 99"):
        Store.open(opened.path)


def test_store__rebuilds_its_study(make):
    opened = Store.open(make(sessions=("x",), strength=2.0).path)
    assert opened.study.config.strength == 2.0
    assert [axis.name for axis in opened.study.axes()] == list(opened.names)
    assert opened.labels("session") == ("x",)


def test_store__xarray_opens_it_when_consolidated_and_not_before(make, compute):
    opened = make()
    compute(opened)
    store.consolidate(opened.path)
    with xr.open_zarr(opened.path, chunks=None) as dataset:
        assert dataset["value"].dims == ("session", "condition", "size", "repetition")
        assert dataset["seconds"].dtype == np.float32
        assert int(dataset["status"].sum()) == 48
    store.drop_consolidated(opened.path)
    assert "consolidated_metadata" not in json.loads((opened.path / "zarr.json").read_text())


def test_read__names_the_damaged_chunk(make, compute):
    opened = make()
    compute(opened)
    path = layout.chunk_path(opened.path, "value", (1, 0, 0, 2))
    content = bytearray(path.read_bytes())
    content[-6] ^= 0x40
    for damage in (bytes(content), content[:10], b""):
        path.write_bytes(damage)
        with pytest.raises(ChunkError, match=r"variable value, block 1\.0\.0\.2, .* damaged") as caught:
            Store.open(opened.path).read("value")
        assert (caught.value.variable, caught.value.block) == ("value", "1.0.0.2")


def test_reconcile__nothing_new_writes_nothing(make):
    opened = make()
    before = {path: path.stat().st_mtime_ns for path in opened.path.rglob("*")}
    reconcile(opened, opened.study, [])
    assert before == {path: path.stat().st_mtime_ns for path in opened.path.rglob("*")}


def test_reconcile__grows_at_the_end_and_keeps_what_is_there(make, toy, compute):
    opened = make(repetitions=5, sweep={"block": {"repetition": 2}})
    compute(opened)
    before = opened.read("value"), opened.read("drawn_unit")
    wider = toy(sessions=("c", "b"), sizes=("all", 7), repetitions=9)
    grown = reconcile(opened, wider, [])
    assert grown.labels("session") == ("a", "b", "c")
    assert grown.labels("size") == (2, 4, 0, 7)
    assert grown.shape == (3, 2, 4, 9)
    assert grown.dimensions == {"drawn": 7}
    assert grown.chunk == opened.chunk
    np.testing.assert_array_equal(grown.read("value")[:2, :, :3, :5], before[0])
    np.testing.assert_array_equal(grown.read("drawn_unit")[:2, :, :3, :5, :5], before[1])
    assert (grown.read("drawn_unit")[..., 5:] == -1).all()
    assert int((grown.status() == layout.PENDING).sum()) == grown.grid.n_cell - 60
    compute(grown)
    assert (grown.status() == layout.OK).all()
    np.testing.assert_array_equal(grown.read("value")[:2, :, :3, :5], before[0])
    store.consolidate(grown.path)
    with xr.open_zarr(grown.path, chunks=None) as dataset:
        assert dataset["session"].values.tolist() == ["a", "b", "c"]


def test_reconcile__finishes_a_growth_that_was_cut_short(make, toy, monkeypatch):
    opened = make()
    wider = toy(sessions=("a", "b", "c"), repetitions=6)
    monkeypatch.setattr(layout, "coordinate_values", lambda axis: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reconcile(opened, wider, [])
    monkeypatch.undo()
    # the labels that count are still the old ones, whatever the shapes
    cut = Store.open(opened.path)
    assert cut.shape == (2, 2, 3, 4)
    assert cut.status().shape == cut.shape
    other = reconcile(cut, toy(sessions=("a", "b", "d")), [])
    assert other.labels("session") == ("a", "b", "d")
    assert {array.shape[:4] for name, array in other.group.arrays() if array.ndim > 1} == {(3, 2, 3, 4)}


def animals(**subjects):
    """What ingest leaves of sessions, with the animals of those that have one."""
    return [Prepared({"session": name}, content=name, facts={"subject": one}) for name, one in subjects.items()]


def shown(path):
    """The animals as plain xarray reads them."""
    with xr.open_zarr(path, consolidated=False, chunks=None) as dataset:
        return dict(zip(dataset["session"].values.tolist(), dataset.coords["subject"].values.tolist(), strict=True))


def test_reconcile__names_the_animals_that_come_to_be_known(make, toy):
    opened = make(sessions=("a", "b"))  # as stores were before they knew of animals
    with xr.open_zarr(opened.path, consolidated=False, chunks=None) as dataset:
        assert "subject" not in dataset.variables
    assert list(structure(opened)) == []
    grown = reconcile(opened, toy(sessions=("a", "b")), animals(a="m1", b=""))
    assert shown(grown.path) == {"a": "m1", "b": ""}
    grown = reconcile(grown, toy(sessions=("b", "c")), animals(b="m2", c="m1"))
    assert shown(grown.path) == {"a": "m1", "b": "m2", "c": "m1"}
    before = {path: path.stat().st_mtime_ns for path in grown.path.rglob("*")}
    assert shown(reconcile(grown, toy(sessions=("a",)), animals(a="m1")).path) == {"a": "m1", "b": "m2", "c": "m1"}
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} <= {grown.path / "zarr.json"}
    assert shown(reconcile(grown, toy(), animals(a="", b="", c="")).path) == {"a": "", "b": "", "c": ""}


@pytest.mark.parametrize("name", ["zarr.json", "c/0"])
def test_reconcile__mends_the_names_of_animals(make, toy, name):
    known = animals(a="m1", b="m2")
    opened = reconcile(make(), toy(), known)
    assert list(structure(opened)) == []
    (opened.path / "subject" / name).write_bytes(b"x")
    (problem,) = structure(opened)
    assert problem.startswith("coordinate subject cannot be read")
    opened = reconcile(opened, toy(), known)
    assert shown(opened.path) == {"a": "m1", "b": "m2"}
    opened.group["subject"][0] = "m9"
    assert list(structure(opened)) == ["coordinate subject names other animals than the store is known to have"]


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        ({"strength": 2.0}, ["strength: 1.0 in the store, 2.0 in the config"]),
        (
            {"seed": 5, "strength": 3.0},
            ["seed: 0 in the store, 5 in the config", "strength: 1.0 in the store, 3.0 in the config"],
        ),
        ({"extra": {"lag": (1.0, 2.0)}}, ["axis lag: not in the store, [1.0, 2.0] in the config"]),
        ({"big": True}, ["variable theta: nothing in the store, 'f8 pair own_chunk' in the config"]),
    ],
)
def test_reconcile__refuses_another_study(make, toy, keys, lines):
    opened = make()
    with pytest.raises(StudyMismatchError) as caught:
        reconcile(opened, toy(**keys), [])
    message = str(caught.value).split("\n")
    assert [line.strip() for line in message[1:-1]] == lines
    assert "--set results=FOLDER" in message[-1]


def test_reconcile__refuses_an_axis_less_and_another_version(make, toy, monkeypatch):
    opened = make(extra={"lag": (1.0,)})
    study = toy()
    monkeypatch.setattr(type(study), "version", 2)
    with pytest.raises(StudyMismatchError) as caught:
        reconcile(opened, study, [])
    assert "version of the study: 1 in the store, 2 in the config" in str(caught.value)
    assert "axis lag: [1.0] in the store, not in the config" in str(caught.value)


def test_reconcile__refuses_changed_recordings_and_keeps_lost_ones(make):
    def prepared(session, content="", error=""):
        return Prepared({"session": session}, content=content, error_type="OSError" if error else "", error=error)

    opened = make([prepared("a", "1"), prepared("b", "2")])
    with pytest.raises(StudyMismatchError, match="content of the recording session b: 2 in the store, 3 now"):
        reconcile(opened, opened.study, [prepared("a", "1"), prepared("b", "3")])
    lost = reconcile(opened, opened.study, [prepared("a", error="no such file"), prepared("b", "2")])
    assert [(one.content, one.error) for one in lost.prepared] == [("1", "no such file"), ("2", "")]
    found = reconcile(lost, opened.study, [prepared("a", "1"), prepared("b", "2")])
    assert [one.error for one in found.prepared] == ["", ""]


def test_reset__empties_cells_and_forgets_deaths(make, compute, held):
    opened = make(big=True)
    compute(opened)
    before = opened.read("value"), opened.read("theta")
    owners.add_death(opened.path.parent, "0.0.0.0", 0, "reason")
    mask = opened.grid.mask({"session": ("a",), "size": (4,)})
    assert reset.reset_cells(opened, mask, held) == mask.sum() == 8
    assert (opened.status() == layout.PENDING).tolist() == mask.tolist()
    assert np.isnan(opened.read("value")[mask]).all()
    assert np.isnan(opened.read("theta")[mask]).all()
    assert owners.all_deaths(opened.path.parent) == {}
    compute(opened)
    np.testing.assert_array_equal(opened.read("value"), before[0])
    np.testing.assert_array_equal(opened.read("theta"), before[1])


def test_reset__replaces_damaged_blocks_without_reading_them(make, compute, held):
    opened = make()
    compute(opened)
    values = opened.read("value")
    for name in ("value", "status"):
        layout.chunk_path(opened.path, name, (0, 1, 0, 3)).write_bytes(b"rubbish")
    mask = np.zeros(opened.shape, bool)
    mask[opened.blocks.region("0.1.0.3")] = True
    reset.reset_cells(opened, mask, held)
    compute(opened)
    np.testing.assert_array_equal(Store.open(opened.path).read("value"), values)
