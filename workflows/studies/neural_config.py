"""Config of the study of neural recordings."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from neq.estimators.splits import SPLITS
from neq.spikes.selection import ORDERS, parse_comparison
from neq.spikes.surrogates import SURROGATES
from workflows.config import DataPath, RunConfig, Section

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Recordings(Section):
    """Where the sessions are."""

    kind: Literal["arrays", "nwb", "phy", "allen", "synthetic"] | None = None
    """Format of the source; null: found by content."""
    path: DataPath | list[DataPath] | dict[str, DataPath] | None = None
    """A file, a pattern, a list of them, or session: file. Looked for in $NEQ_DATA, then beside the config."""
    sessions: list[str] | None = None
    """Names of synthetic sessions, or which of the found sessions to take; null: all."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the reader."""

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if self.kind == "synthetic":
            if not self.sessions or self.path is not None:
                raise ValueError("a synthetic recording needs sessions (a list of names) and no path")
        elif self.path is None:
            raise ValueError("expected a path: a file, a pattern, a list of them, or a mapping session: file")
        if self.sessions is not None and len(set(self.sessions)) < len(self.sessions):
            raise ValueError("a session is named twice; name each once")
        return self


class Binning(Section):
    """How spike times become boolean bins."""

    bin_size: Positive = 0.01
    """Width of a bin (s)."""


class SelectionConfig(Section):
    """Which units may be drawn."""

    area: str = "*"
    """Shell pattern for the name of the area, such as "V*"."""
    minimum_activity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of bins with a spike, averaged over the conditions of the session."""
    quality: dict[str, str] = Field(default_factory=dict)
    """Column of the unit table: condition, such as snr: "> 1"."""
    order: Literal[ORDERS] = "random"  # type: ignore[valid-type]
    """random, most_active, least_active, or rate_matched (random among units as active in every condition)."""
    rate_tolerance: Annotated[float, Field(gt=1)] = 1.25
    """Factor within which rate_matched asks the activity of a unit to agree between conditions."""

    @field_validator("quality")
    @classmethod
    def _comparisons(cls, quality: dict[str, str]) -> dict[str, str]:
        for condition in quality.values():
            parse_comparison(condition)
        return quality


class EstimatorConfig(Section):
    """What is estimated from the transitions of a draw."""

    observable: Literal["antisymmetric", "flow"] = "antisymmetric"
    """Observable of a transition."""
    split: Literal[SPLITS] = "blocked"  # type: ignore[valid-type]
    """blocked: parts are stretches of time. shuffled: single transitions at random, the published rule."""
    lag: Count = 1
    """Bins between the earlier and the later one."""
    surrogate: Literal[SURROGATES] = "none"  # type: ignore[valid-type]
    """none, or a null whose entropy production is zero: time_reversal, block_reversal."""
    n_draw: Annotated[int, Field(ge=0)] = 999
    """Bootstrap resamples and random reversals behind the interval and the p-value."""


class FigureConfig(Section):
    """What is drawn; changes no number."""

    value: Literal["entropy_production", "entropy_production_rate", "entropy_production_per_spike"] = (
        "entropy_production_per_spike"
    )
    """Quantity of the scaling figure."""
    coupling: dict[str, str | int | float] = Field(default_factory=dict)
    """Labels of the cell whose couplings are drawn; what is left out: the first label, the largest size."""


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
    store: list[Literal["theta"]] = Field(default_factory=list)
    """Big outputs to keep: theta, the couplings."""
    figures: FigureConfig = FigureConfig()

    @field_validator("conditions", "sizes")
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
    def _sessions_are_distinct_and_found(self, info: ValidationInfo) -> Self:
        if not info.context:
            # a config that comes back from a store: its files may be elsewhere by now, and are not needed
            return self
        found = [name for name, _ in self._found()]
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            raise ValueError(
                f"recordings.path: two sources would be session {', '.join(twice)}; "
                "give names, as in path: {a: FILE, b: FILE}"
            )
        absent = [name for name in self.recordings.sessions or [] if name not in found]
        if found and absent:
            raise ValueError(
                f"recordings.sessions: no source is session {', '.join(absent)}; there are {', '.join(found)}"
            )
        return self

    @model_validator(mode="after")
    def _coupling_is_on_the_axes(self) -> Self:
        known = ["session", "condition", *self.axes, "size", "repetition"]
        labels = {"condition": self.conditions, "size": [*self.sizes, 0], **self.axes}
        for name, label in self.figures.coupling.items():
            if name not in known:
                raise ValueError(f"figures.coupling: {name} is no axis; these are: {', '.join(known)}")
            if name in labels and label not in labels[name]:
                raise ValueError(f"figures.coupling: {name} has no label {label}; it has {labels[name]}")
        return self

    def session_paths(self) -> list[tuple[str, str | None]]:
        """Return name and path of every session, in the order of the config."""
        wanted = self.recordings.sessions
        return [pair for pair in self._found() if wanted is None or pair[0] in wanted]

    def _found(self) -> list[tuple[str, str | None]]:
        """Return name and path of every source that the path names."""
        path = self.recordings.path
        if path is None:
            return [(name, None) for name in self.recordings.sessions or []]
        if isinstance(path, dict):
            return list(path.items())
        patterns = [path] if isinstance(path, str) else path
        return [(Path(one).stem, one) for pattern in patterns for one in expand(pattern)]


def axis_section(name: str) -> type[Section]:
    """Return the section that has the key ``name``, which may be an axis.

    Raises
    ------
    ValueError
        No section has it, or its values are no labels.
    """
    sections: tuple[type[Section], ...] = (EstimatorConfig, Binning)
    for section in sections:
        if name in section.model_fields:
            return section
    known = ", ".join(key for section in sections for key in section.model_fields)
    raise ValueError(f"{name} cannot be an axis; these can: {known}")


def expand(pattern: str) -> list[str]:
    """Return the sorted paths that match a pattern; a path without wildcards is returned as it is."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
