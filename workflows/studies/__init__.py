"""Studies: one file each, saying what varies, what one cell computes and what is drawn."""

from __future__ import annotations

import importlib

from .base import Study

STUDIES = {
    "neural_recordings": "workflows.studies.neural_recordings:NeuralRecordings",
    "spin_model": "workflows.studies.spin_model:SpinModel",
}
"""Name in the config -> where the class is; imported on use only."""


def study_class(name: str) -> type[Study]:
    """Return the class of the study called ``name``; ``module:Class`` names one outside this package.

    Raises
    ------
    KeyError
        No study has this name.
    """
    target = name if ":" in name else STUDIES[name]
    module, _, attribute = target.partition(":")
    found: type[Study] = getattr(importlib.import_module(module), attribute)
    return found
