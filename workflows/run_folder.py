"""The files of a run folder that are neither store nor spikes: its config, and what is known of its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neq.errors import ConfigError, RecordingError
from workflows import config as run_config
from workflows import content
from workflows.reduce import FOLDER as FIGURES
from workflows.reduce import INDEX
from workflows.staging import write_whole
from workflows.store import STORE_NAME, Store, problems

CONFIG_NAME = "config.yaml"
REPORT_NAME = "report.html"


def load_run(run_folder: Path, overrides: list[str] | tuple[str, ...] = ()) -> run_config.RunConfig:
    """Return the config that a run folder keeps, its results being that very folder wherever it lies now.

    Raises
    ------
    neq.errors.ConfigError
        The folder holds no run.
    """
    if not (run_folder / CONFIG_NAME).exists():
        raise ConfigError(f"{run_folder} is not a run: expected a folder that `neq run CONFIG` made.")
    loaded = run_config.load(run_folder / CONFIG_NAME, overrides)
    moved: run_config.RunConfig = loaded.model_copy(update={"results": run_folder, "work": None})
    return moved


def write_config(folder: Path, config: run_config.RunConfig) -> None:
    """Write config.yaml, unless it says the same already (its age tells whether figures are older)."""
    # without the folder, so that it can be moved: a config beside a store belongs to it (config.load)
    text = run_config.resolved(config.model_copy(update={"results": None, "work": None}))
    path = folder / CONFIG_NAME
    with problems(folder):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        write_whole(path, text.encode())


def is_stale(run_folder: Path) -> bool:
    """Whether figures or report are missing, or older than the store or the config."""
    made = [run_folder / FIGURES / INDEX, run_folder / REPORT_NAME]
    sources = [run_folder / STORE_NAME / "zarr.json", run_folder / CONFIG_NAME]
    if not all(path.exists() for path in made):
        return True
    newest = max((path.stat().st_mtime for path in sources if path.exists()), default=0.0)
    return min(path.stat().st_mtime for path in made) < newest


def sources_changed(folder: Path) -> list[str]:
    """Return the source files with other bytes than those the store was made from; one that is gone is not among them.

    A file is read only where its size or its time of change is another.
    """
    return [path for path, entry in known_sources(folder).items() if _changed(Path(path), entry, folder)]


def known_sources(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size, time of change and hash of every source file that the store was made from, by path."""
    if not (folder / STORE_NAME).exists():
        return {}
    prepared = Store.open(folder / STORE_NAME).prepared
    return {path: entry for one in prepared for path, entry in one.facts.get("files", {}).items()}


def _changed(path: Path, entry: dict[str, Any], folder: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    if (found.st_size, found.st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
        return False
    if found.st_size != entry["size"]:
        return True
    try:
        return content.of_file(path, folder / "spikes" / "sources.json") != entry["content"]
    except RecordingError:
        return True
