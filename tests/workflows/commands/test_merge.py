"""Runs of the same settings joined: labels and cells of all, agreement checked, other settings refused."""

import itertools
import os

import numpy as np
import pytest
import toy_study
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import neq
from neq.errors import ChunkError, ConfigError, LeaseHeldError, StoreError, StudyMismatchError
from workflows import cli, engine, layout, lease, provenance
from workflows.blocks import owners, task
from workflows.commands import damage, merge, merge_cells
from workflows.run_folder import write_config
from workflows.store import Store
from workflows.studies.base import Prepared


def computed(folder, prepared=(), only=lambda block: True, **keys):
    """Make a run in this process and return its folder."""
    keys = {"sessions": ("a",), "conditions": ("rest",), "sizes": (2, "all"), "repetitions": 2} | keys
    study = toy_study.Toy(toy_study.ToyConfig(**keys))
    with lease.acquire(folder) as held:
        store = engine.prepare_store(folder, study, list(prepared), held)
        for block in filter(only, store.blocks.ids()):
            token = held.token()
            owners.grant(folder, block, token)
            assert task.run_block(str(folder), block, token, run_id=folder.name)["state"] == "done"
            owners.finish(folder, block, held.epoch)
    write_config(folder, study.config)
    provenance.write(folder, folder.name, {"host": folder.name})
    return folder


def results(run):
    """What two runs of the same cells must have alike, whoever computed them."""
    return neq.open_run(run).load().drop_vars(["run", "seconds", "peak_memory", "attempts"]).drop_attrs(deep=False)


def change(run, name, cell, value):
    Store.open(run / "sweep.zarr", "r+").array(name)[cell] = value


@pytest.fixture
def two(tmp_path):
    """Two runs that share session b."""
    one = computed(tmp_path / "one", sessions=("a", "b"), big=True)
    return one, computed(tmp_path / "two", sessions=("b", "bad1"), repetitions=3, big=True)


def test_merge__equals_one_run_of_all_labels(two, tmp_path):
    made = merge.merge(two, tmp_path / "both")
    whole = computed(tmp_path / "whole", sessions=("a", "b", "bad1"), repetitions=3, big=True)
    # the third repetition of session a was computed in neither
    expected = results(whole)
    missing = (expected["session"] == "a") & (expected["repetition"] == 2)
    found = results(tmp_path / "both")
    assert (found["status"].where(missing, drop=True) == "pending").all()
    for name in ("value", "n_unit", "reason", "error_type", "drawn_unit", "theta", "quality"):
        fill = {"reason": "", "error_type": "", "drawn_unit": -1, "quality": 0}.get(name, np.nan)
        xr.testing.assert_identical(found[name], expected[name].where(~missing, fill).astype(found[name].dtype))
    assert made.counts == {"pending": 2, "ok": 10, "failed": 6, "impossible": 0, "not_needed": 0}
    assert made.n_shared == 4
    assert made.left_out == {}


def test_merge__makes_a_run_that_goes_on(two, tmp_path):
    both = merge.merge(two, tmp_path / "both").path
    opened = Store.open(both / "sweep.zarr")
    assert list(damage.find(opened)) == []
    assert list(damage.structure(opened)) == []
    assert set(provenance.read(both)) == {"one", "two"}
    computed_by = neq.open_run(both)["run"]
    assert (computed_by.sel(session="a", repetition=0) == "one").all()
    assert (computed_by.sel(session="b", repetition=2) == "two").all()
    study = opened.study
    with lease.acquire(both) as held:
        again = engine.prepare_store(both, study, [], held)
    assert again.attrs == opened.attrs


def test_merge__no_driver_may_begin_on_a_run_meanwhile(two, tmp_path, monkeypatch):
    join, refused = merge_cells.join, []

    def watched(*arguments):
        for run in two:
            with pytest.raises(LeaseHeldError):
                lease.acquire(run)
            refused.append(run)
        join(*arguments)

    monkeypatch.setattr(merge_cells, "join", watched)
    merge.merge(two, tmp_path / "both")
    assert set(refused) == set(two)
    assert [lease.current(run) for run in two] == [None, None]


def test_merge__xarray_opens_it(two, tmp_path):
    merge.merge(two, tmp_path / "both")
    assert dict(xr.open_zarr(tmp_path / "both" / "sweep.zarr").sizes)["session"] == 3


