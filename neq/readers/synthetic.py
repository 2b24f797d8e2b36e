"""A synthetic recording whose entropy production is known exactly.

The network is made of independent modules of a few units, so that the exact value of each is found by enumeration
and that of the whole is their sum. Conditions differ in how much of the antisymmetric part of the couplings is
kept; strength 0 leaves symmetric couplings, which are reversible. The biases of each condition are solved so that
every unit is as active in one condition as in another: what differs is the irreversibility alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from pydantic import Field

from neq import seeds
from neq.models.kinetic_ising import MAX_ENUMERATED, KineticIsing
from neq.models.modular_network import draw_network
from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table

from .options import checked

CONDITIONS: Mapping[str, float] = {"driven": 1.0, "weak": 0.5, "reversible": 0.0}
AREAS = ("V1", "LM", "AL", "PM")


class Options(pydantic.BaseModel, frozen=True, allow_inf_nan=False):
    """The ranges of the options of :func:`read`."""

    n_unit: int = Field(ge=2)
    module_size: int = Field(ge=2, le=MAX_ENUMERATED)
    conditions: dict[str, float] = Field(default_factory=lambda: dict(CONDITIONS), min_length=1)
    duration: float = Field(gt=0)
    gap: float = Field(ge=0)
    bin_size: float = Field(gt=0)
    seed: int = Field(ge=0)
    areas: list[str] = Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _check_together(self) -> Options:
        if self.duration < 2 * self.bin_size:
            raise ValueError(f"duration must be at least two bins of {self.bin_size:g} s, found {self.duration:g} s")
        return self


def read(
    path: str | Path | None = None,
    session: str | None = None,
    *,
    n_unit: int = 60,
    module_size: int = 6,
    conditions: Mapping[str, float] | None = None,
    duration: float = 600.0,
    gap: float = 1.0,
    bin_size: float = 0.01,
    seed: int = 0,
    areas: Sequence[str] = AREAS,
) -> Recording:
    """Simulate one session of a sparse network with asymmetric couplings.

    Parameters
    ----------
    path
        Stands for the session's name where ``session`` is left out: a synthetic recording has no file.
    session
        Name of the session. Another name, or another ``seed``, is another network of the same ensemble.
    n_unit
        Number of units.
    module_size
        Largest number of units in a module, 2 to 12.
    conditions
        Name and strength of each condition, in the order in which they are recorded, each one epoch.
    duration
        Length of each epoch (s).
    gap
        Pause between two epochs (s), without spikes.
    bin_size
        Width of the bins (s) in which the network is simulated: one update of all units per bin.
    seed
        Root seed of the network and its spikes.
    areas
        Names of the areas that the units are dealt to.

    Returns
    -------
    Recording
        ``units`` has a column ``module``. ``source["exact"]`` maps each condition to its exact
        ``entropy_production`` (nats per bin, of all ``n_unit`` units together), ``spikes_per_bin``,
        ``entropy_production_per_spike`` and ``module_entropy_production`` (module,).

    Raises
    ------
    RecordingError
        An option is out of its range.

    Examples
    --------
    >>> recording = read(n_unit=12, duration=10.0)
    >>> recording.conditions
    ['driven', 'weak', 'reversible']
    >>> recording.source["exact"]["reversible"]["entropy_production"]
    0.0
    """
    name = session or ("synthetic-1" if path is None else str(path))
    given = {
        "n_unit": n_unit,
        "module_size": module_size,
        "conditions": CONDITIONS if conditions is None else conditions,
        "duration": duration,
        "gap": gap,
        "bin_size": bin_size,
        "seed": seed,
        "areas": areas,
    }
    options = checked(Options, given, "synthetic").model_dump()
    network = draw_network(name, n_unit=n_unit, module_size=module_size, seed=seed)
    models = {condition: network.model(strength) for condition, strength in options["conditions"].items()}
    trains, epochs = _record(name, models, options)
    area = [areas[row * len(areas) // n_unit] for row in range(n_unit)]
    source = {
        "kind": "synthetic",
        "path": "",
        "options": options,
        "content": _content_hash(trains, epochs, area),
        "exact": {condition: _exact(model, network.module, bin_size) for condition, model in models.items()},
    }
    units = unit_table(range(n_unit), area=area, columns={"module": network.module})
    stop = epochs[-1]["stop"]
    return Recording(name, units, trains, epoch_table(epochs), source, bin_size=bin_size, duration=stop)


def _record(
    session: str, models: dict[str, KineticIsing], options: dict[str, Any]
) -> tuple[SpikeTrains, list[dict[str, Any]]]:
    """Run the conditions one after another; return the spikes of all and the epoch of each."""
    bin_size = options["bin_size"]
    n_bin, n_gap = round(options["duration"] / bin_size), round(options["gap"] / bin_size)
    rasters, epochs, start = [], [], 0
    for condition, model in models.items():
        random = seeds.generator(options["seed"], session=session, condition=condition, role="spikes")
        rasters.append(_raster(model, n_bin, start, random))
        epochs.append({"condition": condition, "start": start * bin_size, "stop": (start + n_bin) * bin_size})
        start += n_bin + n_gap
    return _trains(rasters, options["n_unit"], bin_size), epochs


def _raster(model: KineticIsing, n_bin: int, start: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit and the bin of each spike (spike,) of one epoch, in time order."""
    units, bins = [], []
    for block in model.stream(n_bin, seed=random):
        row, unit = np.nonzero(block)
        units.append(unit)
        bins.append(row + start)
        start += len(block)
    return np.concatenate(units), np.concatenate(bins)


def _trains(rasters: list[tuple[np.ndarray, np.ndarray]], n_unit: int, bin_size: float) -> SpikeTrains:
    """Return the spikes of all epochs as times at bin centres, unit by unit."""
    unit = np.concatenate([units for units, _ in rasters])
    position = np.concatenate([bins for _, bins in rasters])
    order = np.argsort(unit, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(unit, minlength=n_unit))])
    return SpikeTrains((position[order] + 0.5) * bin_size, offsets)


def _exact(model: KineticIsing, module: np.ndarray, bin_size: float) -> dict[str, Any]:
    """Return what is known of one condition, as plain JSON."""
    groups = [np.flatnonzero(module == label) for label in np.unique(module)]
    modules = [model.select_units(group).entropy_production() for group in groups]
    total, spikes = math.fsum(modules), float(model.activity().sum())
    return {
        "entropy_production": total,
        "n_unit": model.n_unit,
        "bin_size": bin_size,
        "spikes_per_bin": spikes,
        "entropy_production_per_spike": total / spikes,
        "module_entropy_production": modules,
    }


def _content_hash(trains: SpikeTrains, epochs: list[dict[str, Any]], area: list[str]) -> str:
    """Return the hash of all that the recording holds."""
    digest = hashlib.blake2b(repr((epochs, area)).encode(), digest_size=16)
    digest.update(trains.offsets.tobytes())
    digest.update(np.asarray(trains.flat).tobytes())
    return digest.hexdigest()
