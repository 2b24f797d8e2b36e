"""Blocks put at a URL while somebody writes them: what a reader there can see after every single put."""

import random
import threading
import time

import numpy as np
import pytest

from workflows import engine, layout, lease
from workflows.blocks import owners
from workflows.blocks.block import BlockValues
from workflows.blocks.flush import Encoder, Fence
from workflows.remote import blocks as remote_blocks
from workflows.remote import lease as remote_lease
from workflows.remote.blocks import Blocks
from workflows.remote.copies import Copies
from workflows.remote.place import Place
from workflows.store import Store

BLOCK = "0.0.0.0"


class Watched(Place):
    """A place that looks at the block at the URL, as a reader would, after every put."""

    def __init__(self, url, store):
        super().__init__(url)
        self.store, self.objects, self.seen = store, {}, []

    def put(self, key, content, match=None):
        entry = super().put(key, content, match)
        if key.startswith("sweep.zarr/"):
            self.objects[key.removeprefix("sweep.zarr/")] = content
            self.look()
        return entry

    def look(self):
        status = self.read("status", "u1")
        if status is None:
            return
        value, n_unit = self.read("value", "f8"), self.read("n_unit", "i8")
        ok = status == layout.OK
        self.seen.append(int(ok.sum()))
        if ok.any():
            assert np.isfinite(value[ok]).all()
            assert (n_unit[ok] > 0).all()
            for number in np.flatnonzero(ok):
                assert f"theta/c.0.0.0.{number}.0" in self.objects

    def read(self, name, dtype):
        content = self.objects.get(f"{name}/c.{BLOCK}")
        return None if content is None else np.frombuffer(remote_blocks.Zstd().decode(content), dtype)


@pytest.fixture
def block(toy, tmp_path):
    """Return a store of one block under its lease, the watched place, and what puts its blocks there.

    The objects lie in the memory of this process: only their order counts here, and hundreds are put in a second.
    """
    study = toy(
        sessions=("a",),
        conditions=("rest",),
        sizes=("all",),
        repetitions=8,
        big=True,
        sweep={"block": {"repetition": 8}},
    )
    with lease.acquire(tmp_path) as held:
        store = engine.prepare_store(tmp_path, study, [], held)
        place = Watched(f"memory://lab/{tmp_path.name}", store)
        with remote_lease.acquire(place, str(tmp_path)) as at_url:
            yield store, place, Blocks(Copies(place, tmp_path, at_url)), held


def write(store, held, stop):
    """Fill and empty cells as tasks and `neq rerun` do, at least once."""
    rng, encoder = random.Random(3), Encoder(store)
    while True:
        token = held.token()
        fence = Fence(owners.grant(store.path.parent, BLOCK, token))
        values = BlockValues(store, BLOCK, encoder)
        pending = np.flatnonzero(store.status().ravel() == layout.PENDING).tolist()
        if not pending or rng.random() < 0.4:
            values.reset(rng.sample(range(8), 3), fence)
        else:
            for number in rng.sample(pending, min(2, len(pending))):
                record = {"value": 1.0 + number, "n_unit": 5, "reason": "x", "drawn_unit": np.arange(5)}
                values.put(number, {**record, "theta": np.ones(3), "status": layout.OK, "run": "r"})
            values.flush(fence)
        if stop.wait(rng.uniform(0.0, 0.05)):
            return


def test_blocks__a_reader_sees_whole_cells_after_every_put(block, monkeypatch):
    store, place, blocks, held = block
    rng, read = random.Random(4), Copies.read

    def read_with_pauses(copies, file):
        content = read(copies, file)
        if file.parent.name == "status":
            # what the writer does now must not part status and values
            time.sleep(rng.choice((0.0, 0.0, 0.2)))
        return content

    monkeypatch.setattr(Copies, "read", read_with_pauses)
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(store, held, stop))
    writer.start()
    try:
        n_put, end = 0, time.monotonic() + 60
        while n_put < 40 and time.monotonic() < end:
            n_put += sum(blocks.put(store, changed) for changed in blocks.changed(store))
    finally:
        stop.set()
        writer.join()
    for changed in blocks.changed(store):
        assert blocks.put(store, changed)
    assert blocks.changed(store) == []
    assert len(set(place.seen)) > 2
    assert any(later < earlier for earlier, later in zip(place.seen, place.seen[1:], strict=False))
    status = place.read("status", "u1")
    assert np.array_equal(status, Store.open(store.path).status().ravel())


def test_blocks__status_that_changes_all_the_time_is_put_off(block, monkeypatch):
    store, _, blocks, held = block
    once = threading.Event()
    once.set()
    write(store, held, once)
    path = store.path / "status" / f"c.{BLOCK}"
    read = Copies.read

    def read_and_touch(copies, file):
        content = read(copies, file)
        path.touch()
        return content

    monkeypatch.setattr(Copies, "read", read_and_touch)
    assert not blocks.put(store, BLOCK)
    assert blocks.changed(store) == [BLOCK]
    monkeypatch.undo()
    assert blocks.put(store, BLOCK)
