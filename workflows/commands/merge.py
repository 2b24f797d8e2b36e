"""Runs of the same settings, made in several places, joined into one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zarr
from rich.console import Console

from neq.errors import ConfigError, StudyMismatchError
from workflows import config as run_config
from workflows import layout, lease, staging
from workflows.attributes import named_labels, plain
from workflows.commands import damage, merge_cells
from workflows.grid import Grid, Index, stored_label
from workflows.progress import say
from workflows.reconcile import changed
from workflows.run_folder import load_run, write_config
from workflows.store import STORE_NAME, Store, consolidate, problems
from workflows.studies.base import Axis, Prepared


@dataclass(frozen=True)
class Merged:
    """A run that was made of others.

    Parameters
    ----------
    path
        Its folder.
    counts
        Its cells by status.
    n_shared
        Cells that several of the runs have computed, and agree in.
    left_out
        Labels that its config does not name, by axis: the configs could not be joined.
    """

    path: Path
    counts: dict[str, int]
    n_shared: int
    left_out: dict[str, list[str]]


def merge(
    runs: Sequence[Path],
    into: Path,
    progress: Callable[[int, int], Any] = lambda done, total: None,
    block: Index | None = None,
) -> Merged:
    """Join the stores of ``runs``, with their spikes and what is known of how they were made, in a new run folder.

    Parameters
    ----------
    runs
        Two run folders or more, of the same settings; nothing in them is changed.
    into
        Folder of the new run; it appears whole or not at all.
    progress
        Called with the number of variables joined, and of all.
    block
        Cells of a block along each axis; None: chosen anew.

    Raises
    ------
    neq.errors.StudyMismatchError
        The runs have other settings; the message names the first that differs.
    neq.errors.StoreError
        Runs disagree in a cell, or one is damaged.
    neq.errors.ConfigError, neq.errors.LeaseHeldError
        There are fewer than two runs, ``into`` is there already, or a driver works on one of them.
    """
    _refuse_places(runs, into)
    for run in runs:
        Store.open(run / STORE_NAME)
    with contextlib.ExitStack() as held:
        # a driver would change what is read here
        for run in runs:
            held.enter_context(lease.acquire(run))
        n_shared = _join(runs, into, progress, block)
    made = Store.open(into / STORE_NAME)
    status = made.status()
    counts = {name: int((status == code).sum()) for code, name in enumerate(layout.STATUS_NAMES)}
    return Merged(into, counts, n_shared, made.left_out)


def _join(runs: Sequence[Path], into: Path, progress: Callable[[int, int], Any], block: Index | None) -> int:
    """Make the joint run and return how many cells several runs had computed."""
    stores = [Store.open(run / STORE_NAME) for run in runs]
    for other in stores[1:]:
        refuse_unlike(stores[0], other)
    grid = Grid(tuple(_joined_axis(axes) for axes in zip(*(one.grid.axes for one in stores), strict=True)))
    attrs = _attributes(stores, grid) | ({} if block is None else {"block": list(block)})
    sources = merge_cells.place(stores, grid)
    for source in sources:
        damage.refuse_missing(source.store, source.status)
    into.parent.mkdir(parents=True, exist_ok=True)
    with problems(into), staging.staged(into) as part:
        n_shared = _fill(part, sources, attrs, progress)
        _copy_files(runs, stores, attrs, part)
        science = {**load_run(runs[0]).model_dump(mode="json"), **attrs["config"]}
        write_config(part, run_config.rebuild(science))
    return n_shared


def tell(merged: Merged, console: Console) -> None:
    """Say what was made."""
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in merged.counts.items() if n)
    say(console, f"{merged.path}: {sum(merged.counts.values())} cells: {counts}")
    if merged.n_shared:
        say(console, f"{merged.n_shared} cells were computed in several runs, to the same bits")
    for axis, labels in merged.left_out.items():
        say(console, f"its config leaves out {axis} {', '.join(labels)}: add them to {merged.path / 'config.yaml'}")


def refuse_unlike(one: Store, two: Store) -> None:
    """Raise :class:`neq.errors.StudyMismatchError` where the cells of two stores are not of one study."""
    for line in _differences(one, two):
        raise StudyMismatchError(
            f"{one.path.parent} and {two.path.parent} have other settings and cannot be merged: {line}."
        )


def _differences(one: Store, two: Store) -> Iterator[str]:
    """Yield what makes the stores of different studies, what people look for first."""
    places = str(one.path.parent), str(two.path.parent)
    for key, name in {"study": "study", "study_version": "version of the study", "settings": ""}.items():
        yield from changed(name, one.attrs[key], two.attrs[key], places)
    yield from changed("axes", list(one.names), list(two.names), places)
    kinds = [{axis.name: type(axis.labels[0]).__name__ for axis in store.grid.axes} for store in (one, two)]
    yield from changed("type of the labels", *kinds, places)
    outputs = [{name: plain(asdict(output)) for name, output in store.study_outputs.items()} for store in (one, two)]
    yield from changed("variable", *outputs, places)
    contents = [{str(key): known.content for key, known in _prepared([store]).items()} for store in (one, two)]
    both = {key for key in contents[0] if contents[0][key] and contents[1].get(key)}
    yield from changed("content of the recording", *({key: each[key] for key in both} for each in contents), places)


def _refuse_places(runs: Sequence[Path], into: Path) -> None:
    if len({run.resolve() for run in runs}) < max(2, len(runs)):
        raise ConfigError("merge needs two different runs or more: neq merge RUN RUN ... --into FOLDER.")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConfigError(f"{into} is there already: give `--into` a folder that is new or empty.")


def _joined_axis(axes: Sequence[Axis]) -> Axis:
    """Return the first axis with the other labels of the others at its end."""
    return Axis(**{**asdict(axes[0]), "labels": tuple(dict.fromkeys(label for axis in axes for label in axis.labels))})


def _attributes(stores: Sequence[Store], grid: Grid) -> dict[str, Any]:
    """Return the attributes of the joint store: those of the first, with what the others add."""
    config = _joined_config(stores, grid)
    joint = run_config.rebuild(config)
    dimensions = {dim: max(store.dimensions[dim] for store in stores) for dim in stores[0].dimensions}
    return stores[0].attrs | {
        "config": config,
        "block": list(grid.block_shape(joint.sweep.block)),
        "axes": [plain(asdict(axis)) for axis in grid.axes],
        "named": named_labels(stores[0].study_class(joint)),
        "dimensions": dimensions,
        "prepared": [plain(asdict(one)) for one in _prepared(stores).values()],
    }


def _prepared(stores: Sequence[Store]) -> dict[tuple[Any, ...], Prepared]:
    """Return what is known of each source, by its labels: from the first run that read it and knows the animal."""
    known: dict[tuple[Any, ...], Prepared] = {}
    for one in (one for store in stores for one in store.prepared):
        key = tuple(stored_label(name, label) for name, label in sorted(one.labels.items()))
        if key not in known or _knowledge(one) > _knowledge(known[key]):
            known[key] = one
    return known


def _knowledge(one: Prepared) -> tuple[bool, bool]:
    """Return whether a source could be read, and whether its animal is known."""
    return not one.error_type, bool(one.facts.get(layout.SUBJECT))


def _joined_config(stores: Sequence[Store], grid: Grid) -> dict[str, Any]:
    """Return a config that names all labels of the grid, or the first where the configs cannot be joined to one."""
    first = stores[0]
    joint: dict[str, Any] = first.attrs["config"]
    for store in stores[1:]:
        joint = _union(joint, store.attrs["config"])
    try:
        study = first.study_class(run_config.rebuild(joint))
        same = plain(study.settings()) == first.attrs["settings"]
        if same and all(set(axis.labels) == set(grid.labels(axis.name)) for axis in Grid(study.axes()).axes):
            return joint
    except Exception:  # whatever a study makes of a config that nobody wrote
        pass
    kept: dict[str, Any] = first.attrs["config"]
    return kept


def _union(one: Any, two: Any) -> Any:
    """Return two plain values joined: keys and labels of both, the larger number."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return {**two, **{key: _union(value, two[key]) if key in two else value for key, value in one.items()}}
    if isinstance(one, list) and isinstance(two, list):
        return one + [label for label in two if label not in one]
    return max(one, two) if type(one) is type(two) is int else one


