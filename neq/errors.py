"""Errors and warnings of neq, each a type of its own so that callers can tell them apart."""

from __future__ import annotations


class NeqError(Exception):
    """Base of all errors whose message is written for the user: what was expected, found, and what to do."""


class RecordingError(NeqError, ValueError):
    """A source file or the recording made from it is not usable."""


class SelectionError(NeqError, ValueError):
    """What is asked of units does not fit them: a missing column, text compared with a number."""


class ImpossibleError(NeqError, ValueError):
    """The cell cannot exist on these data (a size larger than the units there are); not a failure."""


class EmptySelectionError(SelectionError, ImpossibleError):
    """No unit is left after the selection: cells of that session cannot exist."""


class EstimationError(NeqError, ValueError):
    """An estimator was given data from which no value can be computed."""


class IsingError(NeqError, ValueError):
    """Spikes or options from which no Ising model can be fitted."""


class ModelError(NeqError, ValueError):
    """A model was given parameters that it cannot have, or asked for a value that it does not have."""


class ConfigError(NeqError, ValueError):
    """A config, or an option that changes one, is not usable; lists all its problems."""


class GridError(NeqError, ValueError):
    """The axes of a sweep do not make a grid."""


class StudyMismatchError(NeqError, ValueError):
    """The store was made by another study, config or version; the message shows the difference line by line."""


class StoreError(NeqError, OSError):
    """The run folder cannot be read or written: missing, read-only, full."""


class ChunkError(StoreError):
    """A chunk of the store is damaged or missing; the message names the variable and the block."""

    def __init__(self, message: str, variable: str = "", block: str = "") -> None:
        super().__init__(message)
        self.variable = variable
        self.block = block


class CopyError(NeqError, OSError):
    """The copy of a run at its URL is not complete; the run folder is."""


class FetchError(NeqError, OSError):
    """A file could not be fetched; what was fetched of it is kept."""


class LeaseHeldError(NeqError, RuntimeError):
    """Another live driver works on this run folder."""


class LeaseLostError(NeqError, RuntimeError):
    """Another driver has taken this run folder over."""


class SweepError(NeqError, RuntimeError):
    """The sweep cannot go on: no workers, no progress, or a task that fails outside its cells."""
