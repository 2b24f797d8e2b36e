"""The sources of an array, prepared by its first job: each in a process that may die without the job."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.ends import UNKNOWN
from workflows import config as run_config
from workflows.blocks import task
from workflows.studies.base import Prepared, Source, Study


def ingest(run_folder: Path, study: Study) -> list[Prepared]:
    """Prepare the sources of a study one after another; one that kills its process again and again has an error."""
    pool = _pool()
    science, prepared = run_config.science(study.config), []
    try:
        for source in study.sources():
            for _ in range(study.config.sweep.deaths):
                try:
                    prepared.append(_prepared(pool, run_folder, science, source))
                    break
                except BrokenProcessPool:
                    pool = _pool()
            else:
                error = f"its process died while it read this source: {UNKNOWN}"
                prepared.append(Prepared(source.labels, error_type=task.WORKER_LOST, error=error))
    finally:
        pool.shutdown(cancel_futures=True)
    return prepared


def _pool() -> ProcessPoolExecutor:
    # not forked: what reads recordings may have threads
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def _prepared(pool: ProcessPoolExecutor, folder: Path, science: Mapping[str, Any], source: Source) -> Prepared:
    return Prepared(**pool.submit(task.run_ingest, str(folder), science, asdict(source)).result())
