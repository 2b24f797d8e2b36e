"""What a profile asks for against what its partition gives: SLURM takes a job that it can never start."""

from __future__ import annotations

import math
import shutil

from . import partition, slurm
from .errors import ClusterError
from .partition import Partition
from .profile import Profile

SUBMITS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}
"""Command that takes a job script, by batch system."""


def require(profile: Profile) -> Partition | None:
    """Return the partition of a profile; refuse one whose jobs SLURM would refuse, or keep waiting for ever.

    Of several partitions, the one that gives most memory of those where jobs can start. None where the batch system
    is not SLURM.

    Raises
    ------
    ClusterError
        This machine has no sbatch (qsub, bsub), or the partition does not exist, is closed or gives too little.
    """
    command = SUBMITS[profile.scheduler]
    if not (slurm.available() if profile.scheduler == "slurm" else shutil.which(command)):
        raise ClusterError(
            f"This machine has no {command}: give the command on a login node of the cluster, or take --cluster local."
        )
    if profile.scheduler != "slurm":
        return None
    given, found = fitting(profile)
    if found:
        raise ClusterError("; ".join(found) + ".")
    return max(given, key=lambda one: most_memory(profile, one)[0])


def fitting(profile: Profile) -> tuple[list[Partition], list[str]]:
    """Return those of a profile's partitions in which its jobs can start; where there is none, what is wrong.

    SLURM takes no job with a partition in its list that does not exist, so one such is wrong at once.

    Raises
    ------
    AwayError
        SLURM does not answer.
    """
    given, found = [], []
    for name in profile.partitions:
        one = partition.find(name)
        wrong = problems(profile.model_copy(update={"partition": name}), one)
        if one is None:
            return [], wrong
        found += wrong
        given += [] if wrong else [one]
    return given, [] if given else found


def problems(profile: Profile, partition: Partition | None) -> list[str]:
    """Return what is wrong with a profile's jobs in a partition, a clause with its remedy each.

    Examples
    --------
    >>> profile = Profile(scheduler="slurm", cores=1, memory="4GiB", walltime="02:00:00", partition="short")
    >>> short = Partition("short", state="UP", most_seconds=600, most_memory_mib=None, n_node=4)
    >>> print(problems(profile, short)[0])
    walltime 02:00:00 is over the limit of partition short, 00:10:00: ask for less, or take another partition
    >>> problems(profile, None)
    ["there is no partition 'short': `sinfo -s` lists them"]
    """
    if partition is None:
        return [
            f"there is no partition {profile.partition!r}: `sinfo -s` lists them"
            if profile.partition
            else "SLURM has no default partition: name one in the profile, `sinfo -s` lists them"
        ]
    found = []
    if partition.state != "UP":
        found.append(f"partition {partition.name} is {partition.state}: `sinfo -s` lists others")
    if partition.most_seconds is not None and profile.walltime_seconds > partition.most_seconds:
        found.append(
            f"walltime {profile.walltime} is over the limit of partition {partition.name}, "
            f"{clock(partition.most_seconds)}: ask for less, or take another partition"
        )
    if partition.node_cores is not None and _says(profile, "--cpus-per-task=") and profile.cores > partition.node_cores:
        found.append(
            f"a job's {profile.cores} cores are more than the {partition.node_cores} of the largest node of partition "
            f"{partition.name}: ask for fewer, or take another partition"
        )
    most, whose = most_memory(profile, partition)
    if profile.job_memory_bytes > most:
        found.append(
            f"a job's memory, {profile.job_memory_bytes / 2**30:.1f} GiB, is over the limit of {whose}, "
            f"{most / 2**30:.1f} GiB: ask for less, or take another partition"
        )
    return found


def most_memory(profile: Profile, partition: Partition | None) -> tuple[float, str]:
    """Return the most memory (bytes) that a job of this profile can have, and what sets this limit.

    Infinite where the partition has no limit, or the profile does not tell SLURM of memory.

    Examples
    --------
    >>> profile = Profile(scheduler="slurm", cores=1, memory="4GiB")
    >>> short = Partition("short", "UP", most_seconds=600, most_memory_mib=None, n_node=4, node_memory_mib=64_000)
    >>> most_memory(profile, short)
    (67108864000, 'the nodes of partition short')
    """
    if partition is None or not _says(profile, "--mem="):
        return math.inf, ""
    sizes = (
        (partition.most_memory_mib, f"partition {partition.name}"),
        (partition.node_memory_mib, f"the nodes of partition {partition.name}"),
    )
    return min(((mib * 2**20, whose) for mib, whose in sizes if mib is not None), default=(math.inf, ""))


def _says(profile: Profile, directive: str) -> bool:
    """Whether a profile's jobs have a directive, which the site may refuse."""
    return not any(directive.startswith(skip) for skip in profile.skip_directives)


def clock(seconds: float) -> str:
    """Return a time as profiles write it.

    Examples
    --------
    >>> clock(600), clock(90061)
    ('00:10:00', '1-01:01:01')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hour:02}:{minute:02}:{second:02}"
