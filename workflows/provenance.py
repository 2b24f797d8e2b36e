"""What made a run: code, versions, machine, command. One file per run, ``runs/<id>.json``."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from workflows.staging import write_whole

PACKAGES = (
    "neq",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "xarray",
    "zarr",
    "numcodecs",
    "dask",
    "distributed",
    "pandas",
)
NUMERIC = ("numpy", "scipy", "numba", "llvmlite")
"""Packages whose version can change a bit of a result."""


def new_id() -> str:
    """Return the id of a run that starts now: UTC time and four random digits, so that ids sort by time."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def describe() -> dict[str, Any]:
    """Return the code, machine and command of this process, as plain JSON."""
    return {
        "argv": sys.argv,
        "folder": str(Path.cwd()),
        "host": platform.node(),
        "pid": os.getpid(),
        "code": code(),
        "machine": machine(),
        "slurm": {key: value for key, value in sorted(os.environ.items()) if key.startswith("SLURM_")},
    }


def machine() -> dict[str, Any]:
    """Return what the bits of a result depend on, beside the code: the CPU, its SIMD level, the numeric libraries.

    Examples
    --------
    >>> sorted(machine())
    ['cpu', 'python', 'simd', 'target', 'versions']
    """
    import llvmlite.binding
    import numpy as np

    extensions: Any = np.show_config(mode="dicts")
    found = extensions["SIMD Extensions"].get("found") or extensions["SIMD Extensions"]["baseline"]
    return {
        "cpu": _cpu_model(),
        "simd": found[-1],
        "target": llvmlite.binding.get_host_cpu_name(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the installed version of each package that neq stands on; "" where it is not installed as a package."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def differences(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Return why bits may differ between two :func:`machine` descriptions, one line each; none where they must agree.

    Examples
    --------
    >>> differences(machine(), {**machine(), "cpu": "another"})[0].endswith("another now")
    True
    """
    pairs = [(name, one.get(name), two.get(name)) for name in ("cpu", "simd", "target")]
    pairs += [(name, one.get("versions", {}).get(name), two.get("versions", {}).get(name)) for name in NUMERIC]
    return [f"{name}: {first} then, {second} now" for name, first, second in pairs if first != second]


@functools.cache
def code() -> dict[str, Any]:
    """Return the git commit this package was run from and whether files differ from it; empty outside a checkout."""
    here = Path(__file__).resolve()
    # a virtual environment may lie inside somebody else's repository: only one that tracks this very file counts
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return {}
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(here.parent, "rev-parse", "HEAD"), "dirty": bool(changed)}


def write(run_folder: Path, run: str, facts: dict[str, Any]) -> Path:
    """Write ``runs/<run>.json`` whole (under another name first, then renamed) and return its path."""
    folder = run_folder / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run}.json"
    write_whole(path, json.dumps(facts, indent=2, default=str).encode())
    return path


def performance_path(run_folder: Path, run: str) -> Path:
    """Return where the performance report of a run is kept.

    Examples
    --------
    >>> performance_path(Path("results/demo"), "20260102T030405Z-0a1b").name
    '20260102T030405Z-0a1b-performance.html'
    """
    return run_folder / "runs" / f"{run}-performance.html"


def read(run_folder: Path) -> dict[str, dict[str, Any]]:
    """Return all runs of a folder by id, oldest first; an unreadable file counts as empty."""
    found = {}
    for path in sorted((run_folder / "runs").glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found[path.stem] = {}
    return found


def now() -> str:
    """Return the time in UTC, to the second.

    Examples
    --------
    >>> now()[-6:]
    '+00:00'
    """
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command, None where it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def _cpu_model() -> str:
    """Return the CPU's own name: from /proc on Linux, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
