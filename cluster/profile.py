"""Profiles: what a batch system must be told to run workers, as YAML, checked."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Literal

from dask.utils import parse_bytes
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from . import profile_text
from .errors import ClusterError

FOLDER = Path(__file__).parent / "profiles"
LEAST_MEMORY = 64 * 2**20
"""Bytes; less cannot even hold Python with numpy, so it is a number without its unit."""
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d{1,4}):([0-5]\d):([0-5]\d)")


def _checked_walltime(walltime: str) -> str:
    if seconds_of(walltime) < 1:
        raise ValueError("expected a time above zero")
    return walltime


def _checked_memory(memory: str) -> str:
    try:
        size = parse_bytes(memory)
    except (ValueError, OverflowError):
        size = 0
    if size < LEAST_MEMORY:
        raise ValueError("expected a size with its unit, such as 4GiB, and at least 64MiB")
    return memory


def _checked_line(line: str) -> str:
    if "\n" in line:
        raise ValueError("expected a single line; give a list with one item for each line")
    return line


Walltime = Annotated[str, AfterValidator(_checked_walltime)]
Memory = Annotated[str, AfterValidator(_checked_memory)]
Line = Annotated[str, Field(min_length=1), AfterValidator(_checked_line)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a profile: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Driver(Section):
    """The job in which the driver itself runs, where it is submitted as well."""

    partition: Line | None = None
    """Partition or queue; null: that of the workers."""
    walltime: Walltime | None = None
    """Longest time of the job, which is submitted again until the sweep is done; null: that of the workers."""
    memory: Memory = "4GiB"
    """Memory of the job."""


class Profile(Section):
    """A batch system and the jobs it is asked for.

    Examples
    --------
    >>> profile = Profile(scheduler="slurm", cores=1, memory="4GiB", walltime="1-00:00:00")
    >>> profile.walltime_seconds, profile.job_memory_bytes / 2**30
    (86400, 5.0)
    """

    scheduler: Literal["slurm", "pbs", "lsf", "sge"]
    """The batch system."""
    partition: Line | None = None
    """Partition or queue, or several of SLURM, as in "short,long"; null: the batch system's default."""
    account: Line | None = None
    """Account or project that is charged; null: the user's default."""
    walltime: Walltime = "01:00:00"
    """Longest time of a job, HH:MM:SS or D-HH:MM:SS."""
    cores: Count
    """Cores of a job; a worker process uses one."""
    memory: Memory
    """Memory of one worker process, such as 4GiB."""
    processes: Count = 1
    """Worker processes of a job."""
    workers: Count = 4
    """Worker processes wanted in all."""
    prologue: tuple[Line, ...] = ()
    """Shell lines that a job runs before its worker, such as "module load python"."""
    python: Line | None = None
    """Python of the workers; null: the one that runs neq here."""
    local_directory: Line | None = None
    """Folder on the node's own disk for temporary files; null: $TMPDIR of the job, else /tmp."""
    interface: Line | None = None
    """Network interface between workers and scheduler, such as ib0; null: the one of the default route."""
    scheduler_host: Line | None = None
    """Name or address of this machine as the nodes see it; null: that of the interface."""
    log_directory: Line | None = None
    """Folder of the jobs' logs; null: within the run folder."""
    directives: tuple[Line, ...] = ()
    """More options of the batch system, one a line, such as "--constraint=skylake"."""
    skip_directives: tuple[Line, ...] = ()
    """Options that this site refuses, by how they begin, such as "--mem"."""
    memory_margin: Annotated[float, Field(ge=1)] = 1.25
    """Memory of a job over that of its workers: a worker must meet its own limit before the batch system's."""
    submit_pause: Annotated[float, Field(ge=0)] = 0.3
    """Seconds between two submissions."""
    most_jobs: Count = 500
    """Jobs that may wait or run at once."""
    start_patience: Annotated[float, Field(gt=0)] = 180.0
    """Seconds after which a running job without a worker has failed: more than its prologue takes."""
    watch_interval: Annotated[float, Field(gt=0)] = 20.0
    """Seconds between two looks at the batch system."""
    driver: Driver = Driver()
    """The job of the driver itself, for `neq submit`."""

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _one_core_a_process(self) -> Profile:
        if self.cores < self.processes:
            raise ValueError(
                f"expected a core for each of the {self.processes} processes of a job, found {self.cores}; "
                f"set cores to {self.processes} or more"
            )
        return self

    @property
    def name(self) -> str:
        """Name or path by which it was loaded."""
        return self._name

    @property
    def partitions(self) -> tuple[str | None, ...]:
        """Each of the partitions in which a job may start; None for the default one."""
        return tuple(self.partition.split(",")) if self.partition else (None,)

    def logs(self, folder: Path | str) -> Path:
        """Return the folder of the jobs' logs, which is ``folder`` unless the profile names another."""
        return Path(self.log_directory or folder).expanduser().absolute()

    @property
    def memory_bytes(self) -> int:
        """Memory of one worker process."""
        return parse_bytes(self.memory)

    @property
    def job_memory_bytes(self) -> int:
        """Memory of a job: that of its workers and the margin."""
        return int(self.memory_bytes * self.processes * self.memory_margin)

    @property
    def walltime_seconds(self) -> int:
        """Longest time of a job."""
        return seconds_of(self.walltime)

    def changed(self, **keys: object) -> Profile:
        """Return the profile with other values, which are checked as those of a file are.

        Raises
        ------
        ClusterError
            They are not right; all problems at once.

        Examples
        --------
        >>> Profile(scheduler="slurm", cores=1, memory="4GiB").changed(memory="8GiB").memory
        '8GiB'
        """
        try:
            made = Profile.model_validate(self.model_dump() | keys)
        except ValidationError as error:
            raise ClusterError(f"A changed profile is not right: {profile_text.problems(error, Profile)}.") from None
        made._name = self._name
        return made

    def lifetime_seconds(self, margin: float | None = None) -> float:
        """Return how long after its start a worker takes no more work, at least half the walltime.

        Parameters
        ----------
        margin
            Seconds that a worker needs to end what it does; None: 5 minutes or a tenth of the walltime.

        Examples
        --------
        >>> profile = Profile(scheduler="slurm", cores=1, memory="4GiB", walltime="02:00:00")
        >>> profile.lifetime_seconds(), profile.lifetime_seconds(1000), profile.lifetime_seconds(1e6)
        (6900.0, 6200.0, 3600.0)
        """
        wanted = min(300.0, 0.1 * self.walltime_seconds) if margin is None else margin
        return float(max(self.walltime_seconds - wanted, self.walltime_seconds / 2))


