"""What is right and wrong with the machine and the installation."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from workflows import provenance
from workflows.commands.finding import NOTE, OK, PROBLEM, Finding
from workflows.commands.plan import cores
from workflows.config import data_folder

LEAST_FREE = 2**30


def examine() -> Iterator[Finding]:
    """Yield what `neq doctor` says of this machine."""
    machine = provenance.machine()
    yield Finding(OK, f"Python {machine['python']}, {machine['cpu']} ({machine['simd']}, {machine['target']})")
    yield Finding(OK, ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version))
    yield from _requirements()
    yield _compiles()
    memory = psutil.virtual_memory().total / 2**30
    yield Finding(OK, f"{cores()} cores, {memory:.1f} GiB of memory")
    yield from disk(Path.cwd())
    folder = data_folder()
    if folder.is_dir():
        yield Finding(OK, f"recordings are looked for in {folder} ($NEQ_DATA)")
    else:
        yield Finding(
            NOTE, f"there is no folder {folder} for recordings (the demo needs none)", "export NEQ_DATA=FOLDER"
        )


def disk(folder: Path) -> Iterator[Finding]:
    """Yield whether a folder's disk has room."""
    free = psutil.disk_usage(str(folder)).free
    text = f"{free / 2**30:.1f} GiB free at {folder}"
    yield Finding(OK, text) if free > LEAST_FREE else Finding(PROBLEM, text, "free some space")


def _requirements() -> Iterator[Finding]:
    """Yield the packages that are missing or older than neq needs, where neq is installed as a package."""
    try:
        wanted = metadata.requires("neq") or []
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, "neq is not installed, only imported from a folder", "pip install -e .")
        return
    from packaging.requirements import Requirement
    from packaging.version import Version

    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(Version(found), prereleases=True):
            yield Finding(PROBLEM, f"{requirement} is needed, found {found or 'nothing'}", "pip install --upgrade neq")


def _compiles() -> Finding:
    """Return whether numba compiles and its results can be kept."""
    from neq.kernels._jit import kernel

    start = time.monotonic()
    try:
        kernel(_add)(1.0, 2.0)
        with tempfile.NamedTemporaryFile():
            pass
    except Exception as error:
        return Finding(PROBLEM, f"numba cannot compile here ({type(error).__name__}: {error})", "pip install -U numba")
    return Finding(OK, f"numba compiles ({time.monotonic() - start:.1f} s)")


def _add(one: float, two: float) -> float:
    return one + two
