"""Compiled kernels, made once by one worker and handed to all others of its kind."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import distributed

from . import preload

LOGGER = logging.getLogger(__name__)
INDEX = ".nbi"
"""Ending of numba's index of a function; what it names are the files with the compiled code beside it."""
UNPACKED = "unpacked"
"""File in a worker's folder that lists the bundles it has had."""
COMPILING = "compiling-"
"""Beginning of the name of the folder that is compiled into, inside that of the worker."""
N_KEPT = 20
"""Bundles that are kept for later runs."""
DIGEST = hashlib.sha256().digest_size
"""Bytes before a bundle that is kept, by which a damaged one is known."""
SECONDS = 600.0
"""Longest time that compiling may take."""
WORKER_SECONDS = 5.0
"""How often it is asked whether the worker that compiles is still there."""


def share(
    client: distributed.Client,
    command: Sequence[str],
    sources: Path,
    tell: Callable[[str], Any] = lambda text: None,
) -> bool:
    """Give all workers of a cluster, those to come as well, the kernels that ``command`` compiles.

    For each kind of machine one worker runs the command once; the outcome is kept for later runs. Workers that get
    nothing compile what they need themselves, so no failure here is an error.

    Parameters
    ----------
    client
        Of the cluster.
    command
        Arguments of python; the process calls every kernel that a cell may need.
    sources
        The package whose files decide what is compiled.
    tell
        Called with a line before a kernel is compiled.

    Returns
    -------
    bool
        Whether the workers have been given kernels.
    """
    try:
        stamp = _stamp(command, sources)
        workers = {kind: address for address, kind in client.run(machine).items()}
        bundles = {kind: _load(_kept(stamp, kind)) for kind in workers}
        missing = {kind: address for kind, address in workers.items() if not bundles[kind]}
        if missing:
            tell("compiling kernels, once for this version of neq and this kind of machine")
        # not pure: the key of a pure task does not know of the worker, and two kinds would share one bundle
        futures = {
            kind: client.submit(compiled, command, workers=[where], pure=False) for kind, where in missing.items()
        }
        for kind, future in futures.items():
            bundles[kind] = _outcome(client, future, missing[kind])
            _keep(bundles[kind], _kept(stamp, kind))
        client.register_plugin(Kernels(bundles))
    except Exception as error:
        LOGGER.warning("each worker compiles its kernels itself (%s: %s)", type(error).__name__, error)
        return False
    return True


def _outcome(client: distributed.Client, future: distributed.Future, address: str) -> bytes:
    """Return what a worker compiled; a task that belongs to a worker waits for ever once that is gone."""
    while True:
        try:
            packed: bytes = future.result(timeout=WORKER_SECONDS)
        except TimeoutError:
            if address not in client.nthreads():
                future.cancel()
                raise RuntimeError(f"the worker that compiled the kernels, {address}, was lost") from None
        else:
            return packed


def machine() -> str:
    """Return what compiled code depends on beside its source: the versions, the system, the processor.

    numba asks for the same before it takes a kernel from its cache, so a wrong answer here costs time only.
    """
    from llvmlite import binding

    versions = [platform.python_version(), importlib.metadata.version("numba")]
    cpu = [binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()]
    return json.dumps([*versions, *cpu])


def compiled(command: Sequence[str]) -> bytes:
    """Run a Python command in a fresh process with an empty cache, and return what it has compiled as a bundle.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    own = os.environ.get("NUMBA_CACHE_DIR")
    for left in Path(own).glob(f"{COMPILING}*") if own else ():
        # by a worker that was killed while it waited
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=COMPILING, dir=own) as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
        return pack(Path(folder))


def pack(folder: Path) -> bytes:
    """Return a numba cache as the bytes of a zip file.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     zipfile.ZipFile(io.BytesIO(pack(Path(folder)))).namelist()
    []
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(folder.glob("*/*.nb[ic]")):
            bundle.write(path, path.relative_to(folder))
    return buffer.getvalue()


def unpack(packed: bytes, folder: Path) -> bool:
    """Put a bundle into the cache folder of this process, once; return whether it was new there.

    A folder may be left half filled at any moment: a function's index is deleted before its code is replaced and comes
    back last, and without an index numba compiles.

    Raises
    ------
    OSError
        The folder cannot be written; what is there stays of use.
    """
    record, name = folder / UNPACKED, hashlib.sha256(packed).hexdigest()
    before = record.read_text().split() if record.exists() else []
    if name in before:
        return False
    with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
        names = bundle.namelist()
        indexes = [path for path in names if path.endswith(INDEX)]
        for path in indexes:
            (folder / path).unlink(missing_ok=True)
        for path in [path for path in names if path not in indexes] + indexes:
            (folder / path).parent.mkdir(exist_ok=True)
            _write_whole(folder / path, bundle.read(path))
    _write_whole(record, "\n".join([*before, name]).encode())
    return True


class Kernels(distributed.WorkerPlugin):
    """Unpacks kernels on every worker that starts; never fails one.

    Parameters
    ----------
    bundles
        Kind of machine -> bundle.
    """

    name = "kernels"

    def __init__(self, bundles: dict[str, bytes]) -> None:
        self.bundles = bundles

    def setup(self, worker: Any) -> None:
        """Fill the folder that the worker took when it started."""
        try:
            packed = self.bundles.get(machine())
            if packed is None:
                LOGGER.warning("no compiled kernels for the processor of %s: it compiles its own", platform.node())
            else:
                unpack(packed, Path(os.environ["NUMBA_CACHE_DIR"]))
        except Exception as error:
            LOGGER.warning("this worker compiles its own kernels (%s: %s)", type(error).__name__, error)


def _stamp(command: Sequence[str], sources: Path) -> str:
    """Return a hash of a command and of all Python files below a folder, and of where it is: numba asks for that."""
    found = hashlib.sha256(json.dumps([*command, str(sources)]).encode())
    for path in sorted(sources.rglob("*.py")):
        found.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _kept(stamp: str, kind: str) -> Path:
    """Return where a bundle is kept: in this user's cache, which all nodes of a cluster commonly share."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "neq" / f"kernels-{hashlib.sha256((stamp + kind).encode()).hexdigest()[:32]}"


def _load(path: Path) -> bytes:
    """Return a bundle that was kept; nothing where it is missing or damaged, or others may write there."""
    try:
        content = path.read_bytes() if preload.is_ours(path.parent) else b""
    except OSError:
        return b""
    packed = content[DIGEST:]
    return packed if hashlib.sha256(packed).digest() == content[:DIGEST] else b""


def _keep(packed: bytes, path: Path) -> None:
    """Keep a bundle and forget the oldest; a cache that cannot be written is no harm."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if preload.is_ours(path.parent):
            _write_whole(path, hashlib.sha256(packed).digest() + packed)
        kept = sorted(path.parent.glob("kernels-*"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-N_KEPT]:
            old.unlink(missing_ok=True)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file beside ``path`` and rename it, so that nobody finds half of it."""
    handle, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    with open(handle, "wb") as file:
        file.write(content)
    os.replace(part, path)
