"""Open the results of a sweep as a labelled Dataset."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import urls
from .chunks import read_array
from .errors import ChunkError, StoreError
from .variables import QUALITY_FLAGS

STATUS_NAMES = ("pending", "ok", "failed", "impossible", "not_needed")
"""Meaning of each status code of a store that does not list its own."""

ENGINE_VARIABLES = ("status", "quality", "error_type", "error", "attempts", "seconds", "peak_memory", "run")
"""What the engine keeps about a cell, whatever the study."""

STORE_NAME = "sweep.zarr"


def open_run(path: str | Path, variables: Sequence[str] | None = None) -> xr.Dataset:
    """Open the results of a run, finished or still growing.

    Parameters
    ----------
    path
        The run folder or the URL where it is kept, the ``sweep.zarr`` in it, or a frozen copy of it, zipped or not.
    variables
        Names of the variables wanted; all by default.

    Returns
    -------
    Dataset
        Axes in ascending order (the size ``all``, stored as 0, last; ``size_label`` spells it out; the undisturbed
        label ``none`` of an axis first). Numbers of cells that are not ``ok`` are NaN, so integers come as floats.
        ``status`` and ``quality_flags`` are text, and so is ``subject`` on session: the animals, "" where one is not
        known. Arrays with more dimensions than the axes (theta, drawn units) stay
        on disk until they are indexed, with their fill value where a cell has none; a cell that is not needed may
        have been computed: take of them what is ``ok``.

    Raises
    ------
    StoreError
        There is no store at ``path``, a wanted variable is not in it, or a part of it cannot be read.

    Examples
    --------
    >>> open_run("results/nothing")
    Traceback (most recent call last):
    neq.errors.StoreError: results/nothing is not a run: expected a folder that holds sweep.zarr ...
    """
    store = _find_at_url(str(path)) if urls.is_url(path) else _find_store(Path(path))
    raw = _open_store(store)
    header = {**raw.attrs.get("neq", {}), "run": raw.attrs.get("frozen", {}).get("run", _name(store))}
    status = _load(raw, "status", store)  # before the values: a cell that is ok now has all its values already
    axes = status.dims
    wanted = _wanted(raw, header, variables, store)
    orders = {axis: _order(raw[axis].values, str(axis)) for axis in axes}
    dataset = raw[wanted].assign(status=status)
    for name in wanted:
        if dataset[name].dims == axes and name != "status":
            dataset[name] = _load(raw, name, store)
    # axes that are in order already are left alone: to index an array is to copy it
    dataset = dataset.isel({axis: order for axis, order in orders.items() if order != sorted(order)})
    names = _decode_status(dataset["status"])
    for name in wanted:
        if dataset[name].dims == axes and name != "status":
            dataset[name] = _mask(dataset[name], names, name in ENGINE_VARIABLES)
    dataset["status"] = names
    return _label(dataset, header)


def _find_store(path: Path) -> Path:
    """Return the store at or in ``path``."""
    if path.suffix == ".zip" and path.is_file():
        return path
    for candidate in (path, path / STORE_NAME):
        if (candidate / "zarr.json").is_file() and (candidate / "status").is_dir():
            return candidate
    found = "nothing" if not path.exists() else "a file" if path.is_file() else "a folder without one"
    raise StoreError(
        f"{path} is not a run: expected a folder that holds {STORE_NAME} (or that store itself), found {found}; "
        "`neq run CONFIG` makes one"
    )


def _find_at_url(url: str) -> str:
    """Return the URL of the store at or below ``url``."""
    files, root = urls.filesystem(url)
    for below in ("", f"/{STORE_NAME}"):
        try:
            # read, as asking whether it is there says no whatever the reason
            files.cat_file(f"{root}{below}/status/zarr.json")
            return url.rstrip("/") + below
        except Exception as error:
            if not urls.is_missing(error):
                raise urls.problem(url, error) from error
    raise StoreError(f"{url} is not a run: expected a place that holds {STORE_NAME}, as `neq run` keeps it there")


def _name(store: Path | str) -> str:
    """Return the name of the run that a store belongs to."""
    if isinstance(store, Path):
        return store.resolve().parent.name
    return urls.last_part(store.removesuffix(f"/{STORE_NAME}"))


def _open_store(store: Path | str) -> xr.Dataset:
    """Open without consolidated metadata, which is stale while a run grows."""
    place = f"zip::{store}" if isinstance(store, Path) and store.suffix == ".zip" else store
    try:
        return xr.open_zarr(place, consolidated=False, chunks=None, mask_and_scale=False, decode_times=False)
    except Exception as error:
        if isinstance(store, str):
            raise urls.problem(store, error) from error
        raise StoreError(
            f"{store} cannot be read ({type(error).__name__}: {error}); `neq doctor` says what is wrong"
        ) from error


def _wanted(raw: xr.Dataset, header: dict[str, Any], variables: Sequence[str] | None, store: Path | str) -> list[str]:
    """Return the names of the variables to keep: the study's in its own order, then the engine's."""
    study = [output["name"] for output in header.get("outputs", []) if output["name"] in raw]
    known = list(dict.fromkeys([*study, *(name for name in ENGINE_VARIABLES if name in raw), *map(str, raw.data_vars)]))
    if unknown := sorted(set(variables or ()) - set(known)):
        raise StoreError(f"{store} has no variable {', '.join(unknown)}; it has {', '.join(known)}")
    return [name for name in known if variables is None or name in variables or name in ("status", "quality")]


def _load(dataset: xr.Dataset, name: str, store: Path | str) -> xr.DataArray:
    """Read one variable whole."""
    with contextlib.suppress(Exception):
        values = read_array(store / name) if isinstance(store, Path) else None
        if values is not None and values.shape == dataset[name].shape:
            return dataset[name].copy(data=values)
    try:
        return dataset[name].load()
    # a damaged chunk shows itself as whatever its codec raises
    except Exception as error:
        if isinstance(store, str) and urls.is_away(error):
            raise urls.problem(store, error) from error
        text = " ".join(str(error).split())[:200]
        raise ChunkError(
            f"Variable {name} of {store} is damaged ({text}): `neq doctor` finds the chunk and mends it.", variable=name
        ) from error


def _natural(label: Any) -> tuple:
    """Sort key in which s2 comes before s10."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", str(label)) if part
    )


