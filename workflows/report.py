"""One HTML page that says what a run found, how far it can be trusted, what failed and what it cost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr

from neq import samples
from workflows import provenance, reduce, report_tables, store
from workflows.staging import write_whole
from workflows.studies.base import Study

NAME = "report.html"
TEMPLATE = "report.html.jinja"
N_HEADLINE = 12


def write_report(run_folder: str | Path, study: Study, reduced: reduce.Reduced | None = None) -> Path:
    """Write ``report.html`` of a run, finished or not: one file, nothing fetched from anywhere.

    Parameters
    ----------
    run_folder
        The run.
    study
        Its study.
    reduced
        What :func:`workflows.reduce.reduce_run` returned, where that is known already.

    Returns
    -------
    Path
        The page.
    """
    folder = Path(run_folder)
    page = render(folder, reduced or reduce.reduce_run(folder, study), study.reading)
    with store.problems(folder):
        write_whole(folder / NAME, page.encode())
    return folder / NAME


def render(run_folder: Path, reduced: reduce.Reduced, reading: Sequence[str] = ()) -> str:
    """Return the page as text; ``reading`` stands in place of what holds for pairs of bins."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(context(run_folder, reduced), reading=reading)


def context(run_folder: Path, reduced: reduce.Reduced) -> dict[str, Any]:
    """Return everything that the page shows, as text and plain tables."""
    dataset, summary = reduced.dataset, reduced.summary
    runs = provenance.read(run_folder)
    return {
        "run": dataset.attrs["run"],
        "folder": str(run_folder),
        "attrs": dataset.attrs,
        "states": _states(dataset),
        "headline": headline(summary),
        "sample": samples.of_summary(summary),
        "is_entropy_production": any(name in dataset for name in report_tables.FIRST),
        "has_null": "surrogate" in dataset.dims,
        "told": _told(dataset),
        "figures": [_figure(name, figure) for name, figure in reduced.figures.items()],
        "points": report_tables.points(summary),
        "differences": report_tables.differences(summary),
        "completeness": report_tables.completeness(dataset),
        "problems": report_tables.problems(dataset),
        "sources": _sources(run_folder, dataset),
        "cost": report_tables.cost(dataset),
        "runs": [(run, list(flat(facts)), _performance(run_folder, run)) for run, facts in reversed(runs.items())],
        "config": _config(run_folder, dataset),
    }


def _performance(run_folder: Path, run: str) -> str:
    """Return the address of a run's performance report beside the page; empty where there is none."""
    path = provenance.performance_path(run_folder, run)
    return path.relative_to(run_folder).as_posix() if path.exists() else ""


def _told(dataset: xr.Dataset) -> set[str]:
    """Return what the page must explain: methods beside the usual one, folds, a lag, and what was stored on request."""
    config = json.loads(dataset.attrs.get("config", "{}"))
    options = config.get("estimator", {})
    labels = {name: config.get("axes", {}).get(name, [options.get(name)]) for name in ("method", "cross_fit", "lag")}
    told = {str(name) for name in labels["method"]} & {"mtur", "newton_step"}
    told |= {"cross_fit"} if any(labels["cross_fit"]) else set()
    told |= {"lag"} if any((lag or 1) > 1 for lag in labels["lag"]) else set()
    return told | {name for name in ("contribution", "order_increment", "score") if name in dataset}


def headline(summary: xr.Dataset) -> list[str]:
    """Say the value of each line of the scaling figure at its largest number of units.

    Examples
    --------
    >>> headline(xr.Dataset())
    []
    """
    name = next((name for name in report_tables.FIRST if name in summary), None)
    if name is None or "size" not in summary[name].dims:
        return []
    said = []
    dims = [dim for dim in summary[name].dims if dim != "size"]
    for position in islice(product(*(range(summary.sizes[dim]) for dim in dims)), N_HEADLINE):
        line = summary.isel(dict(zip(dims, position, strict=True)))
        known = np.flatnonzero(np.isfinite(line[name].values))
        if known.size:
            n_unit = line["n_unit"].values[known] if "n_unit" in line else line["size"].values[known]
            at = line.isel(size=int(known[np.argmax(n_unit)]))
            labels = ", ".join(_label(line, str(dim)) for dim in dims) or "all"
            said.append(f"{labels}: {_value(at, name)} at N = {report_tables.number(n_unit.max())}")
    return said