def test_merge__animals_come_along_from_whoever_knows_them(tmp_path):
    old, new = (Prepared({"session": "a"}, content="x", facts=facts) for facts in ({}, {"subject": "m1"}))
    other = Prepared({"session": "b"}, content="y", facts={"subject": "m2"})
    one = computed(tmp_path / "one", [old])
    two = computed(tmp_path / "two", [new, other], sessions=("a", "b"))
    both = merge.merge([one, two], tmp_path / "both").path
    for dataset in (neq.open_run(both), xr.open_zarr(both / "sweep.zarr")):
        assert dataset.coords["subject"].values.tolist() == ["m1", "m2"]
    assert list(damage.structure(Store.open(both / "sweep.zarr"))) == []


def test_merge__ok_wins_over_failed_and_the_first_over_the_second(tmp_path):
    one, two = (computed(tmp_path / name) for name in ("one", "two"))
    change(one, "status", (0, 0, 0, 0), layout.FAILED)
    change(one, "value", (0, 0, 0, 0), np.nan)
    change(two, "status", (0, 0, 0, 1), layout.PENDING)
    change(two, "value", (0, 0, 0, 1), 7.0)
    merge.merge([one, two], tmp_path / "both")
    run = neq.open_run(tmp_path / "both").squeeze()
    xr.testing.assert_identical(results(tmp_path / "both"), results(computed(tmp_path / "whole")))
    assert run["run"].values.tolist() == [["two", "one"], ["one", "one"]]


@pytest.mark.parametrize(
    ("name", "value"), [("value", 0.25), ("reason", "other"), ("drawn_unit", 3), ("status", 3), ("theta", -0.0)]
)
def test_merge__a_cell_that_differs_is_named(tmp_path, name, value):
    one, two = (computed(tmp_path / place, sessions=("a", "b"), big=True) for place in ("one", "two"))
    change(two, name, (1, 0, 0, 1), value)
    expected = f"Cell session b, condition rest, size 2, repetition 1: {name} is .* in {two}"
    with pytest.raises(StoreError, match=expected):
        merge.merge([one, two], tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_merge__zeros_of_other_sign_differ(tmp_path):
    one, two = (computed(tmp_path / place) for place in ("one", "two"))
    change(one, "value", (0, 0, 0, 0), 0.0)
    change(two, "value", (0, 0, 0, 0), -0.0)
    with pytest.raises(StoreError, match=r"value is 0\.0 .* and -0\.0"):
        merge.merge([one, two], tmp_path / "both")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"seed": 1}, r"settings: seed: 0 in .*one, 1 in .*two"),
        ({"strength": 2.0}, r"strength: 1\.0 in .*one, 2\.0 in .*two"),
        ({"extra": {"lag": (1,)}}, "axes: "),
        ({"big": True}, "variable theta: nothing in .*one"),
    ],
)
def test_merge__other_settings_are_refused_by_name(tmp_path, keys, expected):
    one, two = computed(tmp_path / "one"), computed(tmp_path / "two", **keys)
    with pytest.raises(StudyMismatchError, match="settings.*" + expected.removeprefix("settings: ")) as caught:
        merge.merge([one, two], tmp_path / "both")
    assert "\n" not in str(caught.value)


def test_merge__another_recording_is_refused(tmp_path):
    prepared = [[Prepared({"session": "a"}, path="a.txt", content=content)] for content in ("x", "y")]
    one, two = (computed(tmp_path / name, given) for name, given in zip(("one", "two"), prepared, strict=True))
    with pytest.raises(StudyMismatchError, match=r"content of the recording.*'x' in .*one, 'y' in"):
        merge.merge([one, two], tmp_path / "both")


def test_merge__spikes_come_along_from_whoever_could_read_them(tmp_path):
    lost = Prepared({"session": "a"}, error_type="RecordingError", error="gone")
    one = computed(tmp_path / "one", [lost])
    two = computed(tmp_path / "two", [Prepared({"session": "a"}, path="spikes/a.txt", content="x")])
    (two / "spikes").mkdir()
    (two / "spikes" / "a.txt").write_text("spikes")
    merge.merge([one, two], tmp_path / "both")
    assert (tmp_path / "both" / "spikes" / "a.txt").read_text() == "spikes"
    assert Store.open(tmp_path / "both" / "sweep.zarr").prepared[0].content == "x"


