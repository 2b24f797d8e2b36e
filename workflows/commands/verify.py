"""Finished cells computed again by a fresh process from the spikes stores, and compared with the store."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neq.errors import ConfigError, StudyMismatchError
from workflows import backend, layout, provenance, warm_up
from workflows.blocks import cells, task
from workflows.blocks.reset import INGEST_ERROR
from workflows.commands import where
from workflows.config import ClusterConfig
from workflows.grid import Index
from workflows.store import STORE_NAME, Store, plain, settings_hash

RELATIVE = 1e-9
"""How closely numbers must agree where the CPU or a numeric library is another."""
NOT_COMPUTED = (INGEST_ERROR, task.WORKER_LOST)
"""Error types of cells that no computation has ended."""
COMPARED = ("status", "quality", "error_type", "error")
"""Engine variables that belong to the result, beside all of the study's own."""


@dataclass(frozen=True)
class Mismatch:
    """A value that came out differently."""

    cell: dict[str, Any]
    variable: str
    stored: str
    recomputed: str


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Parameters
    ----------
    n_cell
        Cells computed again, of which ``n_exact`` compared bit by bit and the others to 1e-9 relative.
    reasons
        Why bits were not compared.
    mismatches
        What differs; empty where all is well.
    """

    n_cell: int
    n_exact: int
    reasons: list[str]
    mismatches: list[Mismatch]


def verify(
    run_folder: Path,
    n_cell: int = 20,
    expression: str | None = None,
    cluster: ClusterConfig | None = None,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Verdict:
    """Compute some finished cells again, anywhere in the grid, and compare.

    Parameters
    ----------
    run_folder
        The run; nothing in it is changed.
    n_cell
        How many cells, chosen at random.
    expression
        Choose among these only.
    cluster
        Where; by default one local worker, which is a fresh process.
    progress
        Called with the cells done and all.

    Raises
    ------
    neq.errors.ConfigError
        No finished cell is to be had.
    neq.errors.StudyMismatchError
        The store is of another version of the study.
    """
    import distributed

    opened = Store.open(run_folder / STORE_NAME)
    refuse_other_version(opened)
    chosen = choose(opened, n_cell, expression)
    folder = str(run_folder.absolute())
    runs = provenance.read(run_folder)
    with backend.start(cluster or ClusterConfig(workers=1)) as client:
        warm_up.share(client, opened.study)
        futures = {client.submit(recompute, folder, index, pure=False): index for index in chosen}
        results: dict[Index, tuple[dict[str, Any], dict[str, Any]]] = {}
        for future in distributed.as_completed(list(futures)):
            results[futures[future]] = future.result()
            progress(len(results), len(chosen))
    return _verdict(opened, runs, results)


def refuse_other_version(opened: Store) -> None:
    """Raise where this version of neq would compute other numbers by design."""
    study = opened.study
    now = settings_hash(study.config.study, study.version, plain(study.settings()))
    if now != opened.attrs["settings_hash"]:
        raise StudyMismatchError(
            f"{opened.path} was made by another version of its study (then {opened.attrs['study_version']}, now "
            f"{study.version}) or of an estimator: there is nothing to compare. Verify with the neq that made it."
        )


def choose(opened: Store, n_cell: int, expression: str | None) -> list[Index]:
    """Return up to ``n_cell`` finished cells, drawn anew each time so that repeated checks cover more."""
    status = opened.status()
    mask = (status == layout.OK) | (status == layout.FAILED) | (status == layout.IMPOSSIBLE)
    if (status == layout.FAILED).any():
        types = opened.read("error_type")
        mask &= ~np.logical_or.reduce([types == name for name in NOT_COMPUTED])
    if expression is not None:
        mask &= where.cells(opened, expression)
    places = np.argwhere(mask).tolist()
    if not places:
        raise ConfigError(f"No finished cell of {opened.path.parent} is chosen, so there is nothing to compare.")
    return sorted(tuple(place) for place in random.sample(places, min(n_cell, len(places))))


def recompute(run_folder: str, index: Index) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compute one cell as a task would, compare it, and return the differences by variable; runs on a worker.

    Returns
    -------
    tuple of dict
        Variable -> stored and recomputed values as lists, only where the bits differ; and this machine.
    """
    folder = Path(run_folder)
    opened, _ = task.opened(folder / STORE_NAME)
    cell = opened.grid.cell(index)
    with cells.quiet():
        record = cells.run_cell(
            opened.study, cell, opened.prepared_for(cell), folder, opened.study_outputs, opened.dimensions
        )
    region = tuple(slice(i, i + 1) for i in index)
    different = {}
    for name in (*opened.study_outputs, *COMPARED):
        output = opened.outputs[name]
        stored = opened.read(name, region)[(0,) * len(index)]
        made = np.full(np.shape(stored), layout.fill_value(output), layout.numpy_dtype(output))
        if name in record:
            value = np.asarray(record[name]) if output.dims else record[name]
            made[tuple(slice(0, n) for n in np.shape(value))] = value
        pair = np.asarray(stored, made.dtype).tolist(), made.tolist()
        if name == "error":
            # below the message stands the traceback, whose lines move whenever a file is edited
            pair = tuple(text.partition("\n\nTraceback")[0] for text in pair)
        if pair[0] != pair[1] and not same_bits(np.asarray(stored, made.dtype), made):
            different[name] = pair
    return different, provenance.machine()


