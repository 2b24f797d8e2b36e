"""The shapes of the options that readers share, checked by pydantic and reported in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import pydantic

from neq.errors import RecordingError

Model = TypeVar("Model", bound=pydantic.BaseModel)


class ListedEpoch(pydantic.BaseModel, extra="forbid", frozen=True):
    """One epoch written out in the options."""

    condition: str
    start: float
    stop: float
    trial: int = -1


def checked(model: type[Model], value: Any, where: str) -> Model:
    """Return ``value`` as ``model``.

    Raises
    ------
    RecordingError
        It does not fit; the message names each place and problem.

    Examples
    --------
    >>> checked(ListedEpoch, {"condition": "rest", "start": 0, "stop": 5}, "epochs").stop
    5.0
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join([where, *map(str, problem['loc'])])}: {problem['msg'].lower()}" for problem in error.errors()
        )
        raise RecordingError(f"The reader's options are wrong: {problems}; correct them.") from error


def checked_list(model: type[Model], values: Any, where: str) -> list[Model]:
    """Return each of ``values`` as ``model``, see :func:`checked`."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise RecordingError(f"The reader's option {where} must be a list, found {values!r}.")
    return [checked(model, value, f"{where}.{index}") for index, value in enumerate(values)]
