"""neq: how irreversible is neural activity? Entropy production of spike trains, from recordings to figures.

The public names, and nothing else. They are looked up on first use, so that importing ``neq`` compiles nothing and
imports no optional package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Contributions": "estimators.contributions",
    "GaussianEP": "estimators.gaussian",
    "GaussianEPResult": "estimators.gaussian",
    "MTUR": "estimators.mtur",
    "MTURResult": "estimators.mtur",
    "MaxEnt": "estimators.maxent",
    "MaxEntResult": "estimators.maxent_result",
    "NeqError": "errors",
    "NewtonStep": "estimators.newton",
    "NewtonStepResult": "estimators.newton",
    "OrderDecomposition": "estimators.orders",
    "OrderDecompositionResult": "estimators.order_result",
    "Recording": "spikes.recording",
    "Transitions": "spikes.transitions",
    "bin_spikes": "spikes.binning",
    "contributions": "estimators.contributions",
    "objective": "observables",
    "open_run": "runs",
    "read_recording": "readers",
}
_PACKAGES = ("figures", "ising", "models")

__all__ = sorted([*_WHERE, *_PACKAGES])

if TYPE_CHECKING:
    from . import figures as figures
    from . import ising as ising
    from . import models as models
    from .errors import NeqError as NeqError
    from .estimators.contributions import Contributions as Contributions
    from .estimators.contributions import contributions as contributions
    from .estimators.gaussian import GaussianEP as GaussianEP
    from .estimators.gaussian import GaussianEPResult as GaussianEPResult
    from .estimators.maxent import MaxEnt as MaxEnt
    from .estimators.maxent_result import MaxEntResult as MaxEntResult
    from .estimators.mtur import MTUR as MTUR
    from .estimators.mtur import MTURResult as MTURResult
    from .estimators.newton import NewtonStep as NewtonStep
    from .estimators.newton import NewtonStepResult as NewtonStepResult
    from .estimators.order_result import OrderDecompositionResult as OrderDecompositionResult
    from .estimators.orders import OrderDecomposition as OrderDecomposition
    from .observables import objective as objective
    from .readers import read_recording as read_recording
    from .runs import open_run as open_run
    from .spikes.binning import bin_spikes as bin_spikes
    from .spikes.recording import Recording as Recording
    from .spikes.transitions import Transitions as Transitions


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name in _WHERE:
        return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module 'neq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
