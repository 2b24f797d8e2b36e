"""What is wrong, and the command that mends it."""

import io
import json
import re
import shlex

import numpy as np
import pytest
from rich.console import Console

from neq.errors import ChunkError, StoreError
from workflows import layout, lease, run_folder
from workflows.blocks import owners
from workflows.blocks.block import BlockValues
from workflows.blocks.flush import Encoder
from workflows.commands import damage, doctor, environment, pipeline, where
from workflows.commands.finding import OK, PROBLEM, shell
from workflows.reconcile import reconcile
from workflows.store import Store


def problems(run):
    return [(one.text, one.remedy) for one in doctor.examine(run) if one.kind != OK]


def one_problem(run, text):
    found = [remedy for said, remedy in problems(run) if re.search(text, said)]
    assert len(found) == 1, problems(run)
    return found[0]


def run_again(run, *overrides):
    return pipeline.run(run_folder.load_run(run, overrides), Console(file=io.StringIO()))


def test_examine__only_the_failed_cells(run_copy):
    assert problems(run_copy) == [
        ("12 cells failed with ValueError", f"neq rerun {run_copy} --failed --where \"error_type == 'ValueError'\"")
    ]


@pytest.mark.parametrize("name", ["status", "value", "error", "theta", "drawn_unit"])
@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_examine__damaged_chunk_and_the_rerun_that_covers_it(run_copy, name, how):
    numbers = (0, 1, 0, 2) if name not in ("theta", "drawn_unit") else (0, 1, 0, 2, 0)
    path = layout.chunk_path(run_copy / "sweep.zarr", name, numbers)
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-4] if how == "cut" else content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    if (how, name) == ("gone", "status"):
        # without its status a block counts as not computed: a run computes it
        assert one_problem(run_copy, "3 cells are not computed yet") == f"neq run {run_copy}/config.yaml"
        return
    remedy = one_problem(run_copy, rf"block 0.1.0.2 is damaged \({name}")
    expression = shlex.split(remedy)[-1]
    opened = Store.open(run_copy / "sweep.zarr")
    mask = where.cells(opened, expression)
    assert mask.sum() == 3
    assert mask[opened.blocks.region("0.1.0.2")].all()


def test_examine__damaged_coordinate(run_copy):
    path = run_copy / "sweep.zarr" / "size" / "c" / "0"
    content = path.read_bytes()
    path.write_bytes(b"x")
    assert one_problem(run_copy, "coordinate size") == f"neq run {run_copy}/config.yaml"
    run_again(run_copy)
    assert path.read_bytes() == content
    path.unlink()
    assert one_problem(run_copy, "coordinate size") == f"neq run {run_copy}/config.yaml"
    run_again(run_copy)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["value", "status", "error", "drawn_unit", "theta", "size"])
@pytest.mark.parametrize("how", ["gone", "rubbish"])
def test_examine__array_without_metadata_and_the_run_that_mends_it(run_copy, name, how):
    before = {one.relative_to(run_copy): one.read_bytes() for one in (run_copy / "sweep.zarr" / name).rglob("c*/*")}
    opened = Store.open(run_copy / "sweep.zarr")
    values = {one: opened.read(one) for one in opened.outputs}
    path = run_copy / "sweep.zarr" / name / "zarr.json"
    metadata = json.loads(path.read_text())
    if how == "gone":
        path.unlink()
    else:
        path.write_text("{")
    what = "coordinate size cannot be read" if name == "size" else f"variable {name} has lost its metadata"
    found = [(one.text, one.remedy) for one in doctor.examine(run_copy) if re.search(what, one.text)]
    assert [remedy for _, remedy in found] == [f"neq run {run_copy}/config.yaml"]
    run_again(run_copy)
    assert json.loads(path.read_text()) == metadata
    assert [text for text, _ in problems(run_copy)] == ["12 cells failed with ValueError"]
    opened = Store.open(run_copy / "sweep.zarr")
    for one, value in values.items():
        np.testing.assert_array_equal(opened.read(one), value)
    assert {path: (run_copy / path).read_bytes() for path in before} == before


def test_examine__store_without_metadata_and_what_mends_it(run_copy):
    store = run_copy / "sweep.zarr"
    (store / "zarr.json").unlink()
    config = run_folder.load_run(run_copy)
    with pytest.raises(StoreError, match="lost its metadata"):
        pipeline.run(config, Console(file=io.StringIO()))
    remedy = one_problem(run_copy, "lost its metadata")
    assert remedy == f"mv {store} {store}.damaged; neq run {run_copy}/config.yaml"
    store.rename(f"{store}.damaged")
    assert run_again(run_copy).n_computed == 36


def test_examine__cells_outside_the_config_are_nobodys(run_copy):
    run_again(run_copy, "sessions=[a]", "sizes=[2, 4]", "repetitions=4")
    status = Store.open(run_copy / "sweep.zarr").status()
    assert int((status == layout.PENDING).sum()) > 0
    assert int((status == layout.FAILED).sum()) > 0
    assert problems(run_copy) == []


