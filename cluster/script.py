"""The script of a job, and the scheduler whose workers the jobs run, both through dask-jobqueue."""

from __future__ import annotations

import math
import os
import shlex
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import dask
import dask_jobqueue
import yaml
from dask_jobqueue.lsf import LSFJob
from dask_jobqueue.pbs import PBSJob
from dask_jobqueue.sge import SGEJob
from dask_jobqueue.slurm import SLURMJob

from . import leaving
from .errors import ClusterError
from .network import can_listen, dashboard_port, scheduler_host
from .profile import Profile
from .settings import SETTINGS, worker_environment

JOB_NAME = "neq"
STAGGER = 0.1
"""Workers leave within this part of their lifetime, not all at once."""
LEAST_MARGIN = 20.0
"""Seconds that a worker has for leaving: to end a cell, to hand over what it has, to close."""
JOBS = {"slurm": SLURMJob, "pbs": PBSJob, "lsf": LSFJob, "sge": SGEJob}
CLUSTERS = {
    "slurm": dask_jobqueue.SLURMCluster,
    "pbs": dask_jobqueue.PBSCluster,
    "lsf": dask_jobqueue.LSFCluster,
    "sge": dask_jobqueue.SGECluster,
}
PREFIXES = {"slurm": "#SBATCH", "pbs": "#PBS", "lsf": "#BSUB", "sge": "#$"}
WORKER_NAMES = {
    "slurm": "neq-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}",
    "pbs": "neq-$PBS_JOBID-0",
    "lsf": "neq-$LSB_JOBID-0",
    "sge": "neq-$JOB_ID-${RESTARTED:-0}",
}
"""Name of a worker, which the shell of the job completes: its job, and how often that was started again before."""


def job_script(profile: Profile, scheduler_address: str, log_folder: Path | str, margin: float | None = None) -> str:
    """Return the script of one job; writes nothing.

    Parameters
    ----------
    profile
        The batch system and what a job asks of it.
    scheduler_address
        Where the worker goes, such as ``"tcp://10.0.0.1:8786"``.
    log_folder
        Where the batch system puts the output of the job, unless the profile says where.
    margin
        Seconds before the end of the walltime in which a worker takes no new work, where that is more than the
        profile's own.

    Examples
    --------
    >>> profile = Profile(scheduler="slurm", cores=1, memory="4GiB", partition="short")
    >>> for line in job_script(profile, "tcp://10.0.0.1:8786", "/scratch/logs").splitlines()[:9]:
    ...     print(line)
    #!/usr/bin/env bash
    <BLANKLINE>
    #SBATCH -J neq
    #SBATCH -p short
    #SBATCH -n 1
    #SBATCH --cpus-per-task=1
    #SBATCH --mem=5120M
    #SBATCH -t 01:00:00
    #SBATCH -o /scratch/logs/neq-%j.out
    """
    return _written(profile, scheduler_address, job_options(profile, log_folder, margin))


def preamble(profile: Profile, log_folder: Path | str) -> list[str]:
    """Return the lines of a job's script up to its worker, for a job that runs something else."""
    options = job_options(profile, log_folder)
    options["job_script_prologue"] = _prologue(profile)
    return _written(profile, "", options).rstrip("\n").split("\n")[:-1]


def make_log_folder(profile: Profile, log_folder: Path | str) -> Path:
    """Make the folder of the jobs' logs where it is missing: a job whose log cannot be opened fails at once.

    Raises
    ------
    ClusterError
        It cannot be made.
    """
    folder = profile.logs(log_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"The folder {folder} of the jobs' logs cannot be made ({error.strerror}): "
            "name another one as log_directory of the profile, on a disk that the nodes share."
        ) from error
    return folder


def make_cluster(profile: Profile, log_folder: Path | str) -> Any:
    """Start a scheduler here and return its dask-jobqueue cluster, without a job; close it in the end.

    Holds for the scheduler: the settings that are in force now, on top of ours.

    Raises
    ------
    ClusterError
        The interface of the profile does not exist, or its host is not this machine.
    """
    host = scheduler_host(profile.scheduler_host, profile.interface)
    if not can_listen(host) and "SLURM_JOB_ID" in os.environ:
        # a driver in a job of its own: what the profile calls this machine is the one that submitted it
        host = scheduler_host(None, profile.interface)
    if not can_listen(host):
        raise ClusterError(
            f"No scheduler can listen on {host}, which is no address of this machine: set the profile's interface or "
            "scheduler_host to one that the nodes can reach."
        )
    options = {"host": host, "dashboard_address": f"{host}:{dashboard_port(host)}"}
    with dask.config.set(SETTINGS), _own_defaults():
        return CLUSTERS[profile.scheduler](scheduler_options=options, **job_options(profile, log_folder))


