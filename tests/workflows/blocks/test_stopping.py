"""The stop rule on a store, with real workers."""

import numpy as np
import pytest

from neq import open_run
from neq.errors import ChunkError, StoreError
from workflows import engine, layout, lease, sources, stop
from workflows.blocks import flush, reset, stopping
from workflows.store import Store

# distributed drops half-open sockets when a worker dies
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LOOSE = {"absolute_sem": 0.45, "at_least": 3}
TIGHT = {"absolute_sem": 0.3, "relative_sem": 0.2, "at_least": 4}
CELLS = {"sizes": (2, 4), "repetitions": 20, "conditions": ("rest",)}


def sweep(folder, study, client, **options):
    with lease.acquire(folder) as held:
        engine.prepare_store(folder, study, sources.ingest(folder, study, client, held), held)
        return engine.run_sweep(folder, study, study.config, client, held, **options)


def opened(folder):
    return Store.open(folder / "sweep.zarr")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, client):
    """Return status and values of all cells, computed without a rule."""
    from toy_study import Toy, ToyConfig

    folder = tmp_path_factory.mktemp("whole")
    sweep(folder, Toy(ToyConfig(**CELLS)), client)
    return opened(folder).status(), opened(folder).read("value")


def expected(whole, toy, rule, **keys):
    """Return the status of all cells as the rule has it when everything is computed."""
    status, values = (np.moveaxis(array, 3, -1) for array in whole)
    return stop.judged(status, stop.prefix(status, values, toy(sweep={"stop": rule}).config.sweep.stop))


@pytest.mark.parametrize("length", [1, 6, 20])
def test_sweep__same_status_whatever_the_blocks(tmp_path, toy, client, whole, length):
    block = {"repetition": length, "session": 2 if length == 6 else 1}  # one chain of blocks for two workers, or two
    result = sweep(tmp_path, toy(**CELLS, sweep={"block": block, "stop": TIGHT}), client)
    wanted = expected(whole, toy, TIGHT)
    np.testing.assert_array_equal(opened(tmp_path).status(), wanted)
    n_ok = int((wanted == layout.OK).sum())
    assert 16 < n_ok < 70
    assert (result.n_ok, result.n_not_needed, result.n_pending) == (n_ok, 80 - n_ok, 0)
    # a quarter beyond the end of each of the four groups, and a block where a worker had nothing else to do
    assert result.n_computed <= n_ok * 5 / 4 + 4 * (1 + (length if length < 20 else 0))
    assert list((tmp_path / "owners").iterdir()) == []


def test_sweep__tighter_computes_what_is_missing_and_looser_nothing(tmp_path, toy, client, whole):
    def again(rule):
        return sweep(tmp_path, toy(**CELLS, sweep={"stop": rule}), client)

    loose, tight = expected(whole, toy, LOOSE), expected(whole, toy, TIGHT)
    first = again(LOOSE)
    np.testing.assert_array_equal(opened(tmp_path).status(), loose)
    hash_before = opened(tmp_path).attrs["settings_hash"]
    second = again(TIGHT)
    np.testing.assert_array_equal(opened(tmp_path).status(), tight)
    assert 0 < second.n_computed <= (tight == layout.OK).sum() * 4 / 3 + 8 - first.n_computed
    assert again(TIGHT).n_computed == 0
    assert again(LOOSE).n_computed == 0
    np.testing.assert_array_equal(opened(tmp_path).status(), loose)
    # what was computed for the tighter rule is still there
    assert again(TIGHT).n_computed == 0
    np.testing.assert_array_equal(opened(tmp_path).status(), tight)
    last = again(None)
    assert first.n_computed + second.n_computed + last.n_computed == 80
    for found, value in zip((opened(tmp_path).status(), opened(tmp_path).read("value")), whole, strict=True):
        np.testing.assert_array_equal(found, value)
    assert opened(tmp_path).attrs["settings_hash"] == hash_before
    # a rule on a finished sweep masks, and taking it away brings all back
    assert again(LOOSE).n_computed == again(None).n_computed == 0
    np.testing.assert_array_equal(opened(tmp_path).read("value"), whole[1])
    assert (opened(tmp_path).status() == layout.OK).all()


def test_sweep__computed_cells_beyond_are_kept_and_masked(tmp_path, toy, client, whole):
    sweep(tmp_path, toy(**CELLS), client)
    sweep(tmp_path, toy(**CELLS, sweep={"stop": TIGHT}), client)
    np.testing.assert_array_equal(opened(tmp_path).read("value"), whole[1])
    dataset = open_run(tmp_path)
    ok = expected(whole, toy, TIGHT) == layout.OK
    masked = dataset["status"].transpose(*opened(tmp_path).names).values == "not_needed"
    assert masked.sum() == (~ok).sum() > 0
    assert np.isnan(dataset["value"].values[masked]).all()
    assert (dataset["reason"].values[masked] == "").all()


def test_sweep__failed_repetitions_are_passed_over(tmp_path, toy, client):
    keys = {"sessions": ("a", "bad"), "sizes": (2, 13), "conditions": ("rest",), "repetitions": 6}
    rule = {"absolute_sem": 1e6, "at_least": 3}
    study = toy(**keys, no_memory="a/rest/2/1", sweep={"stop": rule})
    result = sweep(tmp_path, study, client)
    assert opened(tmp_path).status()[0, 0, 0].tolist() == [1, 2, 1, 1, 4, 4]
    assert (result.n_failed, result.n_impossible, result.n_not_needed) == (7, 12, 2)
    # mended, it counts, and the last is needed no more
    with lease.acquire(tmp_path) as held:
        mask = np.zeros(opened(tmp_path).shape, bool)
        mask[0, 0, 0, 1] = True
        reset.reset_cells(opened(tmp_path), mask, held)
    sweep(tmp_path, toy(**keys, sweep={"stop": rule}), client)
    assert opened(tmp_path).status()[0, 0, 0].tolist() == [1, 1, 1, 4, 4, 4]


