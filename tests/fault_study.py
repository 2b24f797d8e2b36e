"""The toy study with faults that need a batch system: cells that take memory."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from toy_study import Toy, ToyConfig


class FaultConfig(ToyConfig):
    study: str = "fault_study:Fault"
    hog: str = ""
    """The cell (session/condition/size/repetition) that takes memory."""
    hog_mib: int = 0
    hog_pause: float = 0.3
    """Time after each tenth of it."""
    ingest_seconds: float = 0.0
    """Time of a source, which is noted when it begins."""


class Fault(Toy):
    """A toy study in which one cell takes much memory, slowly, so that limits are met on the way."""

    name = "fault"
    Config = FaultConfig

    def ingest(self, source, run_folder):
        with (Path(run_folder) / "begun").open("a") as file:
            file.write(f"{source.labels['session']}\n")
        time.sleep(self.config.ingest_seconds)
        return super().ingest(source, run_folder)

    def compute(self, cell, inputs):
        name = "/".join(str(cell[axis]) for axis in ("session", "condition", "size", "repetition"))
        if name == self.config.hog:
            held = []
            for _ in range(10):
                held.append(np.ones(self.config.hog_mib * 2**20 // 80))
                time.sleep(self.config.hog_pause)
        return super().compute(cell, inputs)
