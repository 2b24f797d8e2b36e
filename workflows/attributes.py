"""The attributes of a store: all that says whose it is and what workers rebuild the study from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from workflows import config as run_config
from workflows import layout
from workflows.grid import Grid, Index
from workflows.studies.base import Prepared, Study


def describe(
    study: Study, prepared: Sequence[Prepared], grid: Grid, chunk: Index, dimensions: Mapping[str, int]
) -> dict[str, Any]:
    """Return the attributes of a store: all that workers rebuild the study from, as plain JSON."""
    settings = plain(study.settings())
    return {
        "format": layout.FORMAT,
        "study": study.config.study,
        "study_version": study.version,
        "config": run_config.science(study.config),
        "settings": settings,
        "settings_hash": settings_hash(study.config.study, study.version, settings),
        "block": list(chunk),
        "axes": [plain(asdict(axis)) for axis in grid.axes],
        "named": named_labels(study),
        "dimensions": dict(dimensions),
        "outputs": [plain(asdict(output)) for output in study.outputs()],
        "prepared": [plain(asdict(one)) for one in prepared],
    }


def named_labels(study: Study) -> dict[str, Any]:
    """Return the labels that a study's config names, by axis: kept so that nobody who looks has to import a study."""
    return {axis.name: plain(axis.labels) for axis in Grid(study.axes()).axes}


def settings_hash(study: str, version: int, settings: Mapping[str, Any]) -> str:
    """Return the hash that two stores share when their cells would have the same numbers.

    Examples
    --------
    >>> settings_hash("s", 1, {"a": 1}) == settings_hash("s", 2, {"a": 1})
    False
    """
    text = json.dumps([study, version, settings], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def plain(value: Any) -> Any:
    """Return ``value`` as it reads after a trip through JSON: lists for tuples, Python numbers for numpy's."""
    return json.loads(json.dumps(value, default=lambda one: one.item() if isinstance(one, np.generic) else str(one)))
