"""Sources that fail alike are told once, with a command for all of them; the others one by one."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from workflows import cli
from workflows.commands import complaints, doctor
from workflows.commands.finding import PROBLEM
from workflows.studies.base import Prepared

CACHE = Path(__file__).parents[2] / "reference_data" / "allen" / "cache"


def broken(error, **labels):
    return Prepared(labels, error_type="RecordingError", error=error)


def test_complaints__others_keep_their_own_line():
    texts = {"s1": "No file s1.npz.", "s2": "No file s2.npz.", "s3": "s3.npz is damaged."}
    assert complaints.complaints([broken(text, session=name) for name, text in texts.items()]) == [
        "2 recordings (session s1, s2): No file {session}.npz.",
        "session s3: s3.npz is damaged.",
    ]


def test_complaints__one_message_of_several_sources_of_a_session_is_told_as_it_is():
    sources = [broken("a is not a recording", session="a", bin_size=size) for size in (0.01, 0.02)]
    (line,) = complaints.complaints(sources)
    assert line == "2 recordings (session a, bin_size 0.01; session a, bin_size 0.02): a is not a recording"


def test_complaints__a_label_within_a_word_of_a_command_is_not_filled_in():
    sources = [broken(f"Damaged; `rm -r 'my data'/{name}.npz`.", session=name) for name in ("s1", "s2")]
    assert complaints.complaints(sources)[0].endswith("`rm -r 'my data'/{session}.npz`.")


@pytest.fixture
def few_of_many(tmp_path):
    """Return the config of a run on a cache of which two of eight sessions are here."""
    cache = shutil.copytree(CACHE, tmp_path / "cache")
    ids = add_sessions(cache, 6)
    config = tmp_path / "run.yaml"
    keys = {
        "study": "neural_recordings",
        "recordings": {"kind": "allen", "path": str(cache)},
        "conditions": ["active"],
        "sizes": [4],
        "repetitions": 1,
        "estimator": {"n_draw": 9},
        "results": str(tmp_path / "run"),
        "cluster": {"workers": 1},
    }
    config.write_text(yaml.safe_dump(keys))
    return config, ids


def add_sessions(cache, n):
    """Add rows to the table of sessions, and files that are not here to the manifest; return their ids."""
    (manifest,) = cache.glob("*.json")
    (path,) = cache.rglob("ecephys_sessions.csv")
    table, known = pd.read_csv(path, dtype=str), json.loads(manifest.read_text())
    first = table.iloc[0]
    ids = [str(1070000000 + number) for number in range(n)]
    entry = known["data_files"][first["file_id"]]
    known["data_files"] |= {one: {**entry, "url": entry["url"].replace("1064644573", one)} for one in ids}
    rows = [{**first, "ecephys_session_id": one, "file_id": one} for one in ids]
    manifest.write_text(json.dumps(known))
    pd.concat([table, pd.DataFrame(rows)]).to_csv(path, index=False)
    return ids


def said(*arguments):
    result = CliRunner().invoke(cli.app, [*map(str, arguments)], terminal_width=2000)
    return result.output.splitlines()


@pytest.mark.long
def test_run__sessions_that_are_not_downloaded_are_told_in_one_line(few_of_many, tmp_path):
    config, ids = few_of_many
    lines = said("run", config)
    fetch = f"`neq fetch allen-vbn --sessions {','.join(ids)} --to {tmp_path}/cache`"
    named = f"session {', '.join(ids[:3])} and 3 more"
    (told,) = [line for line in lines if "ingest failed" in line]
    assert f"ingest failed, 6 recordings ({named}): Session {{session}} is not downloaded to" in told
    assert fetch in told
    (summary,) = [line for line in lines if line.startswith("failed")]
    assert summary.startswith("failed, 6 x IngestError: RecordingError: Session {session} is not downloaded")
    assert fetch in summary
    assert summary.endswith(f"({named})")
    assert not [line for line in lines if "neq rerun" in line]
    assert f"neq run {tmp_path}/run/config.yaml" in "\n".join(lines)
    (problem,) = [one for one in doctor.examine(tmp_path / "run") if one.kind == PROBLEM]
    assert fetch in problem.text
    assert problem.text.startswith(f"{named} could not be read: ")
    (told,) = [line for line in said("ingest", config) if line.startswith("failed,")]
    assert fetch in told
    (told,) = [line for line in said("plan", config) if "cannot be read" in line]
    assert "cannot be read, session 107000000" in told or "recordings (session" in told
