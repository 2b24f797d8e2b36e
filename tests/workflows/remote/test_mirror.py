"""What of a store goes to a URL beside its blocks, while the run grows."""

import xarray as xr

import neq
from workflows import engine, lease
from workflows.remote import lease as remote_lease
from workflows.remote.mirror import Mirror
from workflows.remote.place import Place
from workflows.studies.base import Prepared


def test_put_store__animals_grow_with_their_sessions(toy, tmp_path):
    url = f"memory://lab/{tmp_path.name}"
    animals = {"a": "m1", "b": "m2", "c": "m1"}
    prepared = [Prepared({"session": name}, facts={"subject": animal}) for name, animal in animals.items()]
    (tmp_path / "config.yaml").write_text("")
    with lease.acquire(tmp_path) as held, remote_lease.acquire(Place(url), str(tmp_path)) as at_url:
        mirror = Mirror(Place(url), tmp_path, at_url, print)
        for sessions in (("a", "b"), ("a", "b", "c")):
            engine.prepare_store(tmp_path, toy(sessions=sessions), prepared[: len(sessions)], held)
            mirror._put_store()
            with xr.open_zarr(f"{url}/sweep.zarr", consolidated=False, chunks=None) as plain:
                for dataset in (plain, neq.open_run(url)):
                    assert dataset.coords["subject"].values.tolist() == [animals[name] for name in sessions]
