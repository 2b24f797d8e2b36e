"""What a profile asks for against what its partition gives: SLURM takes a job that it can never start."""

from __future__ import annotations

from . import slurm
from .errors import ClusterError
from .profile import Profile
from .slurm import Partition


def require(profile: Profile) -> None:
    """Refuse a profile whose jobs SLURM would refuse, or keep waiting for ever.

    Raises
    ------
    ClusterError
        This machine has no sbatch, or the partition does not exist, is closed or gives less than is asked for.
    """
    if profile.scheduler != "slurm":
        return
    if not slurm.available():
        raise ClusterError(
            "This machine has no sbatch: give the command on a login node of the cluster, or take --cluster local."
        )
    found = problems(profile, slurm.partition(profile.partition))
    if found:
        raise ClusterError("; ".join(found) + ".")


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
    if partition.most_memory_mib is not None and profile.job_memory_bytes > partition.most_memory_mib * 2**20:
        found.append(
            f"a job's memory, {profile.job_memory_bytes / 2**30:.1f} GiB, is over the limit of partition "
            f"{partition.name}, {partition.most_memory_mib / 2**10:.1f} GiB: ask for less, or take another partition"
        )
    return found


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