def _fill(folder: Path, sources: Sequence[merge_cells.Source], attrs: Mapping[str, Any], progress: Any) -> int:
    """Make the joint store in ``folder`` and return how many cells several runs had computed."""
    path = folder / STORE_NAME
    folder.mkdir()
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"neq": attrs, "merged": [str(source.store.path.parent.absolute()) for source in sources]})
    made = Store(path, group)
    for axis in made.grid.axes:
        layout.create_coordinate(group, axis)
    layout.write_subjects(group, layout.subjects(made.grid, made.prepared))
    for done, output in enumerate(made.outputs.values()):
        progress(done, len(made.outputs))
        layout.create_array(group, output, made.grid, made.chunk, made.dimensions)
        merge_cells.join(made, output, sources)
    progress(len(made.outputs), len(made.outputs))
    consolidate(path)
    return merge_cells.count_shared(made.shape, sources)


def _copy_files(runs: Sequence[Path], stores: Sequence[Store], attrs: Mapping[str, Any], folder: Path) -> None:
    """Bring what the sources left behind, and the notes of the runs; files are linked where the disk is the same."""
    for one in attrs["prepared"]:
        held = [store.path.parent / one["path"] for store in stores if plain(one) in store.attrs["prepared"]]
        found = next((path for path in held if one["path"] and path.exists()), None)
        if found is not None and not (folder / one["path"]).exists():
            (folder / one["path"]).parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, folder / one["path"], copy_function=_link)
            else:
                _link(found, folder / one["path"])
    (folder / "runs").mkdir()
    for path in (path for run in runs for path in sorted((run / "runs").glob("*.json"))):
        if not (folder / "runs" / path.name).exists():
            shutil.copy2(path, folder / "runs" / path.name)


def _link(source: str | Path, target: str | Path) -> None:
    """Link a file, which is never written again, or copy it to another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
