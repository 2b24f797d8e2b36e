"""What is wrong with a run, and which command mends it. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neq.errors import NeqError, StoreError
from workflows import engine, ingest, layout, lease, provenance, staging
from workflows.blocks import owners
from workflows.blocks.reset import INGEST_ERROR
from workflows.commands import complaints, damage, environment
from workflows.commands.finding import NOTE, OK, PROBLEM, Finding, shell
from workflows.labels import cell_text
from workflows.run_folder import CONFIG_NAME, is_stale, known_sources, sources_changed
from workflows.store import STORE_NAME, Store, plain, settings_hash
from workflows.studies.base import Prepared

Progress = Callable[[int, int], Any]


def examine(run_folder: Path, progress: Progress = lambda done, total: None) -> Iterator[Finding]:
    """Yield everything worth saying of a run; reads every chunk of its store and of its spikes.

    Parameters
    ----------
    run_folder
        The run.
    progress
        Called with the numbers of blocks read and of all.
    """
    driver = lease.current(run_folder)
    yield from _driver(run_folder, driver)
    yield from _orphans(run_folder, driver is not None)
    try:
        opened = Store.open(run_folder / STORE_NAME)
    except StoreError as error:
        path = run_folder / STORE_NAME
        away = f"mv {shell(path)} {shell(f'{path}.damaged')}; " if path.exists() else ""
        yield Finding(PROBLEM, str(error), away + _run(run_folder))
        return
    yield from _damage(opened, progress)
    yield from _inputs(opened)
    yield from _versions(opened)
    try:
        yield from _cells(opened, driver is not None)
    except StoreError as error:
        yield Finding(NOTE, f"the states of the cells cannot be counted: {error}")
    yield from _drawn(run_folder)
    yield from environment.disk(run_folder)


def _driver(run_folder: Path, driver: dict[str, Any] | None) -> Iterator[Finding]:
    if driver is not None:
        yield Finding(NOTE, f"process {driver['pid']} on {driver['host']} works on it: what it does is not finished")
        return
    newest = max((int(path.stem) for path in (run_folder / lease.FOLDER).glob("[0-9]*.json")), default=None)
    if newest is None:
        yield Finding(OK, "no driver works on it")
    else:
        yield Finding(PROBLEM, f"its last driver (lease {newest}) ended without a word", _run(run_folder))


def _orphans(run_folder: Path, alive: bool) -> Iterator[Finding]:
    """Yield what dead processes left behind; a live driver's files look the same, so they are let be."""
    if alive:
        return
    blocks = [path for path in (run_folder / owners.FOLDER).glob("*") if any(path.glob("*-*"))]
    if blocks:
        yield Finding(PROBLEM, f"{len(blocks)} blocks still belong to tasks of a dead driver", _run(run_folder))
    patterns = (f".{STORE_NAME}.*", f"spikes/.*{staging.ENDING}", f"{STORE_NAME}/**/*.partial", "runs/*.part")
    for path in sorted(path for pattern in patterns for path in run_folder.glob(pattern)):
        yield Finding(NOTE, f"{path} was never finished", f"rm -r {shell(path)}")


def _damage(opened: Store, progress: Progress) -> Iterator[Finding]:
    broken = list(damage.structure(opened))
    for text in broken:
        yield Finding(PROBLEM, text, _run(opened.path.parent))
    if broken:
        yield Finding(NOTE, "its chunks can be checked when this is mended")
        return
    found = list(damage.find(opened, progress))
    for one in found:
        chosen = shell(damage.expression(opened, one.block))
        text = f"block {one.block} is damaged ({', '.join(one.variables)}: {one.reason})"
        yield Finding(PROBLEM, text, f"neq rerun {_quoted(opened)} --where {chosen}")
    if not found:
        yield Finding(OK, f"every chunk of {opened.blocks.n_block} blocks can be read")


