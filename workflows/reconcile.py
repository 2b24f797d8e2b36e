"""A store and a config that meet again: the store grows by new labels, and refuses to mix two studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neq.errors import StudyMismatchError
from workflows import attributes, growth, ingest, store
from workflows.grid import Grid, stored_label
from workflows.store import Store
from workflows.studies.base import Axis, Label, Output, Prepared, Study

NOWHERE = object()


def reconcile(old: Store, study: Study, prepared: Sequence[Prepared]) -> Store:
    """Return the store ready for the study: grown at the end of its axes where the config has new labels.

    Labels that the config leaves out stay where they are. The driver calls this under its lease while no task lives.

    Raises
    ------
    neq.errors.StudyMismatchError
        The store belongs to another study; the message shows each difference and the remedy.
    """
    grid = Grid(study.axes())
    refuse_another(old, study, grid, prepared)
    known = merged(old.prepared, prepared, old.path.parent)
    dimensions = study.dimensions(known)
    axes = tuple(_grown(kept, new) for kept, new in zip(old.grid.axes, grid.axes, strict=True))
    dimensions = {dim: max(length, dimensions[dim]) for dim, length in old.dimensions.items()}
    attrs = attributes.describe(study, known, Grid(axes), old.chunk, dimensions)
    store.drop_consolidated(old.path)
    with store.problems(old.path):
        growth.fit(Store.open(old.path, "r+"), Grid(axes), dimensions, known)
        if attrs != old.attrs:
            # the attributes say which labels count: written last, a growth cut short is done again
            Store.open(old.path, "r+").group.attrs["neq"] = attrs
    return Store.open(old.path, "r+")


def refuse_another(old: Store, study: Study, grid: Grid, prepared: Sequence[Prepared]) -> None:
    """Raise :class:`neq.errors.StudyMismatchError`, with every difference, where the store is another study's."""
    lines = list(differences(old, study, grid, prepared))
    if lines:
        raise StudyMismatchError(
            f"{old.path} was made by another study:"
            + "".join(f"\n  {line}" for line in lines)
            + "\nSet `results` to another folder (--set results=FOLDER) to keep both, or take the changes back."
        )


def differences(old: Store, study: Study, grid: Grid, prepared: Sequence[Prepared]) -> Iterator[str]:
    """Yield one line for each thing that makes the study another than the store's."""
    yield from changed("study", old.attrs["study"], study.config.study)
    yield from changed("version of the study", old.attrs["study_version"], study.version)
    yield from changed("", old.attrs["settings"], attributes.plain(study.settings()))
    yield from _axis_differences(old.grid, grid)
    now = {output.name: _signature(output) for output in study.outputs()}
    yield from changed("variable", {name: _signature(output) for name, output in old.study_outputs.items()}, now)
    before = {_key(one): one.content for one in old.prepared if one.content}
    for one in prepared:
        if one.content and before.get(_key(one), one.content) != one.content:
            labels = ", ".join(f"{name} {label}" for name, label in one.labels.items())
            yield f"content of the recording {labels}: {before[_key(one)]} in the store, {one.content} now"


def merged(old: Sequence[Prepared], new: Sequence[Prepared], run_folder: Path) -> list[Prepared]:
    """Return what is known of every source, the new knowledge first.

    A source that can no longer be read keeps the content it had: its finished cells stay comparable. Where what was
    prepared from it is still whole, it serves on as if the source were there.
    """
    known = {_key(one): one for one in old}
    for one in new:
        before = known.get(_key(one))
        if one.error_type and before is not None and before.content:
            lost = not usable(before, run_folder)
            one = replace(before, error_type=one.error_type if lost else "", error=one.error if lost else "")
        known[_key(one)] = one
    return list(known.values())


def usable(prepared: Prepared, run_folder: Path) -> bool:
    """Return whether what was prepared from a source is there and whole; reads all of its spikes."""
    path = run_folder / prepared.path
    if not prepared.path or not path.exists():
        return False
    if path.suffix != ".zarr":
        return True
    try:
        return ingest.check_spikes(path) and ingest.open_spikes(path, lazy=True).attrs["content"] == prepared.content
    except Exception:  # damage shows itself as whatever zarr and its codecs raise
        return False


def _axis_differences(old: Grid, new: Grid) -> Iterator[str]:
    for name in new.names:
        if name not in old.names:
            yield f"axis {name}: not in the store, {list(new.labels(name))} in the config"
    for name in old.names:
        kept = f"axis {name}: {list(old.labels(name))} in the store"
        if name not in new.names:
            yield f"{kept}, not in the config"
        elif _kind(old.labels(name)) is not _kind(new.labels(name)) and not _all_whole(old, new, name):
            yield f"{kept}, {list(new.labels(name))} of another type in the config"
    if sorted(old.names) == sorted(new.names) and old.names != new.names:
        yield f"order of the axes: {list(old.names)} in the store, {list(new.names)} in the config"


def changed(path: str, old: Any, new: Any, places: tuple[str, str] = ("the store", "the config")) -> Iterator[str]:
    """Yield the leaves in which two plain values differ, those of ``places``.

    Examples
    --------
    >>> list(changed("", {"lag": 1, "seed": 0}, {"lag": 2, "seed": 0}))
    ['lag: 1 in the store, 2 in the config']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            joint = " " if path == "variable" else "."
            below = f"{path}{joint}{key}" if path else key
            yield from changed(below, old.get(key, NOWHERE), new.get(key, NOWHERE), places)
    elif old != new:
        yield f"{path}: {_shown(old)} in {places[0]}, {_shown(new)} in {places[1]}"


def _shown(value: Any) -> str:
    return "nothing" if value is NOWHERE else repr(value)


def _signature(output: Output) -> str:
    return " ".join([output.dtype, *output.dims, *(["own_chunk"] if output.own_chunk else [])])


def _key(prepared: Prepared) -> tuple[tuple[str, Label], ...]:
    return tuple(sorted((name, stored_label(name, label)) for name, label in prepared.labels.items()))


def _kind(labels: Sequence[Label]) -> type:
    return type(labels[0])


def _all_whole(old: Grid, new: Grid, name: str) -> bool:
    """Whether labels that were written 1 and 1.0 name the same things."""
    kinds = {_kind(old.labels(name)), _kind(new.labels(name))}
    labels = new.labels(name)
    return kinds == {int, float} and (_kind(labels) is int or all(float(label).is_integer() for label in labels))


def _grown(old: Axis, new: Axis) -> Axis:
    """Return the old axis with the new labels at its end."""
    kind = _kind(old.labels)
    added = tuple(kind(label) for label in new.labels if label not in set(old.labels))
    return replace(old, labels=old.labels + added)
