"""The options that readers share, checked by pydantic and reported in one sentence."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pydantic

from neq.errors import RecordingError
from neq.spikes.recording import checked_trains, epoch_table
from neq.spikes.trains import SpikeTrains

Model = TypeVar("Model", bound=pydantic.BaseModel)


class ListedEpoch(pydantic.BaseModel, extra="forbid", frozen=True):
    """One epoch written out in the options."""

    condition: str
    start: float
    stop: float
    trial: int = -1


class ReaderOptions(pydantic.BaseModel, extra="forbid", frozen=True):
    """Options of every reader of files; each adds its own."""

    condition: str = "all"
    """Name of the condition where there is one only, that lasts from 0 to the end."""
    epochs: list[ListedEpoch] | None = None
    """Epochs instead of the single condition: condition, start, stop (s) and, optionally, trial."""
    duration: float | None = pydantic.Field(None, gt=0)
    """End of the recording (s); by default its last spike."""

    def plain(self) -> dict[str, Any]:
        """Return the options that are not at their default, as plain JSON."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def epoch_table(self, session: str, units: pd.DataFrame, trains: SpikeTrains) -> pd.DataFrame:
        """Return the epochs listed, or the single one.

        Raises
        ------
        RecordingError
            The single epoch ends with the last spike, and that is at no time that a recording can end.
        """
        if self.epochs is not None:
            return epoch_table([epoch.model_dump() for epoch in self.epochs])
        stop = trains.last() if self.duration is None else self.duration
        if len(trains) and not 0 < stop < np.inf:
            # The user wrote no epoch, so the spikes are named that make it impossible.
            for _ in checked_trains(session, units.index, trains):
                pass
            raise RecordingError(
                f"Session {session!r} has no spike after 0 s, so its end is not known; set the option duration."
            )
        return epoch_table(condition=self.condition, stop=stop)


def checked(model: type[Model], value: Any, reader: str) -> Model:
    """Return the options ``value`` of a reader as ``model``.

    Raises
    ------
    RecordingError
        They do not fit; the message names each place and problem.

    Examples
    --------
    >>> checked(ReaderOptions, {"epochs": [{"condition": "rest", "start": 0, "stop": 5}]}, "arrays").epochs[0].stop
    5.0
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        problems = "; ".join(_problem(model, problem) for problem in error.errors())
        raise RecordingError(f"The options of the reader {reader!r} are wrong: {problems}.") from error


def _problem(model: type[pydantic.BaseModel], problem: Any) -> str:
    place = ".".join(map(str, problem["loc"])) or "options"
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg'][:1].lower()}{problem['msg'][1:]}, found {problem['input']!r}"
    if len(problem["loc"]) > 1:
        return f"{place}: there is no such key"
    near = difflib.get_close_matches(place, model.model_fields, n=1)
    return f"{place}: there is no such option, " + (
        f"did you mean {near[0]}" if near else f"there are {', '.join(model.model_fields)}"
    )
