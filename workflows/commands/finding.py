"""One thing that `neq doctor` has to say."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from workflows.progress import say

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """What was found, and the command that mends it.

    Parameters
    ----------
    kind
        ``ok``; ``note``: worth knowing; ``problem``: results are missing or in danger.
    text
        One sentence.
    remedy
        A command to give as it is, or "".
    """

    kind: str
    text: str
    remedy: str = ""


def shell(text: str | Path) -> str:
    """Return text as one word of a shell command, in double quotes where that reads better.

    Examples
    --------
    >>> print(shell("results/demo"), shell("status == 'failed'"))
    results/demo "status == 'failed'"
    """
    plain = shlex.quote(str(text))
    return plain if "'" not in str(text) or set(str(text)) & set('"$`\\!') else f'"{text}"'


def tell(findings: list[Finding], console: Console) -> None:
    """Print findings, each with the command that mends it, and how many problems there are."""
    for finding in findings:
        say(console, f"{finding.kind:<8} {finding.text}")
        if finding.remedy:
            say(console, f"{'':<8} -> {finding.remedy}")
    n = sum(finding.kind == PROBLEM for finding in findings)
    say(console, {0: "no problems", 1: "1 problem"}.get(n, f"{n} problems"))