def test_sweep__failures_beyond_come_back_as_they_were(tmp_path, toy, client):
    keys = {"sessions": ("a",), "sizes": (2,), "conditions": ("rest",), "repetitions": 6, "no_memory": "a/rest/2/4"}
    sweep(tmp_path, toy(**keys), client)
    result = sweep(tmp_path, toy(**keys, sweep={"stop": {"absolute_sem": 1e6, "at_least": 2}}), client)
    assert (result.n_failed, result.n_not_needed) == (0, 4)
    result = sweep(tmp_path, toy(**keys, sweep={"stop": {"absolute_sem": 1e6, "at_least": 5}}), client)
    assert (result.n_failed, result.n_not_needed, result.n_computed) == (1, 0, 0)


def test_sweep__a_cell_that_kills_its_worker_is_passed_over(tmp_path, toy, client):
    rule = {"absolute_sem": 1e6, "at_least": 2}
    study = toy(sessions=("a",), sizes=(2, 4), die="a/move/4/1", sweep={"deaths": 2, "stop": rule})
    result = sweep(tmp_path, study, client)
    assert opened(tmp_path).status()[0].tolist() == [[[1, 1, 4, 4]] * 2, [[1, 1, 4, 4], [1, 2, 1, 4]]]
    assert (result.n_failed, result.n_pending) == (1, 0)
    assert list((tmp_path / "owners").iterdir()) == []


def test_sweep__new_repetitions_and_labels_left_out(tmp_path, toy, client, whole):
    keys = CELLS | {"sweep": {"stop": TIGHT}}
    sweep(tmp_path, toy(**keys | {"repetitions": 5}), client)
    # a session that the config leaves out is neither computed nor marked
    sweep(tmp_path, toy(**keys | {"sessions": ("b",)}), client)
    status = opened(tmp_path).status()
    assert (status[0, ..., 5:] == layout.PENDING).all()
    sweep(tmp_path, toy(**keys), client)
    np.testing.assert_array_equal(opened(tmp_path).status(), expected(whole, toy, TIGHT))


def test_sweep__damaged_block(tmp_path, toy, client):
    study = toy(**CELLS, sweep={"stop": TIGHT, "block": {"repetition": 2}})
    sweep(tmp_path, toy(**CELLS | {"repetitions": 3}, sweep=study.config.sweep.model_dump()), client)
    layout.chunk_path(tmp_path / "sweep.zarr", "n_unit", (0, 0, 0, 1)).write_bytes(b"rubbish")
    with pytest.raises(ChunkError, match=r"variable n_unit, block 0\.0\.0\.1"):
        sweep(tmp_path, study, client)
    status = opened(tmp_path).status()
    assert (status[1] != layout.PENDING).all()
    assert (status[0, ..., 3] == layout.PENDING).all()


@pytest.mark.parametrize("n_write", [1, 2, 4, 9, 14])
def test_mark__cut_short_anywhere_is_done_again(tmp_path, toy, client, whole, monkeypatch, n_write):
    keys = CELLS | {"sweep": {"stop": TIGHT, "block": {"repetition": 5, "session": 2}}}
    writes = iter(range(n_write))
    original = flush.Fence.write

    def write(self, path, content):
        if next(writes, None) is None:
            raise OSError(28, "No space left on device")
        original(self, path, content)

    monkeypatch.setattr(stopping.Fence, "write", write)
    with pytest.raises(StoreError, match="No space left"):
        sweep(tmp_path, toy(**keys), client)
    monkeypatch.setattr(stopping.Fence, "write", original)
    sweep(tmp_path, toy(**keys), client)
    np.testing.assert_array_equal(opened(tmp_path).status(), expected(whole, toy, TIGHT))
    sweep(tmp_path, toy(**CELLS), client)
    np.testing.assert_array_equal(opened(tmp_path).read("value"), whole[1])


def test_mark__leftovers_of_a_killed_task_do_not_pass_for_a_result(tmp_path, toy, client, whole):
    study = toy(**CELLS, sweep={"stop": TIGHT, "block": {"repetition": 20}})
    sweep(tmp_path, toy(**CELLS, sweep={"block": {"repetition": 20}}), client)
    # all written but the status, as a reset or a flush leaves it when it is killed
    array = Store.open(tmp_path / "sweep.zarr", "r+").array("status")
    array[..., 10:] = layout.PENDING
    Store.open(tmp_path / "sweep.zarr", "r+").array("value")[..., 10:] = np.nan
    sweep(tmp_path, study, client)
    sweep(tmp_path, toy(**CELLS, sweep={"block": {"repetition": 20}}), client)
    np.testing.assert_array_equal(opened(tmp_path).read("value"), whole[1])


def test_outlook__reads_only(tmp_path, toy, client, whole):
    study = toy(**CELLS)
    sweep(tmp_path, study, client)
    rule = toy(sweep={"stop": TIGHT}).config.sweep.stop
    np.testing.assert_array_equal(stopping.outlook(opened(tmp_path), study, rule), expected(whole, toy, TIGHT))
    assert (opened(tmp_path).status() == layout.OK).all()
