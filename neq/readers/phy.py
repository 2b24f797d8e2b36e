"""Read a phy / Kilosort folder: spike samples, their clusters, and the tables that the curation left."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neq.errors import RecordingError
from neq.kernels.binning import group_by_unit, offsets_of
from neq.spikes.recording import Recording, SpikeTrains, unit_table

from .options import ReaderOptions, checked

ARRAYS = ("spike_times.npy", "spike_clusters.npy")


class Options(ReaderOptions, frozen=True):
    """Options of the reader ``phy``."""

    groups: list[str] | None = None
    """Keep the clusters of these groups only, e.g. ``[good]``; the curated ``group`` counts, else ``KSLabel``."""
    area: str | dict[int, str] | None = None
    """Column of the cluster tables that holds the area, or cluster id -> area."""


def read(path: Path, session: str, **options: Any) -> Recording:
    """Read a phy / Kilosort folder.

    ``params.py`` gives the sampling rate (it is parsed, never run), ``spike_times.npy`` the samples and
    ``spike_clusters.npy`` the cluster of each; every ``cluster_*.tsv`` adds its columns to the unit table.

    Parameters
    ----------
    path, session
        The folder, and the name to give it.
    **options
        See :class:`Options`.

    Raises
    ------
    RecordingError
        The folder does not hold what is needed.
    """
    wanted = checked(Options, options, "phy")
    rate = _sample_rate(path / "params.py")
    samples, clusters = (_array(path / name) for name in ARRAYS)
    if samples.shape != clusters.shape:
        raise RecordingError(
            f"Folder {str(path)!r} has {samples.size} spike times but {clusters.size} clusters; export it again."
        )
    tables = sorted(path.glob("cluster_*.tsv"))
    info = _cluster_info(tables, np.unique(clusters))
    if wanted.groups is not None:
        info = _in_groups(info, wanted.groups, path)
    trains = _trains(samples, clusters, info.index.to_numpy(), rate)
    files = ["params.py", *ARRAYS, *(table.name for table in tables)]
    units = _units(info, wanted, path)
    return Recording(
        session=session,
        units=units,
        spike_times=trains,
        epochs=wanted.epoch_table(session, units, trains),
        source={"kind": "phy", "path": str(path), "files": files, "options": wanted.plain()},
        duration=wanted.duration,
    )


def _sample_rate(params: Path) -> float:
    """Return ``sample_rate`` of params.py, which is parsed as assignments of constants."""
    try:
        statements = ast.parse(params.read_text()).body
    except FileNotFoundError as error:
        raise RecordingError(f"{str(params)!r} does not exist; a phy folder needs it for the sampling rate.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise RecordingError(f"{str(params)!r} cannot be read ({error}); it should assign sample_rate.") from error
    for statement in statements:
        if not isinstance(statement, ast.Assign):
            continue
        if not any(isinstance(target, ast.Name) and target.id == "sample_rate" for target in statement.targets):
            continue
        try:
            rate = float(ast.literal_eval(statement.value))
        except (ValueError, TypeError):
            rate = float("nan")
        if np.isfinite(rate) and rate > 0:
            return rate
        raise RecordingError(f"sample_rate in {str(params)!r} must be a positive number, found other; write it there.")
    raise RecordingError(f"{str(params)!r} does not assign sample_rate; add the sampling rate in Hz.")


def _array(path: Path) -> np.ndarray:
    """Return a vector of integers, mapped from the file."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise RecordingError(f"{str(path)!r} does not exist; a phy folder needs it.") from error
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(f"{str(path)!r} is not a readable npy file ({error}); export it again.") from error
    if values.dtype.kind not in "iu" or values.min(initial=0) < 0:
        raise RecordingError(
            f"{str(path)!r} must hold integers from 0 on, found other {values.dtype}; export it again."
        )
    return values.reshape(-1)


def _cluster_info(tables: list[Path], present: np.ndarray) -> pd.DataFrame:
    """Return the columns of all tables for every cluster that has spikes or a row (index ``cluster_id``)."""
    info = pd.DataFrame(index=pd.Index(present.astype(np.int64), name="cluster_id"))
    for table in tables:
        try:
            frame = pd.read_csv(table, sep="\t")
        except (OSError, ValueError) as error:
            raise RecordingError(f"{str(table)!r} is not a readable table ({error}); export it again.") from error
        key = "cluster_id" if "cluster_id" in frame else "id"
        if key not in frame:
            raise RecordingError(
                f"{str(table)!r} has no column cluster_id, found {', '.join(map(str, frame.columns))}."
            )
        frame = frame.set_index(key)
        if not frame.index.is_unique:
            raise RecordingError(
                f"{str(table)!r} has cluster {frame.index[frame.index.duplicated()][0]} twice; mend it."
            )
        # cluster_info.tsv repeats the columns of the other tables; the first that has an entry counts.
        info = info.combine_first(frame) if set(frame.columns) & set(info.columns) else info.join(frame, how="outer")
    return info.sort_index()


def _in_groups(info: pd.DataFrame, groups: list[str], path: Path) -> pd.DataFrame:
    labels = [info[name] for name in ("group", "KSLabel") if name in info]
    if not labels:
        raise RecordingError(f"Folder {str(path)!r} has no cluster groups; leave the option groups out.")
    label = labels[0] if len(labels) == 1 else labels[0].fillna(labels[1])
    chosen = info[label.isin(groups)]
    if chosen.empty:
        found = ", ".join(sorted(map(str, label.dropna().unique()))) or "none"
        raise RecordingError(f"No cluster of {str(path)!r} is in the groups {', '.join(groups)}; there are {found}.")
    return chosen


def _trains(samples: np.ndarray, clusters: np.ndarray, ids: np.ndarray, rate: float) -> SpikeTrains:
    """Return the samples of the clusters ``ids``, grouped in two passes without sorting."""
    row = np.full(int(max(ids.max(initial=-1), clusters.max(initial=-1))) + 1, -1, dtype=np.int32)
    row[ids] = np.arange(len(ids))
    labels = row[clusters]
    offsets = offsets_of(labels, len(ids))
    flat = np.empty(offsets[-1], dtype=np.int64)
    group_by_unit(samples, labels, offsets[:-1].copy(), flat)
    return SpikeTrains(flat, offsets, rate=rate)


def _units(info: pd.DataFrame, options: Options, path: Path) -> pd.DataFrame:
    area: list[Any] | None = None
    if isinstance(options.area, dict):
        area = [options.area.get(int(cluster), "") for cluster in info.index]
    elif options.area is not None:
        if options.area not in info:
            raise RecordingError(
                f"The cluster tables of {str(path)!r} have no column {options.area!r}; "
                f"they have {', '.join(map(str, info.columns)) or 'none'}."
            )
        area = info[options.area].tolist()
    kept = [name for name in info.columns if name not in ("area", options.area)]
    return unit_table(info.index.tolist(), area, {name: info[name].to_numpy() for name in kept})
