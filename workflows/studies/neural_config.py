"""Config of the study of neural recordings, and what its keys must agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from neq.estimators.order_features import MAX_UNIT
from workflows.config import RunConfig, Section

from . import neural_sessions
from .base import Axis
from .neural_sections import Binning, Count, EstimatorConfig, FigureConfig, Recordings, SelectionConfig

NO_AXIS = ("max_order",)
"""Keys of a section of axes that cannot be one: the orders below the highest are stored beside it."""

AXES = {
    "lag": ("1", "bins between the two of a transition"),
    "cross_fit": ("1", "folds; 0 stands for a single split"),
    "bin_size": ("s", "width of a bin"),
}
"""Units and description of axes of numbers."""


class NeuralRecordingsConfig(RunConfig):
    """Entropy production of populations drawn from recordings."""

    recordings: Recordings
    binning: Binning = Binning()
    conditions: list[str] = Field(default_factory=lambda: ["all"], min_length=1)
    """Conditions to compare, as the reader names them; a source without any has the single one "all"."""
    selection: SelectionConfig = SelectionConfig()
    sizes: Annotated[list[Annotated[int, Field(ge=2)] | Literal["all"]], Field(min_length=1)]
    """Numbers of units to draw; "all": all eligible ones."""
    repetitions: Count = 10
    """Draws of units for each size."""
    estimator: EstimatorConfig = EstimatorConfig()
    axes: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Further axes: any key of estimator or binning, with its labels, such as surrogate: [none, time_reversal]."""
    store: list[Literal["theta", "contributions", "scores", "orders"]] = Field(default_factory=list)
    """More to keep of every cell: theta, the couplings; contributions of pairs of units; scores, of every held-out
    transition; orders, the share of each interaction order (fitted besides)."""
    figures: FigureConfig = FigureConfig()

    @field_validator("conditions", "sizes", "store")
    @classmethod
    def _unique(cls, labels: list[Any]) -> list[Any]:
        if len(set(labels)) < len(labels):
            raise ValueError(f"a label stands twice in {labels}; name each once")
        return labels

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
        checked = {}
        for name, labels in axes.items():
            section = axis_section(name)
            # the checked value, not what was written: "1", 1.0 and 1 are one lag
            checked[name] = [getattr(section.model_validate({name: label}), name) for label in labels]
            if len(set(checked[name])) < len(labels):
                raise ValueError(f"a label stands twice in {name}: {labels}; name each once")
        return checked

    @model_validator(mode="after")
    def _keys_agree(self, info: ValidationInfo) -> Self:
        found = [*self._coupling_problems(), *self._estimator_problems(), *self._store_problems()]
        if info.context:
            # elsewhere the config comes back from a store: its files may have moved by now, and are not needed
            options = neural_sessions.option_problems(self.recordings, self.conditions)
            found = [*neural_sessions.problems(self.recordings), *options, *found]
        if found:
            raise ValueError("\n".join(found))
        return self

    def _coupling_problems(self) -> Iterator[str]:
        known = ["session", "condition", *self.axes, "size", "repetition"]
        # the store has 0 for all
        sizes = [*self.sizes, *([0] if "all" in self.sizes else [])]
        labels = {"condition": self.conditions, "size": sizes, **self.axes}
        for name, label in self.figures.coupling.items():
            if name not in known:
                yield f"figures.coupling: {name} is no axis; these are: {', '.join(known)}"
            elif name in labels and label not in labels[name]:
                yield f"figures.coupling: {name} has no label {label}; it has {labels[name]}"

    def _estimator_problems(self) -> Iterator[str]:
        folded = any(self.labels("cross_fit"))
        if folded and "shuffled" in self.labels("split"):
            yield "estimator.cross_fit: folds are stretches of time, so they need split blocked; found split shuffled"
        others = [name for name in self.labels("method") if name != "maxent"]
        if folded and others:
            yield (
                f"estimator.cross_fit: only method maxent is cross-fitted; found method {', '.join(others)}: "
                "leave cross_fit out, or give maxent a config of its own"
            )

        if "mtur" in self.labels("method") and "flow" in self.labels("observable"):
            yield (
                "estimator.method: mtur holds for observables that change sign with the direction of time, which flow "
                "does not; leave one of them out"
            )

    def _store_problems(self) -> Iterator[str]:
        methods = self.labels("method")
        for name in ("contributions", "scores"):
            if name in self.store and set(methods) == {"mtur"}:
                yield f"store: {name} are parts of an objective J, which method mtur does not have; leave them out"
        if "orders" in self.store:
            yield from self._order_problems(methods)
        if self.figures.events and "scores" not in self.store:
            yield "figures.events: an average around events is one of scores; add scores to store"

    def _order_problems(self, methods: list[Any]) -> Iterator[str]:
        highest = self.estimator.max_order
        if "maxent" not in methods:
            yield f"store: orders are fitted by method maxent; found method {', '.join(methods)}"
        if "flow" in self.labels("observable"):
            yield "store: orders are of antisymmetric observables, which flow is none of; leave orders or flow out"
        few = [size for size in self.sizes if size != "all" and size < highest]
        many = [size for size in self.sizes if size != "all" and size > MAX_UNIT and highest > 2]
        if few:
            yield f"estimator.max_order: order {highest} needs {highest} units or more; found sizes {few}"
        if many:
            yield f"estimator.max_order: order 3 is for at most {MAX_UNIT} units; found sizes {many}, take max_order 2"

    def labels(self, name: str) -> list[Any]:
        """Return the labels of a key of ``estimator``: those of its axis, or its one value."""
        return self.axes.get(name) or [getattr(self.estimator, name)]

    def session_paths(self) -> list[tuple[str, str | None]]:
        """Return name and path of every session, in the order of the config."""
        return neural_sessions.chosen(self.recordings)


def axis_section(name: str) -> type[Section]:
    """Return the section that has the key ``name``, which may be an axis.

    Raises
    ------
    ValueError
        No section has it, or its values are no labels.
    """
    sections: tuple[type[Section], ...] = (EstimatorConfig, Binning)
    possible = {key: section for section in sections for key in section.model_fields if key not in NO_AXIS}
    if name in possible:
        return possible[name]
    known = ", ".join(possible)
    raise ValueError(f"{name} cannot be an axis; these can: {known}")


def axis_of(name: str, labels: Sequence[Any]) -> Axis:
    """Return a further axis of the grid; see :func:`axis_section`."""
    stage: Literal["ingest", "estimator"] = "ingest" if axis_section(name) is Binning else "estimator"
    units, long_name = AXES.get(name, ("", ""))
    return Axis(name, tuple(labels), stage, units, long_name)