@pytest.mark.parametrize("name", ["drawn_unit", "theta"])
def test_examine__lost_chunk_of_a_dimension_that_has_grown(run_copy, name, monkeypatch):
    import toy_study

    longer = {"drawn": 20, "pair": 7}
    monkeypatch.setattr(toy_study.Toy, "dimensions", lambda self, prepared: longer)
    opened = Store.open(run_copy / "sweep.zarr", "r+")
    before = opened.read(name)
    grown = reconcile(opened, opened.study, [])
    n = before.shape[-1]
    np.testing.assert_array_equal(grown.read(name)[..., :n], before)
    assert grown.read(name).shape[-1] == longer[grown.outputs[name].dims[0]]
    assert not list(damage.find(grown))
    layout.chunk_path(grown.path, name, (0, 1, 0, 2, 1)).unlink()
    assert [(one.block, one.variables, one.reason) for one in damage.find(grown)] == [
        ("0.1.0.2", (name,), "its file is missing")
    ]
    if name == "drawn_unit":
        with pytest.raises(ChunkError, match=r"variable drawn_unit, block 0\.1\.0\.2.*its file is missing"):
            BlockValues(grown, "0.1.0.2", Encoder(grown))


def test_examine__dead_driver_and_its_blocks(run_copy):
    lease_folder = run_copy / "leases"
    for path in lease_folder.iterdir():
        path.unlink()
    owner = {"host": lease.myself()["host"], "pid": 2**22 + 1, "started": 0.0, "since": 0.0}
    (lease_folder / "7.json").write_text(json.dumps({**owner, "boot": lease.myself()["boot"]}))
    owners.grant(run_copy, "0.0.0.0", "7-1")
    assert one_problem(run_copy, "lease 7").startswith("neq run")
    assert one_problem(run_copy, "1 blocks still belong").startswith("neq run")


def test_examine__a_live_driver_is_no_problem(run_copy):
    with lease.acquire(run_copy) as held:
        owners.grant(run_copy, "0.0.0.0", held.token())
        texts = [one.text for one in doctor.examine(run_copy)]
    assert any("works on it" in text for text in texts)
    assert not any("still belong" in text for text in texts)


def test_examine__leftovers(run_copy):
    part = run_copy / "sweep.zarr" / "value" / "c.0.partial"
    part.touch()
    assert one_problem(run_copy, "never finished") == f"rm -r {part}"


def test_examine__missing_spikes_and_sources(run_copy, tmp_path):
    header = run_copy / "sweep.zarr" / "zarr.json"
    content = json.loads(header.read_text())
    known = {str(tmp_path / name): {"size": 1, "mtime_ns": 1, "content": "y"} for name in ("gone.npz", "changed.npz")}
    source = {"labels": {"session": "a"}, "path": "spikes/a.zarr", "content": "x", "facts": {"files": known}}
    broken = {"labels": {"session": "bad1"}, "path": "", "content": "", "error_type": "RecordingError"}
    content["attributes"]["neq"]["prepared"] = [
        {**source, "error_type": "", "error": ""},
        {**broken, "facts": {}, "error": "no such file"},
    ]
    header.write_text(json.dumps(content))
    (tmp_path / "changed.npz").touch()
    assert one_problem(run_copy, "the spikes of session a are missing") == f"neq run {run_copy}/config.yaml"
    assert "neq run" in one_problem(run_copy, "session bad1 could not be read: no such file")
    assert "results=FOLDER" in one_problem(run_copy, "changed.npz has changed")
    assert one_problem(run_copy, "gone.npz is gone") == ""


def test_examine__another_version(run_copy, monkeypatch):
    import toy_study

    monkeypatch.setattr(toy_study.Toy, "version", 2)
    assert "results=FOLDER" in one_problem(run_copy, "other numbers")


def test_examine__deaths_and_other_machines(run_copy):
    owners.add_death(run_copy, "0.0.0.0", 2, "OUT_OF_MEMORY")
    for path in (run_copy / "runs").glob("*.json"):
        facts = json.loads(path.read_text())
        facts["workers"][0]["cpu"] = "another"
        path.write_text(json.dumps(facts))
    assert one_problem(run_copy, "1 workers died in the cell session a, condition rest, size all.*OUT_OF") == ""
    assert one_problem(run_copy, "made elsewhere.*cpu: another then") == ""


def test_examine__no_store(tmp_path):
    assert one_problem(tmp_path, "There is no store").startswith("neq run")


def test_examine__figures_missing(run_copy):
    (run_copy / "report.html").unlink()
    assert f"neq report {run_copy}" in one_problem(run_copy, "figures or report are missing")


def test_environment__of_this_machine():
    found = list(environment.examine())
    assert any("numba compiles" in one.text for one in found)
    assert not any(one.kind == PROBLEM for one in found if "free" not in one.text)


def test_expression__whole_grid():
    text = damage.expression_of([("session", ("a", "b"), 2)])
    assert "status in" in text


def test_shell__quotes_that_read_well():
    for text in ("a b", "it's", "s == 'x'", "a\"b'c", "$x'y'", "plain"):
        assert shlex.split(shell(text)) == [text]


def test_expression__exactly_the_block(toy):
    from workflows.grid import Blocks, Grid

    grid = Grid(toy(sessions=("it's", 'b"c'), repetitions=5).axes())
    blocks = Blocks(grid.shape, (1, 2, 2, 3))

    class Opened:
        names, shape = grid.names, grid.shape
        labels = staticmethod(grid.labels)

    Opened.blocks = blocks
    fields = {
        name: where.Field(
            lambda n=name, i=i: np.array(grid.labels(n)).reshape([-1 if j == i else 1 for j in range(4)]),
            labels=grid.labels(name),
            aliases={"all": 0} if name == "size" else {},
        )
        for i, name in enumerate(grid.names)
    }
    for block in blocks.ids():
        mask = where.select(damage.expression(Opened, block), fields, grid.shape)
        expected = np.zeros(grid.shape, bool)
        expected[blocks.region(block)] = True
        np.testing.assert_array_equal(mask, expected)
