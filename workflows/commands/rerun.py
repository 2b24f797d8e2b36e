"""Chosen cells of a run made pending again, then what `neq run` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from neq.errors import ConfigError, StoreError
from workflows import engine, layout
from workflows.blocks import reset
from workflows.commands import damage, pipeline, where
from workflows.commands.finding import shell
from workflows.lease import Lease
from workflows.progress import say
from workflows.reconcile import usable
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
        now, wanted = _fitted(chosen, opened.shape), engine.wanted_cells(opened, study)
        mask = _with_damaged(opened, now, wanted)
        _refuse_lost_inputs(opened, mask & wanted)
        if n_left := int((now & ~mask).sum()):
            say(console, f"{n_left} chosen cells have labels that the config leaves out: they stay as they are")
        if n_emptied := int((mask & ~wanted).sum()):
            text = f"{n_emptied} cells of damaged blocks have labels that the config leaves out: they are emptied"
            say(console, f"{text}, and stay pending until a config names them")
        reset.reset_cells(opened, mask, lease)
        say(console, f"computing {int((mask & wanted).sum())} cells again")

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


def _with_damaged(opened: Store, chosen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the cells to empty: those chosen that the config names, and with them what else is damaged.

    A block that cannot be read can be mended as a whole only; a cell whose own chunk cannot be read, also outside the
    config.
    """
    mask = chosen & wanted
    for block in opened.blocks.holding(chosen):
        region = opened.blocks.region(block)
        if mask[region].all():
            continue
        if damage.scalars(opened, block):
            mask[region] = True
        else:
            for index in damage.big(opened, block):
                mask[index] |= chosen[index]
    return mask


def _refuse_lost_inputs(opened: Store, mask: np.ndarray) -> None:
    """Raise, before anything is emptied, where cells could not be computed again for want of their recording."""
    for one in opened.prepared:
        if not (mask & reset.cells_of(opened, one)).any() or (not one.error_type and usable(one, opened.path.parent)):
            continue
        labels = ", ".join(f"{name} {label}" for name, label in one.labels.items())
        path = opened.path.parent / one.path
        if one.error_type:
            found = f"its source cannot be read ({one.error}) and its spikes are not whole: put the source back"
        else:
            found = f"its spikes in {path} are damaged: delete them (rm -r {shell(path)}), they are made anew"
        raise StoreError(f"No cell was touched. {labels}: {found}, then give the same command again.")
