"""The sections of a config that every study has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

import cluster
from workflows import cluster_profile


class Section(BaseModel):
    """A part of a config: frozen, no unknown keys; the text under a field becomes its comment in `neq config show`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class StopConfig(Section):
    """When the repetitions of a session, condition and size end; whichever precision is reached first."""

    relative_sem: Annotated[float, Field(gt=0)] | None = None
    """Standard error of the mean over repetitions, as a share of the mean; null: no such end."""
    absolute_sem: Annotated[float, Field(gt=0)] | None = None
    """The same in the units of the study's first variable; null: no such end."""
    at_least: Annotated[int, Field(ge=2)] = 5
    """Repetitions with a value before a standard error is believed."""

    @model_validator(mode="after")
    def _some_precision(self) -> Self:
        if self.relative_sem is None and self.absolute_sem is None:
            raise ValueError("expected relative_sem, absolute_sem or both, such as {relative_sem: 0.05}")
        return self


class SweepConfig(Section):
    """How the grid is cut, how often a lost cell is tried, when repetitions end."""

    block: dict[str, Annotated[int, Field(ge=1)]] | None = None
    """Cells of a block along each axis; null: chosen from the grid."""
    deaths: Annotated[int, Field(ge=1)] = 3
    """Workers that may die in a cell before the cell is marked failed."""
    stop: StopConfig | None = None
    """When repetitions end before their number; null: all are computed."""
    flush: Annotated[float, Field(ge=0)] | None = None
    """Seconds that finished cells wait for their writing at most; null: 2. A longer time spares the file server."""


class ClusterConfig(Section):
    """Where the tasks run."""

    profile: str = "local"
    """"local", the name of a profile in cluster/profiles, or the path of your own FILE.yaml."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Worker processes; null: one per core, or the profile's."""
    memory: str | None = None
    """Memory of one worker, such as "4GiB"; null: the machine's share, or the profile's."""

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, profile: str, info: ValidationInfo) -> str:
        # a file is read when a run begins: a finished run is looked at where its cluster's profile is not
        if profile not in profiles() and not cluster_profile.is_path(profile):
            raise ValueError(f"expected {', '.join(map(repr, profiles()))} or the path of a FILE.yaml")
        return cluster_profile.located(profile, (info.context or {}).get("folder"))

    @field_validator("memory")
    @classmethod
    def _size(cls, memory: str | None) -> str | None:
        if memory is not None:
            from dask.utils import parse_bytes

            try:
                usable = parse_bytes(memory) > 0
            except (ValueError, OverflowError):
                usable = False
            if not usable:
                raise ValueError("expected a size such as 4GiB")
        return memory


def profiles() -> list[str]:
    """Return the names that ``cluster.profile`` may have.

    Examples
    --------
    >>> profiles()[0]
    'local'
    """
    return [
        cluster_profile.LOCAL,
        *sorted(path.stem for path in (Path(cluster.__file__).parent / "profiles").glob("*.yaml")),
    ]
