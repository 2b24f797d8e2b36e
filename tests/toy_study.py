"""A tiny study for tests of the engine: values come from seeds, faults from labels and from the config."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
from pydantic import Field

from neq import seeds
from neq.errors import ImpossibleError
from workflows.blocks import flush, task
from workflows.config import RunConfig
from workflows.studies.base import Axis, Output, Prepared, Source, Study


class ToyConfig(RunConfig):
    study: str = "toy_study:Toy"
    sessions: tuple[str, ...] = ("a", "b")
    conditions: tuple[str, ...] = ("rest", "move")
    sizes: tuple[int | str, ...] = (2, 4, "all")
    repetitions: int = 4
    strength: float = 1.0
    """A setting: another value is another study."""
    extra: dict[str, tuple[float | str, ...]] = Field(default_factory=dict)
    with_sources: bool = False
    big: bool = False
    seconds: float = 0.0
    """Time of a cell."""
    die: str = ""
    """The cell (session/condition/size/repetition) that kills its worker."""
    no_memory: str = ""
    warn: str = ""
    leave: str = ""
    """The cell that ends its process in good order."""
    slow_flush: float = 0.0
    """Wait before each chunk is put in its place, so that kills land between them."""
    flush_seconds: float = 2.0


class SlowFence(flush.Fence):
    wait = 0.0

    def write(self, path, content):
        time.sleep(self.wait)
        super().write(path, content)


class Toy(Study):
    """Every cell draws from its labels; labels with a meaning: size 13 is impossible, session `bad...` fails."""

    name = "toy"
    version = 1
    Config = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        task.FLUSH_SECONDS = config.flush_seconds
        SlowFence.wait = config.slow_flush
        task.Fence = SlowFence

    def axes(self):
        config = self.config
        extra = tuple(Axis(name, labels) for name, labels in config.extra.items())
        return (
            Axis("session", config.sessions, stage="ingest"),
            Axis("condition", config.conditions),
            *extra,
            Axis("size", config.sizes, long_name="number of units"),
            Axis("repetition", tuple(range(config.repetitions))),
        )

    def outputs(self):
        outputs = (
            Output("value", units="nats", long_name="a number"),
            Output("n_unit", "i8", units="1"),
            Output("reason", "str"),
            Output("drawn_unit", "i8", dims=("drawn",), fill=-1),
        )
        return (*outputs, Output("theta", dims=("pair",), own_chunk=True)) if self.config.big else outputs

    def settings(self):
        return {"seed": self.config.seed, "strength": self.config.strength}

    def dimensions(self, prepared):
        largest = max(size for size in self.config.sizes if size != "all") if self.config.sizes != ("all",) else 5
        return {"drawn": max(largest, 5), **({"pair": 3} if self.config.big else {})}

    def sources(self):
        if not self.config.with_sources:
            return ()
        return tuple(Source({"session": session}, {"file": f"{session}.txt"}) for session in self.config.sessions)

    def ingest(self, source, run_folder):
        text = (Path(run_folder) / source.spec["file"]).read_text()
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return Prepared(source.labels, path=source.spec["file"], content=text, facts={"n_unit": 5})

    def open_inputs(self, cell, prepared, run_folder):
        return prepared

    def compute(self, cell, inputs):
        self._faults(cell)
        if cell["size"] == 13:
            raise ImpossibleError("size 13 is larger than the 5 units there are")
        if str(cell["session"]).startswith("bad"):
            raise ValueError(f"no number for {cell['session']}, repetition {cell['repetition']}")
        rng = seeds.generator(self.config.seed, **cell)
        n = cell["size"] or 5
        values = {
            "value": self.config.strength * rng.normal(),
            "n_unit": n,
            "reason": f"é {n}",
            "drawn_unit": rng.permutation(max(n, 5))[:n],
            "quality": int(rng.integers(16)),
        }
        return {**values, "theta": rng.normal(size=3)} if self.config.big else values

    def _faults(self, cell):
        config = self.config
        time.sleep(config.seconds)
        name = "/".join(str(cell[axis]) for axis in ("session", "condition", "size", "repetition"))
        if name == config.die:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == config.no_memory:
            raise MemoryError("no memory left")
        if name == config.leave:
            raise SystemExit(3)
        if name == config.warn:
            warnings.warn("a warning", UserWarning, stacklevel=1)
            np.log(np.zeros(1))

    def cost(self, cell, facts):
        return float(cell["size"] or 5)

    def reduce(self, dataset):
        return dataset

    def figures(self, dataset, summary):
        return {}


class Empty(Toy):
    """Cells that do nothing, to measure the engine alone."""

    name = "empty"

    def outputs(self):
        return (Output("value"),)

    def compute(self, cell, inputs):
        return {"value": 0.0}


class Busy(Empty):
    """Cells of pure computation, as a kernel's: no memory, no wait."""

    name = "busy"

    def compute(self, cell, inputs):
        state = seeds.label_words(cell)[0]
        for _ in range(2_000_000):
            state = (1_103_515_245 * state + 12_345) % 2_147_483_648
        return {"value": float(state)}
