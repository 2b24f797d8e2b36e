"""Binned spikes on disk: one zarr store per session, source and binning, written once and whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from neq.errors import StoreError
from neq.spikes.binning import BinnedSpikes, bin_sparse
from neq.spikes.recording import Recording
from neq.variables import SPIKES_VARIABLES
from workflows import content, staging
from workflows.store import consolidate

FORMAT = 2
"""Raised when the layout of the store or the meaning of what is in it changes."""

CHUNK_BYTES = 1 << 24
"""Size of a chunk of the boolean matrix before compression; a block of it is all that is dense in memory at a time."""

CODEC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=1)
"""The fastest to write of those measured on sparse booleans (900 MB/s, 4 % of the size; zstd: 690 MB/s, 2.5 %)."""

CHECKSUM = Crc32cCodec()
"""Blosc trusts the length in its header: without a checksum a chunk cut short may decode to something."""


@dataclass(frozen=True)
class WrittenSpikes:
    """What :func:`write_spikes` left.

    Parameters
    ----------
    path
        Name of the store in its folder.
    content
        Hash of everything in it that a number may depend on, whatever its chunks.
    facts
        ``n_unit``, ``n_bin``, ``n_segment``, ``n_spike``, ``spikes_lost`` (spikes that found their bin taken),
        ``conditions`` (name -> number of bins), ``subject`` (the animal, "" where it is not known) and ``files`` (path
        -> size, time of change and hash of what was read; of this call, not kept in the store of spikes).
    """

    path: str
    content: str
    facts: dict[str, Any]


def spikes_name(session: str, source: Mapping[str, Any], bin_size: float) -> str:
    """Return the name of the store of one session, source and binning.

    Parameters
    ----------
    session
        Name of the session.
    source
        ``kind``, ``options`` and ``content`` of the recording's source; where it lies does not matter.
    bin_size
        Width of a bin (s).

    Examples
    --------
    >>> spikes_name("s 1", {"kind": "arrays", "path": "s1.npz", "content": "abc"}, 0.01)
    's_1-....zarr'
    """
    made_from = {name: source.get(name) for name in ("kind", "options", "content")}
    key = content.of_json({"format": FORMAT, "session": session, "bin_size": float(bin_size), **made_from})
    return f"{_label(session)}-{key[:16]}.zarr"


def find_spikes(session: str, asked: str, path: str | None, folder: Path) -> WrittenSpikes | None:
    """Return what :func:`write_spikes` left for the same ``asked``, without reading the source; None: to be read.

    Only of a source ``path`` that is the one file it was made from (what a cache folder names may be another one by
    now), and has the bytes that it had.

    Raises
    ------
    RecordingError
        The file cannot be read.
    """
    if path is None or not (file := Path(path).absolute()).is_file():
        return None
    for store in folder.glob(f"{_label(session)}-*.zarr"):
        if (found := _finished(store)) is None:
            continue
        source = json.loads(zarr.open_group(store, mode="r").attrs["source"])
        if source.get("asked") != asked or source.get("path") != path:
            continue
        known = source.get("stamps", {}).get(str(file), {})
        # not by way of the cache alone, of which an ingest beside this one may lose an entry
        stamp = known if content.still_is(file, known) else content.stamped(file, folder / "sources.json")
        if stamp["content"] == source["content"]:
            return replace(found, facts={**found.facts, "files": {str(file): stamp}})
    return None


def write_spikes(
    recording: Recording, bin_size: float, folder: Path, asked: str = "", seen: content.Identities | None = None
) -> WrittenSpikes:
    """Bin a recording and store it in ``folder``; of a store that is there, only mend what it says of itself.

    The matrix is made and written a block of bins at a time. The store appears under its name only when it is whole, so
    a process killed in the midst leaves nothing that could be taken for it.

    Parameters
    ----------
    recording, bin_size, folder
        What to bin, the width of a bin (s), and where to.
    asked
        What the recording was asked for with, by which :func:`find_spikes` knows it; "": it shall not.
    seen
        :func:`workflows.content.identities` of the source before it was read: one that is replaced from then on until
        its spikes are binned is refused. None: as it is now.

    Raises
    ------
    RecordingError
        The recording or the bin size is not usable, or its source changes meanwhile.
    StoreError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging.sweep(folder)
    except OSError as error:
        raise _unwritable(recording.session, folder, error) from error
    cache = folder / "sources.json"
    now = content.identities(recording.source.get("path"))
    files = content.files_of(recording, cache)
    source = {**recording.source, "content": content.of_source(recording, cache), "asked": asked, "stamps": files}
    final = folder / spikes_name(recording.session, source, bin_size)
    found = _finished(final)
    binned = bin_sparse(recording, bin_size) if found is None else None
    content.refuse_changed({path: known for path, known in {**now, **(seen or {})}.items() if path in files})
    try:
        if binned is not None:
            with staging.staged(final) as part:
                _write(binned, source, part)
        else:
            # no number depends on these: a store whose animal had another name, or its source another place, is kept
            _note(final, {"subject": recording.subject, "source": json.dumps(source, sort_keys=True)})
    except OSError as error:
        raise _unwritable(recording.session, folder, error) from error
    found = found or _finished(final)
    if found is None:
        raise StoreError(f"{str(final)!r} is damaged; delete it and run again.")
    return replace(found, facts={**found.facts, "subject": recording.subject, "files": files})