def same_bits(one: np.ndarray, two: np.ndarray) -> bool:
    """Return whether two arrays hold the same bits; any NaN is like any other.

    Examples
    --------
    >>> same_bits(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])), same_bits(np.array(0.1 + 0.2), np.array(0.3))
    (True, False)
    """
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, two))
    # 0.0 and -0.0 are equal numbers of other bits
    signs = (np.signbit(one) == np.signbit(two)) | np.isnan(one)
    return bool(np.array_equal(one, two, equal_nan=True) and signs.all())


def close(stored: Any, made: Any) -> bool:
    """Return whether two values, or nested lists of them, agree to 1e-9 relative; text and integers exactly.

    Examples
    --------
    >>> close([1.0, float("nan")], [1.0 + 1e-12, float("nan")]), close(1, 2), close("a", "a")
    (True, False, True)
    """
    one, two = np.asarray(stored), np.asarray(made)
    if one.dtype.kind != "f" or two.dtype.kind != "f":
        return bool(stored == made)
    return one.shape == two.shape and bool(np.allclose(one, two, rtol=RELATIVE, atol=0.0, equal_nan=True))


def _verdict(
    opened: Store,
    runs: Mapping[str, Mapping[str, Any]],
    results: Mapping[Index, tuple[dict[str, Any], dict[str, Any]]],
) -> Verdict:
    mismatches, reasons, n_exact = [], set(), 0
    for index, (different, machine) in sorted(results.items()):
        why = _why_not_exact(runs, str(opened.read("run", tuple(slice(i, i + 1) for i in index)).item()), machine)
        reasons.update(why)
        n_exact += not why
        for name, (stored, made) in different.items():
            if not why or not close(stored, made):
                mismatches.append(Mismatch(opened.grid.cell(index), name, *_shortly(stored, made)))
    return Verdict(len(results), n_exact, sorted(reasons), mismatches)


def _why_not_exact(runs: Mapping[str, Mapping[str, Any]], run: str, machine: dict[str, Any]) -> list[str]:
    """Return why the bits of a run may differ from this machine's."""
    machines: Sequence[dict[str, Any]] = runs.get(run, {}).get("workers", [])
    if not machines:
        return [f"runs/{run}.json does not say on which machine the cell was computed"]
    return [line for then in machines for line in provenance.differences(then, machine)]


def _shortly(stored: Any, made: Any) -> tuple[str, str]:
    """Return two values as text; of lists the first place where they differ."""
    if isinstance(stored, list) and isinstance(made, list):
        for number, (one, two) in enumerate(zip(stored, made, strict=True)):
            if repr(one) != repr(two):
                return tuple(f"[{number}] {text}" for text in _shortly(one, two))  # type: ignore[return-value]
    return repr(stored)[:300], repr(made)[:300]
