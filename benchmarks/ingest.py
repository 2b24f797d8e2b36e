"""Seconds and peak memory of the ingest of made-up Allen sessions: 3 GB in one piece, half of it, compressed.

Run as ``python -m benchmarks.ingest [FILE ...]`` from the repository root; without files it makes three in a temporary
folder (7 GB) and writes ``benchmarks/ingest.md``. Each line is a fresh process that does what a worker does with a
source (read, hash, bin, write) or part of it; in the end one is killed while it writes and done again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import allen_session
from workflows import provenance

TABLE = Path(__file__).with_suffix(".md")
SIZES = {
    "half.nwb": allen_session.Size(pace=0.5),
    "whole.nwb": allen_session.Size(),
    "compressed.nwb": allen_session.Size(compressed=True),
}
TITLES = ("file", "GB", "units kept", "their spikes", "step", "seconds", "of the CPU", "peak MiB")


def main(paths: list[Path]) -> None:
    """Measure, print and, for the made-up files, write the table."""
    with tempfile.TemporaryDirectory(prefix="neq-ingest-") as name:
        made = paths or [_made(Path(name), file) for file in SIZES]
        text = [f"{provenance.machine()['cpu']}, load {os.getloadavg()[0]:.1f} when it began; "]
        text[0] += f"a worker that has done nothing yet: {_child('nothing')['peak_memory']:.0f} MiB"
        text += ["", f"| {' | '.join(TITLES)} |", "|" + "---|" * len(TITLES)]
        text += [f"| {' | '.join(row)} |" for path in made for row in rows(path, Path(name))]
        text += ["", again(made[-1], Path(name))]
    print("\n".join(text))
    if not paths:
        TABLE.write_text("\n".join(text) + "\n", encoding="utf-8")


def rows(path: Path, place: Path) -> Iterator[tuple[str, ...]]:
    """Yield the lines of one file: what it is, then each step in a process of its own."""
    folder = place / f"run-{path.stem}"
    whole = _child("ingest", path, folder)
    facts = whole["facts"]
    about = (path.name, f"{path.stat().st_size / 1e9:.2f}", f"{facts['n_unit']:,}", f"{facts['n_spike']:,}")
    steps = {"hash alone": _child("hash", path, place), "ingest": whole, "neq inspect": _child("inspect", path)}
    for step, cost in steps.items():
        yield (*about, step, f"{cost['seconds']:.1f}", f"{cost['cpu']:.1f}", f"{cost['peak_memory']:.0f}")
        about = ("",) * len(about)


def again(path: Path, place: Path) -> str:
    """Kill an ingest twice while it writes, do it again, and say whether it is the same bits."""
    folder = place / "killed"
    whole = _child("ingest", path, place / f"run-{path.stem}")
    chunks = [_killed(path, folder, wanted) for wanted in (5, 20)]
    same = _child("ingest", path, folder)["content"] == whole["content"]
    after = " and ".join(map(str, chunks))
    return f"{path.name}: killed after {after} of its chunks, then again: {'the same' if same else 'OTHER'} bits"


def _killed(path: Path, folder: Path, wanted: int) -> int:
    """Kill an ingest once it has written so many chunks; return how many there are."""
    process = subprocess.Popen(_command("ingest", path, folder), stdout=subprocess.DEVNULL)
    pattern = f"spikes/.*~{process.pid}~*.part/spikes/c/*/0"
    while len(list(folder.glob(pattern))) < wanted and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    return len(list(folder.glob(pattern)))


def _made(folder: Path, name: str) -> Path:
    path = folder / name
    allen_session.write_session(path, allen_session.Session(1_046_595_678, 500_000), SIZES[name])
    return path


def measure(step: str, path: Path, folder: Path) -> dict[str, Any]:
    """Do one step in this process, and say what it took."""
    from workflows.blocks import cells, task
    from workflows.studies import neural_recordings  # noqa: F401  what a worker has imported before the first source

    meter, cpu, found = cells.Meter(), time.process_time(), {}
    if step == "hash":
        from workflows import content

        content.of_file(path, folder / "sources.json")
    elif step == "inspect":
        from workflows.commands.inspect import inspect

        inspect(path)
    elif step == "ingest":
        found = task.run_ingest(str(folder), *_source(path))
        assert not found["error_type"], found["error"]
    return {**meter.read(), "cpu": time.process_time() - cpu, **found}


def _source(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and the source that the driver gives a worker."""
    from workflows import config, studies

    raw = {"study": "neural_recordings", "recordings": {"kind": "allen", "path": str(path)}, "sizes": [50]}
    raw["conditions"] = ["active", "passive", "gabor"]
    study = studies.study_class("neural_recordings")
    made = study(study.Config.model_validate(raw))
    return config.science(made.config), asdict(made.sources()[0])


def _child(*arguments: Any) -> dict[str, Any]:
    done = subprocess.run(_command(*arguments), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "benchmarks.ingest", "measure", *map(str, arguments)]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", step, *places]:
            print(json.dumps(measure(step, *map(Path, [*places, "", ""][:2]))))
        case given:
            main([Path(one) for one in given])
