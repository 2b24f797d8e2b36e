import numpy as np
import pytest
import xarray as xr

VALUE = "entropy_production_per_spike"


@pytest.fixture
def make_cells():
    """Make a run as open_run gives it, its values drawn at random around a law of size and condition."""

    def make(
        sessions=2, conditions=("active", "passive"), sizes=(10, 20, 0), repetitions=3, largest=40, seed=0, **extra
    ):
        coords = {
            "session": [f"s{i}" for i in range(sessions)],
            "condition": list(conditions),
            **{name: list(labels) for name, labels in extra.items()},
            "size": list(sizes),
            "repetition": list(range(repetitions)),
        }
        dims = tuple(coords)
        shape = tuple(len(labels) for labels in coords.values())
        rng = np.random.default_rng(seed)
        n_unit = np.array([float(size or largest) for size in sizes])
        level = xr.DataArray(1e-4 * n_unit, dims="size") / (1 + xr.DataArray(range(len(conditions)), dims="condition"))
        values = level.broadcast_like(xr.DataArray(np.zeros(shape), dims=dims)).transpose(*dims).values
        values = values * rng.lognormal(0.0, 0.2, shape)
        if "surrogate" in coords:
            null = [i for i, label in enumerate(coords["surrogate"]) if label != "none"]
            values[(slice(None),) * dims.index("surrogate") + (null,)] *= 0.01
        return xr.Dataset(
            {
                VALUE: (dims, values, {"units": "nats/spike", "long_name": "entropy production per spike"}),
                "status": (dims, np.full(shape, "ok", dtype="U10")),
                "quality": (dims, np.zeros(shape, dtype="u1")),
                "n_unit": (dims, np.broadcast_to(n_unit[:, None], shape).copy()),
            },
            coords=coords,
        )

    return make


@pytest.fixture
def spoil():
    """Give cells another status, and no value."""

    def change(dataset, status, **labels):
        where = xr.ones_like(dataset["status"], dtype=bool)
        for axis, label in labels.items():
            where = where & (dataset[axis] == label)
        dataset = dataset.copy(deep=True)
        dataset["status"] = dataset["status"].where(~where, status)
        for name in (VALUE, "n_unit"):
            dataset[name] = dataset[name].where(~where)
        return dataset

    return change
