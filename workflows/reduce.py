"""From the store to a summary, its tables and the figures; every file appears whole or not at all."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from neq import figures as drawing
from neq.figures import style
from neq.runs import open_run
from workflows import store
from workflows.grid import stored_label
from workflows.staging import write_whole
from workflows.studies.base import Study

FOLDER = "figures"
INDEX = "figures.json"
"""What this module wrote last time: figure names with their captions, and the tables."""
NO_RESULT = "no_result"

METADATA = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
"""Nothing in a file that changes from one drawing of the same data to the next."""


@dataclass(frozen=True)
class Reduced:
    """A run, its summary (empty while no cell is ok) and its figures by name."""

    dataset: xr.Dataset
    summary: xr.Dataset
    figures: dict[str, Figure]


def make_figures(run_folder: str | Path, study: Study) -> list[Path]:
    """Reduce a run, and write its figures (PDF and PNG) and the tables behind them (CSV).

    Parameters
    ----------
    run_folder
        A run, finished or not.
    study
        Its study.

    Returns
    -------
    list of Path
        What was written into ``figures/``; files of an earlier call that are no longer made are removed. Where no
        cell is ok, a figure ``no_result`` says what became of them.
    """
    return write(run_folder, reduce_run(run_folder, study))


def reduce_run(run_folder: str | Path, study: Study) -> Reduced:
    """Open a run, summarise what its config names and draw the figures; writes nothing."""
    dataset = in_config(open_run(run_folder), study)
    if not bool((dataset["status"] == "ok").any()):
        return Reduced(dataset, xr.Dataset(), {NO_RESULT: drawing.message("No result yet", _states(dataset))})
    summary = study.reduce(dataset)
    return Reduced(dataset, summary, study.figures(dataset, summary))


def in_config(dataset: xr.Dataset, study: Study) -> xr.Dataset:
    """Return the part of a run whose labels the study's config names; a store keeps those of earlier configs too."""
    chosen = {}
    for axis in study.axes():
        wanted = {stored_label(axis.name, label) for label in axis.labels}
        chosen[axis.name] = [i for i, label in enumerate(dataset[axis.name].values.tolist()) if label in wanted]
    return dataset.isel(chosen)


def write(run_folder: str | Path, reduced: Reduced) -> list[Path]:
    """Write the figures and tables of a reduced run into its ``figures/``."""
    folder = Path(run_folder) / FOLDER
    with store.problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            f"{name}.csv": frame.to_csv(index=False).encode() for name, frame in tables(reduced.summary).items()
        }
        for name, figure in reduced.figures.items():
            contents |= {f"{name}.{kind}": render(figure, kind) for kind in ("pdf", "png")}
        index = {
            "figures": {name: figure.get_label() for name, figure in reduced.figures.items()},
            "files": sorted(contents),
        }
        for name in _earlier(folder) - set(contents):
            (folder / name).unlink(missing_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content)
        write_whole(folder / INDEX, json.dumps(index, indent=2, ensure_ascii=False).encode())
    return [folder / name for name in contents]


def render(figure: Figure, kind: str) -> bytes:
    """Return a figure as the bytes of a ``"pdf"`` or ``"png"`` file; the same figure gives the same bytes.

    Examples
    --------
    >>> render(drawing.message("a", "b"), "png")[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style.RC)
        figure.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()


def tables(summary: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Return one tidy table per set of dimensions: a row per point, a column per variable.

    Parameters
    ----------
    summary
        What the study's ``reduce`` returned.

    Returns
    -------
    dict
        ``summary`` for the dimensions of the first variable, ``summary-<dimensions>`` for the others.

    Examples
    --------
    >>> point = xr.Dataset({"ep": ("size", [0.5, 0.7])}, coords={"size": [10, 20]})
    >>> tables(point)["summary"].to_dict("list")
    {'size': [10, 20], 'ep': [0.5, 0.7]}
    """
    by_dims = sorted(
        ((array.dims, str(name)) for name, array in summary.data_vars.items()), key=lambda pair: str(pair[0])
    )
    names = {dims: [name for _, name in group] for dims, group in groupby(by_dims, key=lambda pair: pair[0])}
    first = next(iter(summary.data_vars.values())).dims if summary.data_vars else ()
    found = {}
    for dims, group in names.items():
        if not dims:
            continue
        title = "summary" if dims == first else "summary-" + "-".join(map(str, dims))
        ordered = [str(name) for name in summary.data_vars if name in group]
        found[title] = summary[ordered].to_dataframe(dim_order=list(dims)).reset_index()
    return found


def _states(dataset: xr.Dataset) -> str:
    """Say what became of the cells where none is ok, with the commonest reason."""
    status = pd.Series(dataset["status"].values.ravel())
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in status.value_counts().items())
    text = f"none of {status.size} cells has a result: {counts}" if status.size else "this run has no cells"
    messages = dataset["error"].values.ravel() if "error" in dataset else []
    first = Counter(str(message).partition("\n")[0] for message in messages if message).most_common(1)
    return f"{text}. Most often: {first[0][0][:200]}" if first else text


def _earlier(folder: Path) -> set[str]:
    """Return the names of the files that an earlier call wrote."""
    try:
        names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["files"]
        return {name for name in names if Path(name).name == name}  # never a path out of this folder
    except (OSError, ValueError, KeyError, TypeError):
        return set()
