"""What `neq run` does: ingest, sweep, reduce, figures, report. Each stage finds out by itself what is done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from workflows import backend, layout, provenance, stop, studies, warm_up
from workflows import config as run_config
from workflows.attributes import plain
from workflows.blocks import stopping
from workflows.commands import damage, prepare_sources
from workflows.commands.plan import status_on
from workflows.commands.summary_text import Outcome, tell
from workflows.grid import Grid
from workflows.lease import Lease, acquire
from workflows.progress import Meter, say
from workflows.run_folder import is_stale, sources_changed, write_config
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Study

if TYPE_CHECKING:
    import distributed


def run(
    config: run_config.RunConfig,
    console: Console,
    prepare: Callable[[Store, Study, Lease], Any] | None = None,
) -> Outcome:
    """Bring a run to its end, from wherever an earlier one left it.

    Parameters
    ----------
    config
        Its config.
    console
        Where progress and the summary go.
    prepare
        Called with the store, the study and the lease before the sweep (what `neq rerun` needs).
    """
    from workflows.remote import keep

    config = studies.study_class(config.study)(config).resolved()
    with keep.kept(config, console) as may_go_on:
        return _run(config, console, prepare, may_go_on)


def _run(
    config: run_config.RunConfig,
    console: Console,
    prepare: Callable[[Store, Study, Lease], Any] | None,
    may_go_on: Callable[[], None],
) -> Outcome:
    start = time.monotonic()
    study = studies.study_class(config.study)(config)
    folder = config.run_folder
    if config.sweep.stop is not None:
        stop.variable(study)
    if prepare is None and (counts := finished(config, study)) is not None:
        say(console, f"{folder} is finished: nothing left to compute.")
        # what is drawn may have changed though no number has: figures older than the config are made again
        write_config(folder, config)
        outcome = Outcome(folder, counts, 0, 0.0)
    else:
        # asked before anything is made on disk: a config that makes no grid leaves no folder behind
        Grid(study.axes()).block_shape(config.sweep.block)
        with acquire(folder, may_go_on) as lease:
            prepare_sources.take_over(folder)
            counts, computed = _compute(config, study, lease, console, prepare)
        outcome = Outcome(folder, counts, computed, time.monotonic() - start)
    draw(folder, study, console, again=bool(outcome.n_computed))
    tell(outcome, study, console)
    return outcome


def finished(config: run_config.RunConfig, study: Study) -> dict[str, int] | None:
    """Return the counts of a store in which this config has nothing left to do, else None; changes nothing."""
    path = config.run_folder / STORE_NAME
    if not path.exists():
        return None
    old = Store.open(path)
    same = old.attrs["config"] == run_config.science(config) and old.attrs["study_version"] == study.version
    same = same and old.attrs["settings"] == plain(study.settings())
    unusable = any(one.error_type or not (config.run_folder / one.path).exists() for one in old.prepared)
    unreadable = any(True for _ in damage.structure(old))
    if not same or unusable or unreadable or sources_changed(config.run_folder):
        return None
    # a rule that has changed asks for other cells, or masks others
    if np.any(stopping.outlook(old, study, config.sweep.stop) != old.status()):
        return None
    counts = count(status_on(Grid(study.axes()), old))
    return None if counts["pending"] else counts


def count(status: np.ndarray) -> dict[str, int]:
    """Return the number of cells by state.

    Examples
    --------
    >>> count(np.array([0, 1, 1, 2]))
    {'pending': 1, 'ok': 2, 'failed': 1, 'impossible': 0, 'not_needed': 0}
    """
    return {name: int((status == code).sum()) for code, name in enumerate(layout.STATUS_NAMES)}


def draw(run_folder: Path, study: Study, console: Console, again: bool = True) -> None:
    """Make figures and report; with ``again`` False only where they are missing or older than the store."""
    if not again and not is_stale(run_folder):
        return
    from workflows import reduce, report

    say(console, "reduce, figures, report")
    reduced = reduce.reduce_run(run_folder, study)
    reduce.write(run_folder, reduced)
    report.write_report(run_folder, study, reduced)


def _compute(
    config: run_config.RunConfig,
    study: Study,
    lease: Lease,
    console: Console,
    prepare: Callable[[Store, Study, Lease], Any] | None,
) -> tuple[dict[str, int], int]:
    """Ingest and sweep on a cluster, with the run's file written before and after."""
    from workflows import engine
    from workflows.performance import Performance

    folder = config.run_folder
    run = provenance.new_id()
    facts = {**provenance.describe(), "study": config.study, "study_version": study.version, "epoch": lease.epoch}

    with prepare_sources.connected(study, lease, console) as client:
        facts |= {
            "started": provenance.now(),
            "dashboard": client.dashboard_link,
            "workers": _machines(client),
            "memory": backend.memory(client),
        }
        say(console, f"run {run} in {folder}")
        performance = Performance(client, lambda text: say(console, text))
        warm_up.share(client, study, lambda text: say(console, text))
        prepared = prepare_sources.prepare(study, client, lease, console)
        prepare_sources.accept(prepared, study, folder, console)
        opened = engine.prepare_store(folder, study, prepared, lease)
        write_config(folder, config)
        provenance.write(folder, run, {**facts, "settings_hash": opened.attrs["settings_hash"]})
        if prepare is not None:
            prepare(opened, study, lease)
        with Meter(console, "sweep") as meter:
            result = engine.run_sweep(folder, study, config, client, lease, progress=meter, run_id=run)
        performance.keep(provenance.performance_path(folder, run))
        facts["memory"] = backend.memory(client)
    ended = {"ended": provenance.now(), "result": asdict(result), "settings_hash": opened.attrs["settings_hash"]}
    provenance.write(folder, run, {**facts, **ended})
    counts = {name: getattr(result, f"n_{name}") for name in layout.STATUS_NAMES}
    return counts, result.n_computed


def _machines(client: distributed.Client) -> list[dict[str, Any]]:
    """Return the machines of the workers, each kind once."""
    texts = {json.dumps(machine, sort_keys=True) for machine in client.run(provenance.machine).values()}
    return [json.loads(text) for text in sorted(texts)]
