"""What reading an Allen session costs: neq's own reader against the Allen SDK in its environment, side by side.

Run as ``python -m benchmarks.allen`` from the repository root; writes ``benchmarks/allen.md``. Each try is a fresh
process that reads the units, the presentations and every spike of the good units of one file: the fixture of the tests,
and a made-up session of 200 MB, three quarters of it waveforms. The two readers take turns; the least of three tries
counts. The 3 GB of a real session are in ``benchmarks/ingest.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from benchmarks import allen_session
from neq.readers import allensdk_environment
from workflows import provenance

TABLE = Path(__file__).with_suffix(".md")
SIZE = allen_session.Size(n_unit=600, pace=0.1)
N_TRY = 3
ASKED = {"cpu": 10, "wall": 10, "peak": 5}
TITLES = {"cpu": "CPU s", "wall": "wall s", "peak": "peak MiB"}

CHILD = """
import json, sys, time
began = float(sys.argv[1])
def note(**more):
    # not ru_maxrss, which starts at what the parent had
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"cpu": time.process_time(), "wall": time.time() - began, "peak": peak, **more}))
"""
DIRECT = """
from neq.readers import allen
note()
recording = allen.read(Path(sys.argv[2]), "a", order="reference")
note(units=recording.units.index.tolist(), spikes=sum(times.size for times in recording.spike_times))
"""
SDK = """
sys.path.insert(0, sys.argv[3])
import allensdk_export as script
sys.path.pop(0)
import warnings
warnings.simplefilter("ignore")
kind = script.open_session_type()
note()
session = kind.from_nwb_path(sys.argv[2])
units = script.published_units(session.get_units(), session.get_channels())["good_units"].tolist()
session.stimulus_presentations
note(units=units, spikes=sum(session.spike_times[unit].size for unit in units))
"""


def main() -> None:
    """Measure, print and write the table."""
    allensdk_environment.make_environment()
    with tempfile.TemporaryDirectory(prefix="neq-allen-") as folder:
        made = Path(folder) / "made-up.nwb"
        allen_session.write_session(made, allen_session.Session(1_046_595_678, 500_000), SIZE)
        (floor,) = measure("import h5py, numpy, pandas; note()", made)
        text = [f"{provenance.machine()['cpu']}, load {os.getloadavg()[0]:.1f} when it began; "]
        text[0] += f"numpy, pandas and h5py alone: {floor['cpu']:.2g} s of the CPU, {floor['peak']:.0f} MiB"
        for name, path in (("fixture", allen_session.TEMPLATE), ("made-up", made)):
            text += ["", *lines(name, path)]
    print("\n".join(text))
    TABLE.write_text("\n".join(text) + "\n", encoding="utf-8")


def lines(name: str, path: Path) -> list[str]:
    """Return the table of one file: the whole process, and what it does once everything is imported."""
    tries = [(measure(DIRECT, path), measure(SDK, path)) for _ in range(N_TRY)]
    direct, sdk = (least([one[side] for one in tries]) for side in (0, 1))
    found = tries[0][0][1]
    assert all(side[1][key] == found[key] for one in tries for side in one for key in ("units", "spikes"))
    about = f"{name}: {path.stat().st_size / 1e6:.1f} MB, {len(found['units'])} good units, {found['spikes']:,} spikes"
    text = [about, "", "| | neq | Allen SDK | ratio | asked |", "|---|---|---|---|---|"]
    for part, what in enumerate(("imports", "whole process", "without imports")):
        for key, title in TITLES.items():
            ours, theirs = direct[part][key], sdk[part][key]
            ratio = f"{theirs / ours:.1f}" if ours >= 0.001 else "-"
            text.append(f"| {what}, {title} | {ours:.3g} | {theirs:.3g} | {ratio} | {ASKED[key] if part else ''} |")
    return text


def least(tries: list[list[dict[str, Any]]]) -> list[dict[str, float]]:
    """Return the least of several tries: at the end of the imports, in all, and between the two."""
    parts = [[imported, whole, {key: whole[key] - imported[key] for key in TITLES}] for imported, whole in tries]
    return [{key: min(one[part][key] for one in parts) for key in TITLES} for part in range(3)]


def measure(body: str, path: Path) -> list[dict[str, Any]]:
    """Return what a fresh process has used at the end of its imports and at its own end."""
    code = "from pathlib import Path\n" + CHILD + body
    script = allensdk_environment.SCRIPT
    python = sdk_python() if body is SDK else sys.executable
    done = subprocess.run(
        [python, "-c", code, repr(time.time()), str(path), str(script.parent)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def sdk_python() -> str:
    """Return the Python of the SDK's environment."""
    arguments = ["python", "find", "--script", str(allensdk_environment.SCRIPT)]
    return subprocess.run([find_uv_bin(), *arguments], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