def flat(facts: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested facts as dotted names with text.

    Examples
    --------
    >>> list(flat({"argv": ["neq", "run"], "workers": [{"cpu": "x"}]}))
    [('argv', 'neq run'), ('workers.0.cpu', 'x')]
    """
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{key}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
            yield from flat({f"{key}.{i}": one for i, one in enumerate(value)}, path)
        elif isinstance(value, (list, tuple)):
            yield f"{path}{key}", " ".join(map(str, value))
        else:
            yield f"{path}{key}", str(value)


def _label(line: xr.Dataset, dim: str) -> str:
    """Write a label as a reader understands it: numbers with the name of their axis."""
    label = line[dim].values.item()
    return (label if isinstance(label, str) else f"{dim} {label:g}").replace("_", " ")


def _value(at: xr.Dataset, name: str) -> str:
    """Write a value with its units and what was averaged."""
    units = at[name].attrs.get("units", "")
    return f"{report_tables.plus_minus(at, name)} {units} over {samples.counted(at, name)}"


def _states(dataset: xr.Dataset) -> str:
    """Count the cells by state."""
    status = dataset["status"].values
    counts = {state: int((status == state).sum()) for state in report_tables.STATES}
    others = ", ".join(
        f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count and state != "ok"
    )
    return f"{counts['ok']}/{status.size} cells" + (f", {others}" if others else "")


def _figure(name: str, figure: Any) -> dict[str, str]:
    """Return a figure as a data address with its caption."""
    content = base64.b64encode(reduce.render(figure, "png")).decode()
    width = f"{1.35 * figure.get_size_inches()[0]:.2f}in"
    return {"name": name, "caption": figure.get_label(), "width": width, "data": f"data:image/png;base64,{content}"}


def _sources(run_folder: Path, dataset: xr.Dataset) -> report_tables.Table:
    """Return what ingest left of each source of the dataset: labels, plain facts, content or error."""
    prepared = [
        one
        for one in store.Store.open(run_folder / store.STORE_NAME).prepared
        if all(label in dataset[name].values.tolist() for name, label in one.labels.items())
    ]
    keys = list(dict.fromkeys(key for one in prepared for key, fact in one.facts.items() if _is_plain(fact)))
    rows = [
        (
            ", ".join(map(str, one.labels.values())),
            *(_plain(one.facts.get(key, "–")) for key in keys),
            f"{one.error_type}: {one.error}" if one.error_type else one.content[:16],
        )
        for one in prepared[: report_tables.N_ROW]
    ]
    header = ("source", *(key.replace("_", " ") for key in keys), "content hash or error")
    return report_tables.Table(header if rows else (), tuple(rows), max(0, len(prepared) - report_tables.N_ROW))


def _is_plain(fact: Any) -> bool:
    """Tell whether a fact fits one field of a table."""
    return isinstance(fact, (str, int, float)) or (isinstance(fact, list) and len(str(fact)) < 120)


def _plain(fact: Any) -> str:
    """Write one fact."""
    if isinstance(fact, list):
        return ", ".join(map(str, fact))
    return report_tables.number(fact) if isinstance(fact, (int, float)) else str(fact)


def _config(run_folder: Path, dataset: xr.Dataset) -> str:
    """Return the config of the run, or its science part as the store keeps it."""
    try:
        return (run_folder / "config.yaml").read_text(encoding="utf-8")
    except OSError:
        return json.dumps(json.loads(dataset.attrs["config"]), indent=2, ensure_ascii=False)