def _label(session: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", session)


def _note(path: Path, notes: Mapping[str, str]) -> None:
    """Bring attributes of a finished store up to date; one that has them already is not touched."""
    attrs = zarr.open_group(path, mode="r+").attrs
    if any(attrs.get(name) != text for name, text in notes.items()):
        attrs.update(notes)


def _unwritable(session: str, folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The spikes of session {session!r} cannot be stored in {str(folder)!r} ({error.strerror or error}); "
        "make room there or choose another results folder."
    )


def open_spikes(path: str | Path, lazy: bool = False) -> xr.Dataset:
    """Open a store that :func:`write_spikes` made.

    Parameters
    ----------
    path
        The store.
    lazy
        True: values are read when they are used. False: everything is in memory on return.

    Returns
    -------
    xarray.Dataset
        As :func:`neq.bin_spikes` returns it.

    Raises
    ------
    StoreError
        There is no finished store.
    """
    if _finished(Path(path)) is None:
        raise StoreError(f"Expected a finished store of spikes at {str(path)!r}, found none; run the sweep to make it.")
    dataset = xr.open_zarr(path, chunks=None, consolidated=False, decode_times=False)
    return dataset if lazy else dataset.load()


def check_spikes(path: str | Path) -> bool:
    """Return whether a store still holds what was written; reads all of it, a chunk at a time.

    Raises
    ------
    StoreError
        There is no finished store.
    """
    dataset = open_spikes(path, lazy=True)
    n_bin, n_unit = dataset["spikes"].shape
    step = _rows(n_bin, n_unit)
    try:
        digest = content.of_table(dataset.drop_vars("spikes"), dataset.attrs["bin_size"])
        for first in range(0, n_bin, step):
            content.add_block(digest, first, dataset["spikes"][first : first + step].values, n_unit)
    except (OSError, RuntimeError, ValueError):  # what zarr and its codecs raise on a chunk that cannot be decoded
        return False
    return bool(digest.hexdigest() == dataset.attrs["content"])


def _write(binned: BinnedSpikes, source: Mapping[str, Any], part: Path) -> None:
    """Write the whole store at ``part``, the attributes that make it a finished one last."""
    table, n_bin, n_unit = binned.table(), binned.grid.n_bin, len(binned.spike_count)
    table.attrs["source"] = json.dumps(source, sort_keys=True)
    small = {"compressors": (ZstdCodec(level=1), CHECKSUM)}
    encoding = {str(name): {"chunks": array.shape, **small} for name, array in table.variables.items()}
    table.to_zarr(part, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(part, mode="r+")
    step = _rows(n_bin, n_unit)
    coordinates = [str(name) for name in table.coords if name not in table.dims]
    array = group.create_array(
        "spikes",
        shape=(n_bin, n_unit),
        chunks=(step, n_unit),
        dtype=bool,
        compressors=[CODEC, CHECKSUM],
        dimension_names=("bin", "unit"),
        attributes={**SPIKES_VARIABLES["spikes"].attrs, "coordinates": " ".join(coordinates)},
        # A chunk that is missing must mean damage, not silence.
        config={"write_empty_chunks": True},
    )
    digest = content.of_table(table, binned.grid.bin_size)
    for first, block in binned.blocks(step):
        array[first : first + len(block)] = block
        content.add_block(digest, first, block, n_unit)
    group.attrs.update({"format": FORMAT, "content": digest.hexdigest(), "facts": json.dumps(_facts(binned))})
    consolidate(part)


def _facts(binned: BinnedSpikes) -> dict[str, Any]:
    grid, n_spike = binned.grid, int(binned.spike_count.sum())
    return {
        "n_unit": len(binned.spike_count),
        "n_bin": grid.n_bin,
        "n_segment": int(grid.segment[-1]) + 1,
        "n_spike": n_spike,
        "spikes_lost": n_spike - len(binned.rows),
        "conditions": dict(zip(grid.condition, grid.condition_mask.sum(axis=1).tolist(), strict=True)),
    }


def _finished(path: Path) -> WrittenSpikes | None:
    """Return what a finished store says of itself, None where there is none."""
    try:
        attrs = json.loads((path / "zarr.json").read_text())["attributes"]
        if attrs["format"] != FORMAT:
            return None
        facts = json.loads(attrs["facts"]) | {"subject": attrs.get("subject", "")}
        return WrittenSpikes(path.name, attrs["content"], facts)
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError):
        return None


def _rows(n_bin: int, n_unit: int) -> int:
    """Return the number of bins in a chunk: a multiple of eight, which the bit shuffle wants."""
    return min(max(8, CHUNK_BYTES // n_unit // 8 * 8), -(-n_bin // 8) * 8)
