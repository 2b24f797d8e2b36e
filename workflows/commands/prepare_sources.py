"""The first stage of a run: its cluster, and every source read, binned and stored by it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from neq.errors import RecordingError, StoreError
from workflows import backend, dashboard
from workflows.commands import complaints
from workflows.lease import Lease
from workflows.progress import Meter, say
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Prepared, Study

if TYPE_CHECKING:
    import distributed


def take_over(folder: Path) -> None:
    """Let whoever watches a run that was submitted know that its jobs do not drive it any more."""
    if (folder / "jobs" / "submitted.json").exists():
        from workflows.commands import job_ends

        job_ends.take_over(folder)


@contextlib.contextmanager
def connected(study: Study, lease: Lease, console: Console) -> Iterator[distributed.Client]:
    """Run the cluster of a run for the length of a ``with`` block, after all that its sources need has been made."""

    def told(note: str) -> None:
        say(console, note)
        lease.progress({"stage": "queue", "jobs": note})

    study.make_ready(lambda text: say(console, text))
    with backend.start(study.config.cluster, study.config.run_folder / "jobs", told) as client:
        for line in dashboard.labelled(dashboard.of(client), "dashboard while it runs"):
            say(console, line)
        yield client


def prepare(study: Study, client: distributed.Client, lease: Lease, console: Console) -> list[Prepared]:
    """Prepare the sources on the workers of a cluster; one that cannot be read comes back with its error."""
    from workflows import sources

    if not study.sources():
        return []
    addresses = dashboard.of(client)
    with Meter(console, "ingest", "recordings") as meter:

        def progress(done: int, total: int) -> None:
            meter(done, total)
            lease.progress({"stage": "ingest", "done": done, "total": total, "dashboard": addresses})

        return sources.ingest(study.config.run_folder, study, client, lease, progress)


def accept(prepared: Sequence[Prepared], study: Study, folder: Path, console: Console) -> None:
    """Tell which sources could not be prepared, and raise where the sweep cannot begin without them.

    Raises
    ------
    RecordingError, StoreError
        No source can be read and there is no store; or what :meth:`Study.check_prepared` raises.
    """
    if not prepared:
        return
    broken = [one for one in prepared if one.error_type]
    if len(broken) == len(prepared) and not (folder / STORE_NAME).exists():
        raise refusal(broken)
    for line in complaints.complaints(prepared):
        say(console, f"ingest failed, {line}")
    # a source that is gone by now still counts for what was read of it
    earlier = Store.open(folder / STORE_NAME).prepared if (folder / STORE_NAME).exists() else []
    study.check_prepared([*earlier, *prepared])


def refusal(broken: Sequence[Prepared]) -> RecordingError | StoreError:
    """Return the error of a run of which no source can be read."""
    kind = StoreError if broken[0].error_type == "StoreError" else RecordingError
    n_other = len(broken) - len(complaints.grouped(broken)[0])
    others = f" The other {n_other} cannot be read either." if n_other else ""
    return kind(complaints.complaints(broken)[0] + others)