def _order(labels: np.ndarray, axis: str) -> list[int]:
    """Return the positions of the labels in ascending order."""
    if labels.dtype.kind in "iuf":
        values = [np.inf if axis == "size" and label == 0 else label for label in labels.tolist()]
        return sorted(range(len(values)), key=values.__getitem__)
    return sorted(range(len(labels)), key=lambda i: (labels[i] != "none", _natural(labels[i])))


def _decode_status(codes: xr.DataArray) -> xr.DataArray:
    """Turn status codes into their names."""
    meanings = str(codes.attrs.get("flag_meanings", " ".join(STATUS_NAMES))).split()
    values = np.atleast_1d(codes.attrs.get("flag_values", np.arange(len(meanings)))).tolist()
    names = np.full(max(256, max(values) + 1), "unknown", dtype=f"U{max(7, *map(len, meanings))}")
    names[values] = meanings
    attrs = {key: value for key, value in codes.attrs.items() if not key.startswith("flag_")}
    return xr.DataArray(names[codes.values], dims=codes.dims, coords=codes.coords, attrs=attrs)


def _mask(array: xr.DataArray, status: xr.DataArray, engine: bool) -> xr.DataArray:
    """Blank what is not a result: numbers of the study unless ok, text of a cell that is pending or not needed."""
    if array.dtype.kind in "biuf":
        if engine:
            return array
        values = np.where(status.values == "ok", array.values.astype(float), np.nan)
    else:
        values = np.where(np.isin(status.values, ("pending", "not_needed")), "", array.values.astype(object))
    return array.copy(data=values)


def _quality_text(quality: xr.DataArray) -> xr.DataArray:
    """Spell out the bits of the quality field."""
    # only what occurs is spelt out: every cell takes as much memory as the longest text
    codes = np.arange(256) * (np.bincount(quality.values.ravel(), minlength=256) > 0)
    words = [", ".join(name for name, bit in QUALITY_FLAGS.items() if code & bit) for code in codes]
    text = np.array(words)[quality.values]
    return quality.copy(data=text).assign_attrs(long_name="reasons to doubt the value, spelt out")


def _label(dataset: xr.Dataset, header: dict[str, Any]) -> xr.Dataset:
    """Add the readable coordinates and the attributes that say what this run is."""
    text = [axis for axis in dataset["status"].dims if dataset[axis].dtype.kind in "TO"]
    plain = {axis: (axis, np.array(dataset[axis].values.tolist(), dtype=str), dataset[axis].attrs) for axis in text}
    dataset = dataset.assign_coords(plain)
    if "quality" in dataset:
        dataset["quality_flags"] = _quality_text(dataset["quality"])
    if "size" in dataset.coords:
        words = ["all" if label == 0 else str(label) for label in dataset["size"].values.tolist()]
        dataset = dataset.assign_coords(size_label=("size", np.array(words, dtype=str)))
    if "session" in dataset.dims and "subject" not in dataset.dims:
        dataset = dataset.assign_coords(subject=_subjects(dataset["session"], header))
    dataset.attrs = {
        "run": str(header["run"]),
        "study": str(header.get("study", "")),
        "study_version": header.get("study_version", ""),
        "settings_hash": str(header.get("settings_hash", "")),
        "cells_ok": f"{int((dataset['status'] == 'ok').sum())} of {dataset['status'].size}",
        "settings": json.dumps(header.get("settings", {})),
        "config": json.dumps(header.get("config", {})),
    }
    return dataset


def _subjects(session: xr.DataArray, header: dict[str, Any]) -> tuple[str, np.ndarray, dict[str, str]]:
    """Return the coordinate that names the animals, as they were known when the spikes were prepared."""
    facts = [(one["labels"].get("session"), one["facts"]) for one in header.get("prepared", [])]
    known = {name: str(fact["subject"]) for name, fact in facts if fact.get("subject")}
    names = np.array([known.get(name, "") for name in session.values.tolist()], dtype=str)
    return "session", names, {"long_name": "animal of the session", "comment": "empty: unknown"}
