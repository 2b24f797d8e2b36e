"""What is wrong with a config, in words: path of the key, what was expected, what was found, the nearest valid key."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

WHOLE = ""
"""Path of a problem of the config as a whole, whose message names the keys itself."""


def nearest(word: object, valid: Iterable[str]) -> str:
    """Return the hint that names the valid word nearest to ``word``, or all of them where none is near.

    Examples
    --------
    >>> nearest("splitt", ["split", "observable"])
    "did you mean 'split'?"
    >>> nearest("colour", ["split", "observable"])
    'valid: observable, split'
    """
    names = sorted(valid)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names)}"


def unknown_study(name: object, valid: Sequence[str], error: Exception) -> str:
    """Return the problem of a study that cannot be found."""
    if isinstance(name, str) and (":" in name or name in valid):
        return f"study: {name!r} cannot be imported ({error})"
    return f"study: expected the name of a study, found {name!r}; {nearest(name, valid)}"


def describe(error: ValidationError, raw: Any, model: type[BaseModel]) -> list[str]:
    """Return one line per key with a problem, alternatives of one key joined; of the whole config one per problem.

    Parameters
    ----------
    error
        What pydantic found.
    raw
        The content that was checked.
    model
        The class it was checked against.
    """
    found: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for item in error.errors(include_url=False):
        path, value = _path(item, raw)
        name = ".".join(str(part) for part in path) or WHOLE
        found.setdefault(name, []).append(_sentence(item, path, model))
        values[name] = value
    lines = []
    for name, sentences in found.items():
        text = _joined(sentences, values[name])
        # a check of several keys together raises once, with a line for each of its problems
        lines += text.split("\n") if name == WHOLE else [f"{name}: {text}"]
    return lines


def _path(item: Any, raw: Any) -> tuple[list[str | int], Any]:
    """Return the keys that the user wrote (pydantic adds the names of alternatives), and the value there."""
    path: list[str | int] = []
    value = raw
    for part in item["loc"]:
        if _holds(value, part):
            value = value[part]
        elif item["type"] == "missing" and part == item["loc"][-1]:
            value = None
        else:
            continue
        path.append(part)
    return path, value


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _sentence(item: Any, path: list[str | int], model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        valid = _keys_at(model, path[:-1])
        return f"unknown key; {nearest(path[-1], valid)}" if valid else "unknown key"
    if item["type"] == "missing":
        return "this key is required"
    nested = item.get("ctx", {}).get("error")
    if isinstance(nested, ValidationError):
        return "; ".join(_sentence(inner, [*path, *inner["loc"]], model) for inner in nested.errors(include_url=False))
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.partition(", unable to parse")[0]
    for start in ("Input should be ", "Input should "):
        message = message.replace(start, "expected " if start.endswith("be ") else "expected to ")
    return message[:1].lower() + message[1:]


def _joined(sentences: list[str], value: Any) -> str:
    """Join the alternatives of one key: 'expected an integer or 'all', found 'al''."""
    unique = list(dict.fromkeys(sentences))
    expected = [sentence.removeprefix("expected ") for sentence in unique if sentence.startswith("expected ")]
    others = [sentence for sentence in unique if not sentence.startswith("expected ")]
    if expected:
        shown = repr(value)
        others.append(f"expected {' or '.join(expected)}, found {shown if len(shown) <= 80 else shown[:77] + '...'}")
    return "; ".join(others)


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> set[str]:
    """Return the valid keys of the section at ``path``."""
    models = {model}
    for part in path:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        # a list index or a free key (session names) stays within the same annotation
        if fields:
            models = set().union(*(_models_in(field.annotation) for field in fields))
    return {name for each in models for name in each.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Return all config sections inside an annotation such as ``dict[str, Section] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*(_models_in(part) for part in typing.get_args(annotation)), set())
