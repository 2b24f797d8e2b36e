"""What a round of an array leaves on disk: the blocks handed out, and what its tasks noted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from workflows import provenance
from workflows.blocks import handout
from workflows.blocks.blame import Blame
from workflows.commands import jobs
from workflows.lease import Lease
from workflows.store import Store


def folder(run_folder: Path, number: int) -> Path:
    """Return where the notes of a round lie."""
    return run_folder / jobs.FOLDER / f"round-{number}"


def hand_out(
    opened: Store, pending: np.ndarray, lease: Lease, blame: Blame, number: int, run_id: str
) -> handout.HandOut:
    """Grant the blocks of a round; their list comes last, so that no task begins before all is ready."""
    run_folder = opened.path.parent
    facts = {"started": provenance.now(), "epoch": lease.epoch, "round": number, "workers": []}
    facts |= {name: opened.attrs[name] for name in ("study", "study_version", "settings_hash")}
    provenance.write(run_folder, run_id, {**provenance.describe(), **facts})
    handed = handout.grant(opened, pending, lease, blame, run_id)
    handed.write(folder(run_folder, number) / "blocks.json")
    return handed


def note(opened: Store, number: int, run_id: str) -> int:
    """Complete the facts of a run by what its tasks noted; return how many cells they computed."""
    run_folder = opened.path.parent
    paths = sorted(path for path in folder(run_folder, number).glob("*.json") if path.stem.isdecimal())
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    machines = {json.dumps(record["machine"], sort_keys=True) for record in records}
    n_computed = sum(sum(record["counts"].values()) for record in records)
    facts = provenance.read(run_folder).get(run_id, {})
    facts |= {
        "ended": provenance.now(),
        "workers": [json.loads(text) for text in sorted(machines)],
        "jobs": [record["job"] for record in records],
        "problems": [problem for record in records for problem in record["problems"]],
        "result": {"n_computed": n_computed},
    }
    provenance.write(run_folder, run_id, facts)
    return n_computed
