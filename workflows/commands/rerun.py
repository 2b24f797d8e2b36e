"""Chosen cells of a run made pending again, then what `neq run` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from neq.errors import ConfigError
from workflows import engine, layout
from workflows.blocks import reset
from workflows.commands import pipeline, where
from workflows.lease import Lease
from workflows.progress import say
from workflows.run_folder import load_run
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Study

MAY_CHANGE = ("cluster", "sweep.deaths")
"""Keys that say how cells are computed and never what comes out of them."""


def rerun(
    run_folder: Path,
    console: Console,
    failed: bool = False,
    expression: str | None = None,
    overrides: list[str] | tuple[str, ...] = (),
) -> pipeline.Outcome:
    """Compute chosen cells of a run again, by the config that the run keeps.

    Parameters
    ----------
    run_folder
        The run.
    console
        Where progress and the summary go.
    failed
        Choose the failed cells.
    expression
        Choose the cells for which it holds; with ``failed`` those for which both hold.
    overrides
        ``cluster.KEY=VALUE`` and ``sweep.deaths=N``.

    Raises
    ------
    neq.errors.ConfigError
        Nothing says which cells, or ``overrides`` would mix two studies.
    """
    if not failed and expression is None:
        raise ConfigError("Say which cells: --failed, or --where \"status == 'failed' and size > 20\".")
    refuse_mixing(overrides)
    config = load_run(run_folder, overrides)
    chosen = choose(Store.open(run_folder / STORE_NAME), failed, expression)
    if not chosen.any():
        say(console, f"No cell of {run_folder} is chosen: nothing to do.")

    def prepare(opened: Store, study: Study, lease: Lease) -> None:
        mask = _in_config(opened, study, _fitted(chosen, opened.shape), console)
        say(console, f"computing {reset.reset_cells(opened, mask, lease)} cells again")

    return pipeline.run(config, console, prepare if chosen.any() else None)


def choose(opened: Store, failed: bool, expression: str | None) -> np.ndarray:
    """Return the chosen cells (bool, grid); a choice by labels alone reads no variable, so it works on damaged ones."""
    mask = where.cells(opened, expression) if expression is not None else np.ones(opened.shape, bool)
    return mask & (opened.status() == layout.FAILED) if failed else mask


def refuse_mixing(overrides: list[str] | tuple[str, ...]) -> None:
    """Raise where an override could change a cell's number.

    Examples
    --------
    >>> refuse_mixing(["cluster.workers=2"])
    >>> refuse_mixing(["seed=2"])
    Traceback (most recent call last):
    neq.errors.ConfigError: rerun --set seed=2 would mix two studies in one store...
    """
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key not in MAY_CHANGE and not key.startswith("cluster."):
            raise ConfigError(
                f"rerun --set {text} would mix two studies in one store: only cluster keys and sweep.deaths "
                "may change. For other settings give `neq run` a config with its own results folder."
            )


def _fitted(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask on a store that has grown since: axes grow at their ends only."""
    return np.pad(mask, [(0, new - old) for old, new in zip(mask.shape, shape, strict=True)])


def _in_config(opened: Store, study: Study, mask: np.ndarray, console: Console) -> np.ndarray:
    """Leave out cells whose labels are no longer in the config: nobody would compute them."""
    wanted = mask & engine.wanted_cells(opened, study)
    if (left := int(mask.sum() - wanted.sum())) > 0:
        say(console, f"{left} chosen cells have labels that the config leaves out: they stay as they are")
    return wanted
