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
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from neq import seeds
from neq.errors import RecordingError
from neq.models.kinetic_ising import MAX_ENUMERATED, KineticIsing
from neq.spikes.recording import Recording, SpikeTrains, epoch_table, unit_table

CONDITIONS: Mapping[str, float] = {"driven": 1.0, "weak": 0.5, "reversible": 0.0}
AREAS = ("V1", "LM", "AL", "PM")

ACTIVITY = (0.02, 0.08)
"""Share of bins in which a unit is active: drawn between these, uniformly in the logarithm."""
NEIGHBOURS = 3.0
"""Mean number of units that one is coupled to."""
SYMMETRIC = (0.5, 0.5)
"""Mean and standard deviation of the symmetric part of a coupling, in units of log-odds."""
ANTISYMMETRIC = 0.45
"""Median size of its antisymmetric part at strength 1: gives 0.05 to 0.1 nats per spike."""
STRAY = 0.3
"""Share of the units that may belong to a module whose home is another area."""
DIGITS = 6
"""Parameters are rounded to these: the last bits of a linear algebra library then cannot change a spike."""


def synthetic(
    path: str | None = None,
    *,
    session: str | None = None,
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
    >>> recording = synthetic(n_unit=12, duration=10.0)
    >>> recording.conditions
    ['driven', 'weak', 'reversible']
    >>> recording.source["exact"]["reversible"]["entropy_production"]
    0.0
    """
    name = session or path or "synthetic-1"
    options = {
        "n_unit": n_unit,
        "module_size": module_size,
        "conditions": dict(CONDITIONS if conditions is None else conditions),
        "duration": duration,
        "gap": gap,
        "bin_size": bin_size,
        "seed": seed,
        "areas": list(areas),
    }
    _check(options)
    network = draw_network(name, n_unit=n_unit, module_size=module_size, seed=seed)
    models = {condition: network.model(strength) for condition, strength in options["conditions"].items()}
    n_bin, n_gap = round(duration / bin_size), round(gap / bin_size)
    starts = {condition: row * (n_bin + n_gap) for row, condition in enumerate(models)}
    rasters = [
        _raster(
            models[condition], n_bin, start, seeds.generator(seed, session=name, condition=condition, role="spikes")
        )
        for condition, start in starts.items()
    ]
    trains = _trains(rasters, n_unit, bin_size)
    epochs = [
        {"condition": condition, "start": start * bin_size, "stop": (start + n_bin) * bin_size}
        for condition, start in starts.items()
    ]
    area = [areas[index] for index in np.arange(n_unit) * len(areas) // n_unit]
    return Recording(
        session=name,
        units=unit_table(range(n_unit), area=area, columns={"module": network.module}),
        spike_times=trains,
        epochs=epoch_table(epochs),
        source={
            "kind": "synthetic",
            "path": "",
            "options": options,
            "content": _content_hash(trains, epochs, area),
            "exact": {condition: _exact(model, network.module) for condition, model in models.items()},
        },
        bin_size=bin_size,
        duration=epochs[-1]["stop"],
    )


@dataclass(frozen=True, eq=False)
class Network:
    """One network of the ensemble.

    Parameters
    ----------
    module
        Module of each unit (unit,).
    symmetric, antisymmetric
        Parts of the couplings (target, source).
    activity
        Share of bins (unit,) in which each unit is active, in every condition.
    """

    module: np.ndarray
    symmetric: np.ndarray
    antisymmetric: np.ndarray
    activity: np.ndarray

    def model(self, strength: float) -> KineticIsing:
        """Return the network with the antisymmetric part scaled by ``strength``; its biases keep the activity."""
        couplings = (self.symmetric + strength * self.antisymmetric).round(DIGITS)
        bias = np.empty(len(couplings))
        for label in np.unique(self.module):
            unit = np.flatnonzero(self.module == label)
            bias[unit] = _solve_bias(couplings[np.ix_(unit, unit)], self.activity[unit])
        return KineticIsing(couplings=couplings, bias=bias.round(DIGITS))


def draw_network(session: str, *, n_unit: int = 60, module_size: int = 6, seed: int = 0) -> Network:
    """Draw the network of one session; the arguments are those of :func:`synthetic`.

    Examples
    --------
    >>> draw_network("a", n_unit=7).module.tolist() == draw_network("a", n_unit=7).module.tolist()
    True
    """
    random = seeds.generator(seed, session=session, role="network")
    module = np.arange(n_unit) * math.ceil(n_unit / module_size) // n_unit
    stray = np.flatnonzero(random.random(n_unit) < STRAY)
    module[stray] = random.permutation(module[stray])
    n_other = np.bincount(module)[module] - 1
    coupled = random.random((n_unit, n_unit)) * n_other < NEIGHBOURS
    coupled = np.triu(coupled & (module[:, np.newaxis] == module), 1)
    symmetric = coupled * random.normal(*SYMMETRIC, (n_unit, n_unit))
    size = ANTISYMMETRIC * random.lognormal(0.0, 0.3, (n_unit, n_unit))
    antisymmetric = coupled * size * random.choice([-1.0, 1.0], (n_unit, n_unit))
    activity = np.exp(random.uniform(*np.log(ACTIVITY), n_unit))
    return Network(module, symmetric + symmetric.T, antisymmetric - antisymmetric.T, activity)


def _solve_bias(couplings: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Return the biases (unit,) under which each unit of a module is active as asked, to about 1e-7 in log-odds."""
    wanted = special.logit(activity)
    bias = wanted - couplings @ activity
    for _ in range(500):
        step = wanted - special.logit(KineticIsing(couplings=couplings, bias=bias).activity())
        if np.abs(step).max() < 1e-7:
            break
        bias += step
    return bias


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


def _exact(model: KineticIsing, module: np.ndarray) -> dict[str, Any]:
    """Return what is known of one condition, as plain JSON."""
    groups = [np.flatnonzero(module == label) for label in np.unique(module)]
    modules = [model.select_units(group).entropy_production() for group in groups]
    total, spikes = math.fsum(modules), float(model.activity().sum())
    return {
        "entropy_production": total,
        "n_unit": model.n_unit,
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


def _check(options: dict[str, Any]) -> None:
    """Raise on the first option that is out of its range."""
    n_area = len(options["areas"])
    rules = [
        ("n_unit", "an integer of at least 2", options["n_unit"] >= 2),
        ("module_size", f"2 to {MAX_ENUMERATED}", 2 <= options["module_size"] <= MAX_ENUMERATED),
        ("bin_size", "a positive number of seconds", options["bin_size"] > 0),
        ("duration", "at least two bins", options["duration"] >= 2 * options["bin_size"]),
        ("gap", "zero or more seconds", options["gap"] >= 0),
        ("areas", "between 1 and n_unit names", 1 <= n_area <= options["n_unit"]),
        ("conditions", "at least one name with its strength", len(options["conditions"]) > 0),
    ]
    for name, expected, holds in rules:
        if not holds:
            raise RecordingError(f"Option {name} of a synthetic recording must be {expected}, got {options[name]!r}.")
