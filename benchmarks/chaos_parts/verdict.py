"""Every cell of a sweep against the truth, computed here without engine, workers or SLURM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workflows import layout
from workflows.blocks import cells
from workflows.blocks.task import WORKER_LOST
from workflows.store import Store
from workflows.studies.base import Study


@dataclass(frozen=True)
class Verdict:
    """How the cells of a sweep ended.

    Parameters
    ----------
    status
        Number of cells by status.
    lost
        Cells that have no value though they should, with the reason.
    wrong
        Cells that have another value than the truth, with the variable.
    starts
        Number of cells by how often they were started.
    """

    status: dict[str, int]
    lost: dict[str, str]
    wrong: dict[str, str]
    starts: dict[int, int]

    @property
    def good(self) -> bool:
        """Whether nothing is lost and nothing wrong."""
        return not (self.lost or self.wrong)


def judge(store: Store, healthy: Study, deadly: str) -> Verdict:
    """Compare all cells with the truth, bit by bit.

    Parameters
    ----------
    healthy
        The study without the faults that its config may have.
    deadly
        The one cell that kills its worker, as a path of labels: it has to fail, as a lost worker.
    """
    found = {name: store.read(name) for name in (*store.study_outputs, *BESIDE)}
    lost: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for place in np.ndindex(store.shape):
        cell = store.grid.cell(place)
        name = "/".join(str(label) for label in cell.values())
        cell_found = {key: values[place] for key, values in found.items()}
        if name == deadly:
            if (cell_found["status"], cell_found["error_type"]) != (layout.FAILED, WORKER_LOST):
                wrong[name] = "it killed its workers and is not failed"
        elif cell_found["status"] != layout.OK:
            state = layout.STATUS_NAMES[cell_found["status"]]
            lost[name] = f"{state}: {cell_found['error'].partition(chr(10))[0]}"
        elif differs := _difference(cell_found, _truth(store, healthy, cell)):
            wrong[name] = differs
    status = Counter(layout.STATUS_NAMES[code] for code in found["status"].ravel())
    starts = Counter(int(n) for n in store.read("attempts").ravel())
    return Verdict(dict(status), lost, wrong, dict(sorted(starts.items())))


BESIDE = ("status", "quality", "error_type", "error")
"""What belongs to the bits of a cell beside the variables of its study."""


def _truth(store: Store, study: Study, cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the store has to hold of a cell, lists padded as there."""
    record = cells.run_cell(study, cell, None, Path(), store.study_outputs, store.dimensions)
    truth = {"error_type": "", "error": "", **record}
    for name, output in store.study_outputs.items():
        if output.dims:
            whole = np.full([store.dimensions[dim] for dim in output.dims], layout.fill_value(output))
            whole[tuple(slice(0, n) for n in np.shape(truth[name]))] = truth[name]
            truth[name] = whole
    return truth


def _difference(found: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    """Return the first variable in which a cell differs from the truth, empty where it does not."""
    for name, value in found.items():
        same = (
            value == truth[name]
            if isinstance(value, str)
            else np.asarray(value).tobytes() == np.asarray(truth[name], np.asarray(value).dtype).tobytes()
        )
        if not same:
            return f"{name} is {value!r}, not {truth[name]!r}"
    return ""