def _inputs(opened: Store) -> Iterator[Finding]:
    folder = opened.path.parent
    for group in complaints.grouped(opened.prepared):
        text = f"{complaints.named(group)} could not be read: {complaints.told(group)}"
        yield Finding(PROBLEM, text, f"when that is mended: {_run(folder)}")
    for one in opened.prepared:
        if not one.error_type:
            yield from _input(folder, one)
    for path in sources_changed(folder):
        text = f"{path} has changed since it was read: a run would refuse to mix both"
        yield Finding(PROBLEM, text, f"{_run(folder)} --set results=FOLDER")
    for path in known_sources(folder):
        if not Path(path).exists():
            yield Finding(NOTE, f"{path} is gone: finished cells stay, {folder / 'spikes'} holds its spikes")


def _input(folder: Path, one: Prepared) -> Iterator[Finding]:
    """Yield what is wrong with the spikes of one source."""
    labels = cell_text(one.labels)
    path = folder / one.path
    if not path.exists():
        yield Finding(PROBLEM, f"the spikes of {labels} are missing ({path})", _run(folder))
    elif path.suffix == ".zarr":
        remedy = f"rm -r {shell(path)}; {_run(folder)}"
        try:
            if not ingest.check_spikes(path):
                yield Finding(PROBLEM, f"the spikes of {labels} are not what was written ({path})", remedy)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            yield Finding(PROBLEM, f"the spikes of {labels} cannot be read ({path}: {reason})", remedy)


def _versions(opened: Store) -> Iterator[Finding]:
    try:
        study = opened.study
        now = settings_hash(study.config.study, study.version, plain(study.settings()))
    except (NeqError, ImportError, KeyError, AttributeError) as error:
        yield Finding(PROBLEM, f"the study {opened.attrs['study']} of this store cannot be made: {error}")
        return
    if now != opened.attrs["settings_hash"]:
        text = "this neq would compute other numbers: another version of the study or of an estimator"
        yield Finding(PROBLEM, text, f"{_run(opened.path.parent)} --set results=FOLDER")
    machine = provenance.machine()
    for run, facts in provenance.read(opened.path.parent).items():
        for then in facts.get("workers", []):
            changed = provenance.differences(then, machine)
            if changed:
                yield Finding(NOTE, f"run {run} was made elsewhere, so bits may differ: {'; '.join(changed)}")


def _cells(opened: Store, alive: bool) -> Iterator[Finding]:
    status, wanted, folder = opened.status(), _wanted(opened), opened.path.parent
    failed = wanted & (status == layout.FAILED)
    types: Counter[str] = Counter()
    for block in opened.blocks.holding(failed):
        region = opened.blocks.region(block)
        types.update(str(name) for name in opened.read("error_type", region)[failed[region]])
    if n_unread := types.pop(INGEST_ERROR, 0):
        told = any(one.error_type for one in opened.prepared)
        text = f"{n_unread} cells wait for recordings that could not be read"
        yield Finding(NOTE if told else PROBLEM, text, "" if told else _run(folder))
    for name, n in types.most_common():
        chosen = shell(f"error_type == {name!r}")
        yield Finding(
            PROBLEM, f"{n} cells failed with {name}", f"neq rerun {_quoted(opened)} --failed --where {chosen}"
        )
    n_pending = int((wanted & (status == layout.PENDING)).sum())
    if n_pending and not alive:
        yield Finding(PROBLEM, f"{n_pending} cells are not computed yet", _run(folder))
    for block, reasons in owners.all_deaths(folder).items():
        for number, why in reasons.items():
            place = np.add([part.start for part in opened.blocks.region(block)], opened.blocks.local(number))
            cell = cell_text(opened.grid.cell(tuple(int(i) for i in place)))
            yield Finding(NOTE, f"{len(why)} workers died in the cell {cell}: {why[-1]}")


def _wanted(opened: Store) -> np.ndarray:
    """Return the cells that the config names, all where it cannot be told: the others are nobody's to compute."""
    try:
        return engine.wanted_cells(opened, opened.study)
    except (NeqError, ImportError, KeyError, AttributeError):
        return np.ones(opened.shape, bool)


def _drawn(run_folder: Path) -> Iterator[Finding]:
    if is_stale(run_folder):
        remedy = f"neq figures {shell(run_folder)}; neq report {shell(run_folder)}"
        yield Finding(NOTE, "figures or report are missing or older than the store", remedy)


def _run(run_folder: Path) -> str:
    return f"neq run {shell(run_folder / CONFIG_NAME)}"


def _quoted(opened: Store) -> str:
    return shell(opened.path.parent)