def seconds_of(walltime: str) -> int:
    """Return the seconds of a walltime.

    Raises
    ------
    ValueError
        It is neither HH:MM:SS nor D-HH:MM:SS.

    Examples
    --------
    >>> seconds_of("01:30:00"), seconds_of("2-00:00:01")
    (5400, 172801)
    """
    match = _WALLTIME.fullmatch(walltime.strip())
    if match is None:
        raise ValueError("expected HH:MM:SS or D-HH:MM:SS, such as 04:00:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def names() -> list[str]:
    """Return the names of the profiles that come with neq.

    Examples
    --------
    >>> "slurm" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(name: str | Path) -> Path:
    """Return the file of a profile: by its name, or by its path, which ends in .yaml or .yml.

    Raises
    ------
    ClusterError
        There is none.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        if not Path(name).expanduser().is_file():
            raise ClusterError(f"The profile {name} is not there: give the path of a YAML file, or a name of {_all()}.")
        return Path(name).expanduser()
    if str(name) not in names():
        near = difflib.get_close_matches(str(name), names(), n=1)
        hint = f"did you mean {near[0]!r}? If not, " if near else ""
        raise ClusterError(
            f"There is no profile {str(name)!r}: {hint}give one of {_all()}, or the path of your own FILE.yaml."
        )
    return FOLDER / f"{name}.yaml"


def load(name: str | Path) -> Profile:
    """Return a checked profile.

    Parameters
    ----------
    name
        Name of a profile that comes with neq, or path of a YAML file.

    Raises
    ------
    ClusterError
        There is no such profile, or it is not right; all problems at once.

    Examples
    --------
    >>> load("slurm").scheduler
    'slurm'
    """
    path = find(name)
    try:
        profile = Profile.model_validate(profile_text.read(path))
    except ValidationError as error:
        raise ClusterError(f"The profile {path} is not right: {profile_text.problems(error, Profile)}.") from None
    profile._name = str(name)
    return profile


def _all() -> str:
    return ", ".join(names())
