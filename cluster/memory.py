"""How much memory jobs ask for: more, step by step, for cells that ran out of it, as far as their partition has it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import limits
from .partition import Partition
from .profile import Profile

FACTOR = 2.0
MOST_RAISES = 2
"""So often memory is raised, by the factor each time, for cells that ran out of it."""
LEAST_FACTOR = 1.1
"""The last step may be a smaller one, up to the limit, but not smaller than this."""
NOTE = "memory.json"
"""File in the log folder: what the next driver of a run has to know."""


class Memory:
    """Memory of a worker, by the number of times that it was raised; what was raised stays so for later drivers.

    Parameters
    ----------
    profile
        What jobs ask for at first.
    partition
        What a job can have; None: not known.
    folder
        Where the note for the next driver lies.
    tell
        Called with a line for each change.
    """

    def __init__(
        self,
        profile: Profile,
        partition: Partition | None,
        folder: Path,
        tell: Callable[[str], Any] = lambda text: None,
    ) -> None:
        most, whose = limits.most_memory(profile, partition)
        self.steps = steps(profile, most)
        self._limited_by = whose if self.steps[-1] < profile.memory_bytes * FACTOR**MOST_RAISES else ""
        self.level = 0
        self.short = False
        """Whether a cell ran out of memory since it was last raised."""
        self._note, self._tell = folder / NOTE, tell
        self._resume()

    @property
    def bytes(self) -> int:
        """What the next jobs have for each worker."""
        return self.steps[self.level]

    def raise_(self) -> bool:
        """Raise it by one step; False where there is none left."""
        there = self.level + 1 < len(self.steps)
        self.level, self.short = self.level + there, False
        self._write()
        times = f"raised to {self.bytes / self.steps[0]:.3g} times that of the profile," if there else "stays at"
        self._tell(f"memory {times} {self.text()}")
        return there

    def run_short(self, level: int) -> None:
        """Note that a worker of a job ran out of memory, which was submitted when it had been raised so often."""
        if level >= self.level and not self.short:
            self.short = True
            self._write()

    def refused(self, level: int) -> None:
        """Note that the batch system has no such job: it goes back by a step and is never raised again."""
        self.steps = self.steps[:level]
        self.level = min(self.level, level - 1)
        self._limited_by = "the batch system"
        self._write()

    def text(self, level: int | None = None) -> str:
        """Return the memory of a worker in words, with what forbids more where it is the most there can be."""
        at = self.level if level is None else min(level, len(self.steps) - 1)
        limited = self._limited_by and at == len(self.steps) - 1
        return size(self.steps[at]) + (f", the most that {self._limited_by} can give" if limited else "")

    def facts(self) -> dict[str, int]:
        """Return what is kept of it with a run, in MiB of each worker."""
        return {"profile_mib": self.steps[0] >> 20, "raised_to_mib": self.bytes >> 20}

    def _resume(self) -> None:
        """Begin where an earlier driver with the same profile ended."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._note.read_text(encoding="utf-8"))
            if found["profile"] != self.steps[0]:
                return
            reached = [level for level, step in enumerate(self.steps) if step <= found["raised_to"]]
            self.level, self.short = reached[-1], bool(found["short"])
            if self.level:
                self._tell(f"memory as an earlier driver raised it: {self.text()}")

    def _write(self) -> None:
        note = {"profile": self.steps[0], "raised_to": self.bytes, "short": self.short}
        part = self._note.with_suffix(".part")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(note) + "\n", encoding="utf-8")
            part.replace(self._note)


def steps(profile: Profile, most: float) -> tuple[int, ...]:
    """Return the memory (bytes) of a worker by the number of times it was raised.

    Parameters
    ----------
    most
        The most that a job can have (bytes).

    Examples
    --------
    >>> profile = Profile(scheduler="slurm", cores=1, memory="1GiB", memory_margin=1.0)
    >>> [size(step) for step in steps(profile, 3.5 * 2**30)]
    ['1.0 GiB', '2.0 GiB', '3.5 GiB']
    """
    limit = most / (profile.processes * profile.memory_margin)
    found = [profile.memory_bytes]
    for raised in range(1, MOST_RAISES + 1):
        step = int(min(profile.memory_bytes * FACTOR**raised, limit))
        if step < LEAST_FACTOR * found[-1]:
            break
        found.append(step)
    return tuple(found)


def size(n_bytes: float) -> str:
    """Return a size in words.

    Examples
    --------
    >>> size(600 * 2**20), size(2**31)
    ('600 MiB', '2.0 GiB')
    """
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
