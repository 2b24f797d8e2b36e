"""The text of a profile: YAML read, and what is wrong with its content said in words."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from .errors import ClusterError

EXAMPLES = {"memory": ", such as 4GiB", "cores": ", such as 1"}


class _Loader(yaml.SafeLoader):
    """Reads scalars as text, which the fields then turn into numbers: YAML takes 1:00:00 for 3600 and no for false."""

    yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012 - the base class declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is written twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file, numbers still as text.

    Raises
    ------
    ClusterError
        The file cannot be read, or holds something else.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"The profile {path} cannot be read ({error}): give a YAML file in UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        what = getattr(error, "problem", None) or "no text of YAML"
        raise ClusterError(f"The profile {path} is not YAML{where} ({what}): mend it.") from error
    if not isinstance(content, dict):
        raise ClusterError(f"The profile {path} must hold keys and values: begin with `scheduler: slurm`.")
    return content


def problems(error: ValidationError, model: type[BaseModel]) -> str:
    """Return all that pydantic found, as one clause each: key, what was expected, what was found."""
    return "; ".join(_problem(item, model) for item in error.errors(include_url=False))


def _problem(item: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        return f"{where} is required{EXAMPLES.get(where, '')}"
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where, model.model_fields, n=1)
        return f"{where} is no key of a profile" + (f" (perhaps {near[0]})" if near else "")
    message = (
        item["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be ", "expected ")
        .replace("a valid tuple", "a list")
    )
    return f"{where}: {message}, found {item['input']!r}" if where else message
