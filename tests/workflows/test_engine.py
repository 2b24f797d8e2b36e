import numpy as np
import pytest

from cluster import local
from workflows import engine, layout, lease
from workflows.store import Store


@pytest.fixture(scope="module")
def client():
    with local.start(workers=2, memory="1GiB", dashboard=False) as client:
        yield client


def sweep(folder, study, client, **options):
    with lease.acquire(folder) as held:
        prepared = engine.ingest(folder, study, client)
        engine.prepare_store(folder, study, prepared, held)
        return engine.run_sweep(folder, study, study.config, client, held, **options)


def test_sweep__computes_every_cell(tmp_path, toy, client):
    seen = []
    result = sweep(tmp_path, toy(big=True), client, progress=lambda *counts: seen.append(counts))
    assert (result.n_cell, result.n_ok, result.n_computed) == (48, 48, 48)
    assert seen[0] == (0, 48, 0)
    assert seen[-1] == (48, 48, 0)
    store = Store.open(tmp_path / "sweep.zarr")
    assert (store.status() == layout.OK).all()
    assert not np.isnan(store.read("value")).any()
    assert not np.isnan(store.read("theta")).any()
    assert list((tmp_path / "owners").iterdir()) == []
