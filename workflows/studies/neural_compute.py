"""What one cell of neural recordings computes, from the transitions of the drawn units to values."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from neq.estimators.contributions import Contributions, contributions, mean_contributions
from neq.estimators.order_features import MAX_UNIT
from neq.estimators.order_result import OrderDecompositionResult
from neq.estimators.orders import OrderDecomposition
from neq.observables import observable_named
from neq.spikes.transitions import Transitions
from neq.variables import quality_bits

from .population import Population

METHODS = {"maxent": "maxent.MaxEnt", "newton_step": "newton.NewtonStep", "mtur": "mtur.MTUR"}
"""Where the estimator of each method is."""

COST = {"newton_step": 0.3, "mtur": 0.2}
"""What the other methods cost beside a fit of maxent."""

_ABSENT = {
    name: np.nan for name in ("ridge", "shrinkage", "length", "entropy_production_half", "effective_sample_size")
}
"""Values that some methods do not have."""


@dataclass(frozen=True, eq=False)
class HeldOutPart:
    """Positions (transition,) and transitions of a held-out part, and the theta that has not seen them."""

    position: np.ndarray
    transitions: Transitions
    theta: np.ndarray


def versions(methods: Collection[str]) -> dict[str, int]:
    """Return the versions of the estimators behind some methods, and of the decomposition by order.

    Examples
    --------
    >>> sorted(versions(["maxent"]))
    ['maxent', 'orders']
    """
    return {name: _estimator_class(name).version for name in methods} | {"orders": OrderDecomposition.version}


def estimate(
    transitions: Transitions,
    population: Population,
    options: Mapping[str, Any],
    store: Collection[str],
    seed: np.random.SeedSequence,
    *,
    half: bool,
) -> dict[str, Any]:
    """Estimate entropy production and whatever of it is stored.

    Parameters
    ----------
    transitions
        Of the drawn units, turned round where they are a surrogate.
    population
        What they were drawn from.
    options
        The section ``estimator`` with the labels of the cell in place.
    store
        What is stored on request.
    seed
        Decides split, bootstrap and reversals; equal for all methods, so that they hold out the same part.
    half
        Fit half of the training part too.
    """
    result = _estimator(options, half).fit(transitions, seed=seed)
    parts = held_out_parts(result, transitions)
    values = result_values(result, parts, transitions, population.bin_size)
    if options["method"] != "mtur" and {"contributions", "scores"} & set(store):
        found = [contributions(part.theta, part.transitions, options["observable"]) for part in parts]
        if "contributions" in store:
            values |= _contribution_values(found, parts)
        if "scores" in store:
            values |= _score_values(found, parts, transitions, population)
    if "orders" in store and options["method"] == "maxent":
        values |= _order_values(transitions, options, seed, values.get("reason", ""))
    return values


def n_fit(options: Mapping[str, Any], n_unit: int, with_orders: bool) -> float:
    """Return what a cell costs in fits of a single split by maxent.

    Examples
    --------
    >>> n_fit({"method": "maxent", "cross_fit": 5, "max_order": 2}, 50, with_orders=False)
    6.0
    """
    if options["method"] != "maxent":
        return COST[options["method"]]
    # of the folds a last fit is of all transitions, for the couplings
    fits = options["cross_fit"] + 1.0 if options["cross_fit"] else 1.0
    if not with_orders:
        return fits
    return fits + (0.5 if options["max_order"] < 3 else 0.5 + 0.05 * n_unit)


def exact_values(exact: Mapping[str, Any], n_unit: int, lag: int, bin_size: float) -> dict[str, Any]:
    """Return the exact values of a simulated session, where they are of these transitions.

    They are of all its units, one step of the network apart.

    Examples
    --------
    >>> exact = {"entropy_production": 2.0, "entropy_production_per_spike": 0.5, "n_unit": 4, "bin_size": 0.01}
    >>> exact_values(exact, 4, 1, 0.01)
    {'exact_entropy_production': 2.0, 'exact_entropy_production_per_spike': 0.5}
    >>> exact_values(exact, 3, 1, 0.01), exact_values({}, 4, 1, 0.01)
    ({}, {})
    """
    if not exact or n_unit != exact["n_unit"] or lag != 1 or not np.isclose(bin_size, exact["bin_size"], rtol=1e-9):
        return {}
    return {f"exact_{name}": exact[name] for name in ("entropy_production", "entropy_production_per_spike")}


def result_values(
    result: Any, parts: Sequence[HeldOutPart], transitions: Transitions, bin_size: float
) -> dict[str, Any]:
    """Return the values of one fit, all held out; per second and per spike count ``lag`` bins from one to the other."""
    found = {field.name: getattr(result, field.name) for field in fields(result)}
    low, high = found.pop("interval")
    if "entropy_production_held_out" in found:
        found |= _held_out_relation(result, parts)
    if "damping" in found:
        found["shrinkage"], found["ridge"] = result.damping
        found["length"] = result.step_length
    value, lag = found["entropy_production"], transitions.lag
    spikes = lag * found["spikes_per_bin"]
    return (
        _ABSENT
        | found
        | {
            "entropy_production_rate": value / (lag * bin_size),
            "entropy_production_per_spike": value / spikes if spikes > 0 else np.nan,
            "interval_low": low,
            "interval_high": high,
            "n_fold": len(parts),
            "n_parameter": len(result.theta),
            "quality": quality_bits(found["quality"]),
        }
    )


def _held_out_relation(result: Any, parts: Sequence[HeldOutPart]) -> dict[str, Any]:
    """Return the uncertainty relation on held-out transitions as the value, and in-sample as that of training.

    Its bias and its flags are those of the value in-sample, which is not the one that stands here.
    """
    return {
        "entropy_production": result.entropy_production_held_out,
        "entropy_production_uncapped": result.entropy_production_held_out_uncapped,
        "entropy_production_train": result.entropy_production,
        "bias": np.nan,
        "quality": result.quality_held_out,
        "spikes_per_bin": parts[0].transitions.spikes_per_bin,
    }


def held_out_parts(result: Any, transitions: Transitions) -> list[HeldOutPart]:
    """Return the parts that a result was scored on, fold by fold."""
    thetas = getattr(result, "fold_theta", [result.theta])
    positions = [np.flatnonzero(result.fold == number) for number in range(len(thetas))]
    return [HeldOutPart(test, transitions.take(test), theta) for test, theta in zip(positions, thetas, strict=True)]


def _estimator_class(method: str) -> Any:
    module, name = METHODS[method].split(".")
    return getattr(importlib.import_module(f"neq.estimators.{module}"), name)


def _estimator(options: Mapping[str, Any], half: bool) -> Any:
    """Return the estimator that the options ask for."""
    given: dict[str, Any] = {name: options[name] for name in ("observable", "split", "n_draw")}
    if options["method"] == "mtur":
        return _estimator_class("mtur")(**given, held_out=True)
    if options["method"] == "maxent":
        given["cross_fit"] = options["cross_fit"] or None
    return _estimator_class(options["method"])(**given, half=half)


def _contribution_values(found: Sequence[Contributions], parts: Sequence[HeldOutPart]) -> dict[str, Any]:
    mean = mean_contributions(found, [len(part.position) for part in parts])
    return {"contribution": mean.value, "contribution_unit": mean.unit, "log_normaliser": mean.log_normaliser}


def _score_values(
    found: Sequence[Contributions], parts: Sequence[HeldOutPart], transitions: Transitions, population: Population
) -> dict[str, Any]:
    """Return the score of every transition out of its own fold, with when and where it was, and the events."""
    score = np.full(transitions.n_transition, np.nan)
    for held_out, part in zip(found, parts, strict=True):
        family = observable_named(held_out.observable)
        forward = family.score(part.transitions, part.theta)
        score[part.position] = forward - held_out.log_normaliser
    # of an exchanged transition the later bin in time counts
    later = np.maximum(transitions.earlier, transitions.later)
    return {
        "score": score,
        "score_time": population.time[later],
        "score_segment": population.segment[later],
        "event_time": population.event_time,
        "event_name": population.event_name,
    }


def _order_values(
    transitions: Transitions, options: Mapping[str, Any], seed: np.random.SeedSequence, reason: str
) -> dict[str, Any]:
    """Return the decomposition by order, or why there is none."""
    highest, n_unit = options["max_order"], transitions.n_unit
    if not highest <= n_unit or (highest > 2 and n_unit > MAX_UNIT):
        missing = f"no orders: up to order {highest} needs {highest} units or more, order 3 at most {MAX_UNIT}"
        return {"reason": "; ".join(part for part in (reason, f"{missing}; there are {n_unit}") if part)}
    decomposition = OrderDecomposition(max_order=highest, split=options["split"], n_draw=options["n_draw"])
    return _order_columns(decomposition.fit(transitions, seed=seed))


def _order_columns(result: OrderDecompositionResult) -> dict[str, Any]:
    from neq.figures.orders import orders_dataset  # brings matplotlib along, which other cells do not need

    return {str(name): column.values for name, column in orders_dataset(result).data_vars.items()}
