"""A study with the variables of the main one and no estimation, swept, or written straight into a store."""

from __future__ import annotations

import json

import numpy as np
from pydantic import Field
from toy_study import Toy, ToyConfig

from neq import figures, seeds
from neq.summary import summarise
from workflows import store
from workflows.grid import Grid
from workflows.studies.base import Axis, Output, Prepared

STATES = {"pending": 0, "ok": 1, "failed": 2, "impossible": 3}


class EpConfig(ToyConfig):
    study: str = "ep_study:Ep"
    extra: dict[str, tuple[float | str, ...]] = Field(default={"surrogate": ("none", "time_reversal")})
    sizes: tuple[int | str, ...] = (10, 20, "all")


class Ep(Toy):
    name = "ep"
    Config = EpConfig

    def axes(self):
        axes = super().axes()
        sizes = tuple(0 if size == "all" else size for size in self.config.sizes)
        return tuple(axis if axis.name != "size" else Axis("size", sizes) for axis in axes)

    def outputs(self):
        return (
            Output("entropy_production", units="nats", long_name="entropy production per transition"),
            Output("entropy_production_per_spike", units="nats/spike", long_name="entropy production per spike"),
            Output("interval_low", units="nats"),
            Output("interval_high", units="nats"),
            Output("p_value", units="1"),
            Output("n_unit", "i8", units="1"),
            Output("reason", "str"),
        )

    def dimensions(self, prepared):
        return {}

    def compute(self, cell, inputs):
        """Return a value that grows with the number of units, in the time that the config says."""
        self._faults(cell)
        n_unit = cell["size"] or 30
        value = 1e-3 * n_unit * seeds.generator(self.config.seed, **cell).lognormal(0, 0.2)
        return {
            "entropy_production": value,
            "entropy_production_per_spike": value / 10,
            "interval_low": value * 0.8,
            "interval_high": value * 1.2,
            "p_value": 0.001,
            "n_unit": n_unit,
            "reason": "",
        }

    def reduce(self, dataset):
        return summarise(dataset)

    def figures(self, dataset, summary):
        return {"scaling": figures.scaling(dataset), "note": figures.message("Note", "a figure without axes")}


def write_run(folder, status=None, error="no number <b>here</b>\nTraceback ...", subjects=None, **keys):
    """Make a run folder; ``status``: flat number of a cell -> state (others: ok); ``subjects``: session -> animal."""
    study = Ep(EpConfig(**keys))
    folder.mkdir(parents=True, exist_ok=True)
    animals = {name: {"subject": subject} for name, subject in (subjects or {}).items()}
    prepared = [
        Prepared({"session": name}, content="abc123", facts={"n_unit": 30, **animals.get(name, {})})
        for name in study.config.sessions
    ]
    grid = Grid(study.axes())
    one_block = dict(zip(grid.names, grid.shape, strict=True))  # few files, fast tests
    made = store.create(folder / "sweep.zarr", study, prepared, grid, one_block)
    shape = made.shape
    states = np.ones(shape, dtype="u1")
    for cell, state in (status or {}).items():
        states.ravel()[slice(None) if cell == "all" else cell] = STATES[state]
    rng = np.random.default_rng(1)
    n_unit = np.broadcast_to(np.array([size or 30 for size in made.labels("size")])[:, None], shape)
    value = 1e-3 * n_unit * rng.lognormal(0, 0.2, shape)
    for name, values in {
        "entropy_production": value,
        "entropy_production_per_spike": value / 10,
        "interval_low": value * 0.8,
        "interval_high": value * 1.2,
        "p_value": np.full(shape, 0.001),
        "n_unit": n_unit,
        "quality": np.zeros(shape),
        "seconds": np.full(shape, 36.0),
        "peak_memory": np.full(shape, 200.0),
        "error": np.where(states > 1, error, ""),
        "error_type": np.where(states == 2, "ValueError", np.where(states == 3, "ImpossibleError", "")),
        "status": states,
    }.items():
        made.array(name)[...] = values
    (folder / "runs").mkdir(exist_ok=True)
    facts = {"host": "there", "code": {"commit": "0123abc"}, "argv": ["neq", "run"]}
    (folder / "runs" / "20260101T000000Z-aaaa.json").write_text(json.dumps(facts))
    return study