def test_merge__files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    runs = [computed(tmp_path / n, [Prepared({"session": "a"}, path="a.txt", content="x")]) for n in ("one", "two")]
    (runs[0] / "a.txt").write_text("spikes")

    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    sources = merge_cells.place(
        [Store.open(run / "sweep.zarr") for run in runs], Store.open(runs[0] / "sweep.zarr").grid
    )
    assert sources[0].mine.all()
    merge._copy_files(runs, [source.store for source in sources], sources[0].store.attrs, tmp_path)
    assert (tmp_path / "a.txt").read_text() == "spikes"


def test_merge__configs_that_cannot_be_joined_leave_labels_out(tmp_path, monkeypatch):
    one, two = computed(tmp_path / "one"), computed(tmp_path / "two", sessions=("b",))
    monkeypatch.setattr(merge, "_union", lambda first, second: first)
    made = merge.merge([one, two], tmp_path / "both")
    assert made.left_out == {"session": ["b"]}
    assert made.counts["ok"] == 8


def test_merge__bad_input(tmp_path):
    one, two = computed(tmp_path / "one"), computed(tmp_path / "two", sessions=("b",))
    for runs in ([one], [one, one], [one, two, one]):
        with pytest.raises(ConfigError, match="two different runs"):
            merge.merge(runs, tmp_path / "both")
    with pytest.raises(ConfigError, match="is there already"):
        merge.merge([one, two], one)
    with pytest.raises(StoreError, match="no store"):
        merge.merge([one, tmp_path / "nothing"], tmp_path / "both")
    with lease.acquire(two), pytest.raises(LeaseHeldError, match="two is in use"):
        merge.merge([one, two], tmp_path / "both")
    next((two / "sweep.zarr" / "value").glob("c.*")).unlink()
    with pytest.raises(ChunkError, match="variable value"):
        merge.merge([one, two], tmp_path / "both")


def test_cli__merges_and_says_how_to_go_on(tmp_path):
    one = computed(tmp_path / "one", only=lambda block: block == "0.0.0.0")
    two = computed(tmp_path / "two", sessions=("b",))
    into = tmp_path / "both"
    result = CliRunner().invoke(cli.app, ["merge", str(one), str(two), "--into", str(into)])
    assert result.exit_code == 0, result.output
    assert "8 cells: 2 pending, 6 ok" in result.stdout
    assert f"go on: neq run {into}/config.yaml" in result.stdout.replace("\n", "")
    result = CliRunner().invoke(cli.app, ["merge", str(one), "--into", str(tmp_path / "other")])
    assert result.exit_code == 2


STATES = st.sampled_from([layout.PENDING, layout.OK, layout.FAILED, layout.IMPOSSIBLE, layout.NOT_NEEDED])


class Sketch:
    """As much of a store as choosing between cells needs."""

    def __init__(self, labels, states, beyond):
        self._labels, self._states, self._beyond = labels, np.array(states, "u1"), np.array(beyond)

    def labels(self, name):
        return self._labels

    def status(self):
        return self._states

    def read(self, name):
        return np.where(self._beyond, "one", "") if name == "run" else np.full(self._states.shape, "")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_place__each_cell_comes_from_the_first_of_the_best(data):
    from workflows.grid import Grid
    from workflows.studies.base import Axis

    labels = [tuple(data.draw(st.permutations(range(4)))[: data.draw(st.integers(1, 4))]) for _ in range(3)]
    stores = [
        Sketch(each, [data.draw(STATES) for _ in each], [data.draw(st.booleans()) for _ in each]) for each in labels
    ]
    grid = Grid((Axis("repetition", tuple(dict.fromkeys(itertools.chain(*labels)))),))
    sources = merge_cells.place(stores, grid)

    def rank(store, i):
        state = store.status()[i]
        beyond = state == layout.NOT_NEEDED and store.read("run")[i] != ""
        order = (layout.PENDING, layout.NOT_NEEDED, layout.FAILED, "beyond", layout.OK)
        return order.index("beyond" if beyond else layout.OK if state == layout.IMPOSSIBLE else state)

    for label in grid.labels("repetition"):
        ranks = [rank(s, s.labels("").index(label)) if label in s.labels("") else -1 for s in stores]
        owners_found = [
            number
            for number, source in enumerate(sources)
            if label in stores[number].labels("") and source.mine[stores[number].labels("").index(label)]
        ]
        assert owners_found == [int(np.argmax(ranks))]
