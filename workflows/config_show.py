"""The whole config as commented YAML: what `neq config show` prints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from workflows import yaml_text
from workflows.config import RunConfig

_WIDTH = 46
"""Column where the comments start."""


def commented(config: RunConfig) -> str:
    """Return the config as YAML that :func:`workflows.config.load` reads back, each key with its meaning and default.

    Examples
    --------
    >>> print(commented(RunConfig(seed=3)).splitlines()[1])
    seed: 3                                       # Root of all random streams. Default: 0
    """
    return "\n".join(_section(config, "")) + "\n"


def _section(section: BaseModel, indent: str) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        comment = " ".join((field.description or "").split())
        if isinstance(value, BaseModel):
            lines += [_line(f"{indent}{name}:", comment), *_section(value, indent + "  ")]
            continue
        plain = section.model_dump(mode="json", include={name})[name]
        if not field.is_required():
            default = field.get_default(call_default_factory=True, validated_data={})
            if value != default:
                comment = f"{comment} Default: {_short(default)}".strip()
        elif comment:
            comment = f"{comment} (required)"
        text = yaml_text.dump({name: plain}).rstrip("\n").splitlines()
        lines += [_line(indent + text[0], comment), *(indent + line for line in text[1:])]
    return lines


def _line(text: str, comment: str) -> str:
    return f"{text:<{_WIDTH - 1}} # {comment}" if comment else text


def _short(default: Any) -> str:
    """Return a default in one line of YAML."""
    plain = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
    plain = list(plain) if isinstance(plain, tuple) else plain
    text = " ".join(yaml_text.dump({"d": plain}).removeprefix("d:").split())
    return text if len(text) < 60 else "see the documentation"
