"""What a process can tell of the machine it runs on; a trial job runs it on a node."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import distributed
import psutil

from . import network

PACKAGES = ("dask", "distributed", "neq", "numba", "numpy", "scipy", "xarray", "zarr")
"""Those whose versions change a result, or whether both sides understand each other."""
SHARED = (
    *("nfs", "lustre", "gpfs", "mmfs", "beegfs", "cifs", "smb", "sshfs"),
    *("afs", "ceph", "gluster", "panfs", "pvfs", "orangefs"),
)
"""Beginnings of the names of file systems that many machines share."""


def look(note: str | None = None) -> dict[str, Any]:
    """Return what this process sees, in plain values that any version of Python understands.

    Parameters
    ----------
    note
        A file to read.

    Examples
    --------
    >>> found = look()
    >>> found["note"], sorted(found["versions"])[:2]
    (None, ['dask', 'distributed'])
    """
    return {
        "host": platform.node(),
        "versions": versions(),
        "interfaces": network.interfaces(),
        "scratch": _disk(_scratch()),
        "cache": _disk(os.environ.get("NUMBA_CACHE_DIR", "")),
        "note": _read(note),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of what neq computes with; "" for what is missing."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def is_shared(kind: str) -> bool:
    """Whether a file system of this kind lies on other machines.

    Examples
    --------
    >>> is_shared("nfs4"), is_shared("fuse.sshfs"), is_shared("ext4")
    (True, True, False)
    """
    name = kind.lower().removeprefix("fuse.")
    return name.startswith(SHARED)


def file_system(path: str | Path) -> str:
    """Return the kind of file system that holds a path, "" where that cannot be told."""
    mounts = {one.mountpoint: one.fstype for one in psutil.disk_partitions(all=True)}
    place = Path(path).resolve()
    return next((mounts[str(folder)] for folder in (place, *place.parents) if str(folder) in mounts), "")


def _scratch() -> str:
    """Return the folder of the worker that runs this, else that for temporary files."""
    try:
        return str(distributed.get_worker().local_directory)
    except ValueError:
        return tempfile.gettempdir()


def _disk(path: str) -> dict[str, Any]:
    kind = file_system(path) if path else ""
    free = psutil.disk_usage(path).free if path and os.path.isdir(path) else None
    return {"path": path, "kind": kind, "shared": is_shared(kind), "free": free}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _read(note: str | None) -> str | None:
    try:
        return None if note is None else Path(note).read_text()
    except OSError:
        return None
