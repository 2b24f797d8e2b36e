"""YAML of configs: the YAML 1.2 scalars (no surprise booleans, dates or base-60 numbers), duplicate keys noticed."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
)


class _Loader(yaml.SafeLoader):
    """Safe loader that reads ``no`` and ``2024-05-01`` as text, ``1e-3`` as a number, and notes duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class declares it so

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != f"{_TAG}merge":
                self.duplicates.append((str(key.value), key.start_mark.line + 1))
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes what :class:`_Loader` would not read as text, and nothing else."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _class in (_Loader, _Dumper):
    for _name, _pattern, _first in _SCALARS:
        _characters = [character if character != "\0" else "" for character in _first]
        _class.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"^(?:{_pattern})$"), _characters)
    _class.add_implicit_resolver(f"{_TAG}merge", re.compile(r"^<<$"), ["<"])
_Loader.add_constructor(f"{_TAG}int", lambda loader, node: int(loader.construct_scalar(node)))


def parse(text: str) -> tuple[Any, list[tuple[str, int]]]:
    """Return the content of a YAML text, and its duplicate keys with their lines.

    Raises
    ------
    yaml.YAMLError
        The text is not YAML.

    Examples
    --------
    >>> parse("{ridge: 1e-3, area: no, day: 2024-05-01, sizes: [10, all]}")
    ({'ridge': 0.001, 'area': 'no', 'day': '2024-05-01', 'sizes': [10, 'all']}, [])
    >>> parse("seed: 1\\nseed: 2")[1]
    [('seed', 2)]
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.duplicates
    finally:
        loader.dispose()


def syntax_problem(error: yaml.YAMLError) -> str:
    """Return where and what is wrong with a YAML text, in one line.

    Examples
    --------
    >>> try:
    ...     parse("sizes: [1, 2")
    ... except yaml.YAMLError as error:
    ...     syntax_problem(error)
    "line 1, column 13: expected ',' or ']', but got '<stream end>'"
    """
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return what if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {what}"


def dump(data: dict[str, Any]) -> str:
    """Return ``data`` as YAML that :func:`parse` reads back: one key per line, short values within the line.

    Examples
    --------
    >>> print(dump({"area": "no", "session": "1e3", "ridge": 1e-7, "path": None, "sizes": [10, "all"]}), end="")
    area: no
    session: '1e3'
    ridge: 1.0e-07
    path: null
    sizes: [10, all]
    """
    return "".join(_dump_one(key, value) for key, value in data.items())


def _dump_one(key: str, value: Any) -> str:
    # with flow style None a mapping of plain scalars would itself be written within braces
    flow = None if isinstance(value, dict | list | tuple) and value else False
    return yaml.dump(
        {key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=110
    )
