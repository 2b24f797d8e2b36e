"""Every kernel that the cells of a study need, compiled before the first cell: run as a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import neq
from workflows import studies
from workflows.blocks import cells
from workflows.grid import Grid
from workflows.studies.base import Study

if TYPE_CHECKING:
    import distributed


def share(client: distributed.Client, study: Study, tell: Callable[[str], Any] = lambda text: None) -> None:
    """Hand the compiled kernels of a study to all workers; see :func:`cluster.kernels.share`."""
    from cluster import kernels

    if study.warm_up():
        kernels.share(client, command(study), Path(neq.__file__).parent, tell)


def command(study: Study) -> list[str]:
    """Return the arguments of python that compile the kernels of a study."""
    configs = [{"study": study.config.study, **config} for config in study.warm_up()]
    return ["-m", "workflows.warm_up", *map(json.dumps, configs)]


def compute_all(study: Study) -> None:
    """Prepare all sources of a study in a folder of no account and compute all its cells."""
    grid = Grid(study.axes())
    with tempfile.TemporaryDirectory() as folder, cells.quiet():
        prepared = [study.ingest(source, Path(folder)) for source in study.sources()]
        for cell in (grid.cell(index) for index in np.ndindex(grid.shape)):
            of_cell = next((one for one in prepared if one.labels.items() <= cell.items()), None)
            study.compute(cell, study.open_inputs(cell, of_cell, Path(folder)))


def main() -> None:
    """Compute the configs, each as JSON, that are the arguments of the command."""
    for text in sys.argv[1:]:
        config = json.loads(text)
        made = studies.study_class(config["study"])
        compute_all(made(made.Config.model_validate(config)))


if __name__ == "__main__":
    main()