def job_options(profile: Profile, log_folder: Path | str, margin: float | None = None) -> dict[str, Any]:
    """Return a profile as the arguments of dask-jobqueue's jobs and clusters."""
    prefix = PREFIXES[profile.scheduler]
    logs = [
        line
        for line in _log_directives(profile, log_folder)
        if not any(line.startswith(skip) for skip in profile.skip_directives)
    ]
    return {
        "job_name": JOB_NAME,
        "queue": profile.partition,
        # of the processes, one thread each; the cores of a job are asked for below
        "cores": profile.processes,
        "processes": profile.processes,
        "memory": f"{profile.memory_bytes * profile.processes}B",
        "python": profile.python or shlex.quote(sys.executable),
        "interface": profile.interface,
        "local_directory": profile.local_directory,
        # the time counts from the start of the job: first of all lines
        "job_script_prologue": [_leave(profile, margin), *_prologue(profile)],
        "job_directives_skip": [f"{prefix} {skip}" for skip in profile.skip_directives],
        "job_extra_directives": [*logs, *profile.directives],
        # on loopback all servers of a worker listen there, its dashboard too
        "worker_extra_args": ["--dashboard-address", "127.0.0.1:0"] if profile.interface == "lo" else [],
        **_requests(profile),
    }


def _requests(profile: Profile) -> dict[str, Any]:
    """Return what each batch system calls cores, memory, walltime and account."""
    mebibytes = math.ceil(profile.job_memory_bytes / 2**20)
    minutes, seconds = divmod(profile.walltime_seconds, 60)
    walltime = f"{minutes // 60:02}:{minutes % 60:02}"
    if profile.scheduler == "lsf":
        rounded_up = math.ceil(profile.walltime_seconds / 60)
        walltime = f"{rounded_up // 60:02}:{rounded_up % 60:02}"
        return {
            "project": profile.account,
            "walltime": walltime,
            "ncpus": profile.cores,
            "mem": profile.job_memory_bytes,
        }
    walltime = f"{walltime}:{seconds:02}"
    if profile.scheduler == "slurm":
        return {
            "account": profile.account,
            "walltime": walltime,
            "job_cpu": profile.cores,
            "job_mem": f"{mebibytes}M",
        }
    if profile.scheduler == "pbs":
        resources_asked = f"select=1:ncpus={profile.cores}:mem={mebibytes}mb"
        return {"account": profile.account, "walltime": walltime, "resource_spec": resources_asked}
    return {"project": profile.account, "walltime": walltime, "resource_spec": f"mem_free={mebibytes}M"}


def _log_directives(profile: Profile, log_folder: Path | str) -> list[str]:
    """Return where the output of a job goes; dask-jobqueue would make the folder just to show the script."""
    folder = str(profile.logs(log_folder))
    if profile.scheduler in ("pbs", "sge"):
        lines = [f"-{stream} {shlex.quote(f'{folder}/')}" for stream in "oe"]
        # Grid Engine runs a script in the queue's own shell, often csh, whatever its first line says
        return [*lines, "-S /bin/bash"] if profile.scheduler == "sge" else lines
    number, folder = {"slurm": ("%j", folder.replace("%", "%%")), "lsf": ("%J", folder)}[profile.scheduler]
    return [f"-{key} {shlex.quote(f'{folder}/{JOB_NAME}-{number}.{end}')}" for key, end in (("o", "out"), ("e", "err"))]


def _leave(profile: Profile, margin: float | None) -> str:
    """Return the line by which workers end by themselves before their walltime; Dask's lifetime would cut a block."""
    least = max(profile.walltime_seconds - profile.lifetime_seconds(), LEAST_MARGIN)
    lifetime = profile.lifetime_seconds(max(margin or 0.0, least))
    return leaving.export(lifetime, STAGGER * lifetime)


def _prologue(profile: Profile) -> list[str]:
    return [*profile.prologue, *(f"export {name}={shlex.quote(value)}" for name, value in worker_environment().items())]


def _written(profile: Profile, scheduler_address: str, options: dict[str, Any]) -> str:
    with _own_defaults():
        job = JOBS[profile.scheduler](scheduler_address, name=WORKER_NAMES[profile.scheduler], **options)
        return str(job.job_script())


def _own_defaults() -> Any:
    """Return the context in which dask-jobqueue sees its own defaults: a script holds what its profile says."""
    text = resources.files(dask_jobqueue).joinpath("jobqueue.yaml").read_text(encoding="utf-8")
    return dask.config.set(yaml.safe_load(text))
