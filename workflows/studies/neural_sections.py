"""Sections of the config of neural recordings: where they are, how they are binned, what is estimated and drawn."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from neq.estimators.splits import SPLITS
from neq.spikes.selection import ACTIVITY_IN, ORDERS, parse_comparison
from neq.spikes.surrogates import SURROGATES
from workflows.config import DataPath, Section

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _as_text(ids: Any) -> Any:
    """Return ids of sessions or animals as text; YAML reads those of the Allen release as numbers."""
    if isinstance(ids, list):
        return [_as_text(one) for one in ids]
    if isinstance(ids, dict):
        return {_as_text(session): _as_text(animal) for session, animal in ids.items()}
    return str(ids) if isinstance(ids, int) and not isinstance(ids, bool) else ids


class Recordings(Section):
    """Where the sessions are."""

    kind: Literal["arrays", "nwb", "phy", "allen", "synthetic"] | None = None
    """Format of the source; null: found by content."""
    path: Annotated[DataPath | list[DataPath] | dict[str, DataPath] | None, BeforeValidator(_as_text)] = None
    """A file, a pattern, a list of them, session: file, or the folder of an Allen cache. Looked for in $NEQ_DATA, then
    beside the config."""
    sessions: Annotated[list[str] | str | None, BeforeValidator(_as_text)] = None
    """Names of synthetic sessions, or which of the found sessions to take; of an Allen cache also rows of its table of
    sessions, such as "0:103". null: all."""
    subjects: Annotated[dict[str, str], BeforeValidator(_as_text)] = Field(default_factory=dict)
    """Session: animal, where the files do not say or say something else. Where every session has an animal, errors and
    tests are over animals."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the reader."""

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if self.kind == "synthetic":
            if not self.sessions or not isinstance(self.sessions, list) or self.path is not None:
                raise ValueError("a synthetic recording needs sessions (a list of names) and no path")
        elif self.path is None:
            raise ValueError("expected a path: a file, a pattern, a list of them, or a mapping session: file")
        if isinstance(self.sessions, list) and len(set(self.sessions)) < len(self.sessions):
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
    """Least share of bins with a spike."""
    activity_in: Literal[ACTIVITY_IN] = "session"  # type: ignore[valid-type]
    """Where activity is measured, for minimum_activity and order: session, the mean over all its conditions, so that
    conditions share their draws; condition, the one that is analysed, by itself."""
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

    @model_validator(mode="after")
    def _rates_of_all_conditions(self) -> Self:
        if self.order == "rate_matched" and self.activity_in == "condition":
            raise ValueError("order rate_matched compares conditions, so it needs activity_in session")
        return self


class EstimatorConfig(Section):
    """What is estimated from the transitions of a draw."""

    method: Literal["maxent", "mtur", "newton_step"] = "maxent"
    """maxent: the objective at its held-out best. newton_step: one step towards it. mtur: uncertainty relation."""
    observable: Literal["antisymmetric", "flow"] = "antisymmetric"
    """Observable of a transition."""
    split: Literal[SPLITS] = "blocked"  # type: ignore[valid-type]
    """blocked: parts are stretches of time. shuffled: single transitions at random, the published rule."""
    cross_fit: Annotated[int, Field(ge=0)] = 0
    """Contiguous folds, each scored under a fit to the others; 0 or null: a single split. Of maxent alone."""
    lag: Count = 1
    """Bins between the earlier and the later one."""
    surrogate: Literal[SURROGATES] = "none"  # type: ignore[valid-type]
    """none, or a null whose entropy production is zero: time_reversal, block_reversal."""
    n_draw: Annotated[int, Field(ge=0)] = 999
    """Bootstrap resamples and random reversals behind the interval and the p-value."""
    max_order: Literal[2, 3] = 2
    """Highest interaction order where orders are stored; 3 for at most 40 units. No axis: lower orders come along."""

    @field_validator("cross_fit", mode="before")
    @classmethod
    def _null_is_a_single_split(cls, cross_fit: Any) -> Any:
        # the label of an axis must be a number, so that a single split has one too
        return 0 if cross_fit is None else cross_fit

    @field_validator("cross_fit")
    @classmethod
    def _one_fold_holds_nothing_out(cls, cross_fit: int) -> int:
        if cross_fit == 1:
            raise ValueError("expected 2 folds or more, or 0 for a single split")
        return cross_fit


class FigureConfig(Section):
    """What is drawn; changes no number."""

    value: Literal["entropy_production", "entropy_production_rate", "entropy_production_per_spike"] = (
        "entropy_production_per_spike"
    )
    """Quantity of the scaling figure."""
    coupling: dict[str, str | int | float] = Field(default_factory=dict)
    """Labels of the cell whose couplings, contributions, orders and events are drawn; what is left out: the first
    label, the largest size, and for orders all conditions."""
    events: list[str] | None = None
    """Events to average stored scores around: trial (starts of trials), or a condition (starts of its epochs); null:
    all that the cell has."""
    window: tuple[NotNegative, NotNegative] = (0.5, 1.0)
    """Time before and after an event (s)."""
