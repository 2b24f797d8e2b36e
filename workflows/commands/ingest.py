"""What `neq ingest` does: the first stage of a run alone, told source by source."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from neq.errors import ConfigError
from workflows import config as run_config
from workflows import provenance, studies
from workflows.commands import complaints, prepare_sources
from workflows.lease import Lease, acquire
from workflows.progress import say
from workflows.studies.base import Prepared, Study

DIGITS = 8
"""Of the hash of what is stored: enough to see whether two are the same."""


def ingest(config: run_config.RunConfig, console: Console) -> list[Prepared]:
    """Read, bin and store every recording of a config where that is not done yet, tell, and return what came of each.

    Raises
    ------
    neq.errors.ConfigError
        The study has no recordings.
    neq.errors.LeaseHeldError
        Another driver works on the run folder.
    """
    config = studies.study_class(config.study)(config).resolved()
    study = studies.study_class(config.study)(config)
    if not study.sources():
        raise ConfigError(f"Study {config.study} has no recordings to ingest; expected one such as neural_recordings.")
    with acquire(config.run_folder) as lease:
        prepare_sources.take_over(config.run_folder)
        prepared = _prepare(study, lease, console)
    tell(prepared, console)
    return prepared


def _prepare(study: Study, lease: Lease, console: Console) -> list[Prepared]:
    """Prepare the sources, with the run's file written before and after."""
    folder, run = study.config.run_folder, provenance.new_id()
    facts = {**provenance.describe(), "study": study.config.study, "stage": "ingest", "started": provenance.now()}
    with prepare_sources.connected(study, lease, console) as client:
        say(console, f"ingest {run} in {folder}")
        provenance.write(folder, run, facts)
        prepared = prepare_sources.prepare(study, client, lease, console)
    failed = [complaints.complaint(one) for one in prepared if one.error_type]
    ended = {"ended": provenance.now(), "result": {"n_source": len(prepared), "failed": failed}}
    provenance.write(folder, run, {**facts, **ended})
    return prepared


def tell(prepared: Sequence[Prepared], console: Console) -> None:
    """Print a line for each source: units, bins of each condition, spikes lost, hash; and why others failed."""
    conditions = list(dict.fromkeys(name for one in prepared for name in one.facts.get("conditions", {})))
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in [*prepared[0].labels, "units", *(f"bins\n{name}" for name in conditions), "spikes\nlost", "hash"]:
        table.add_column(title, no_wrap=True)
    for one in prepared:
        table.add_row(*map(str, one.labels.values()), *_row(one, conditions))
    console.print(table, highlight=False, markup=False)
    broken = [one for one in prepared if one.error_type]
    for line in complaints.complaints(prepared):
        say(console, f"failed, {line}")
    recordings = "1 recording" if len(prepared) == 1 else f"{len(prepared)} recordings"
    say(console, f"{recordings}: {len(prepared) - len(broken)} ingested, {len(broken)} failed")


def _row(one: Prepared, conditions: Sequence[str]) -> list[str]:
    if one.error_type:
        return ["failed"]
    facts = one.facts
    bins = [f"{facts['conditions'].get(name, 0):,}" for name in conditions]
    share = facts["spikes_lost"] / max(1, facts["n_spike"])
    return [str(facts["n_unit"]), *bins, f"{facts['spikes_lost']:,} ({share:.1%})", one.content[:DIGITS]]
