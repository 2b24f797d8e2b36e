"""Errors and warnings of neq, each a type of its own so that callers can tell them apart."""

from __future__ import annotations


class NeqError(Exception):
    """Base of all errors whose message is written for the user: what was expected, found, and what to do."""


class RecordingError(NeqError, ValueError):
    """A source file or the recording made from it is not usable."""


class SelectionError(NeqError, ValueError):
    """No unit is left after the selection."""


class ImpossibleError(NeqError, ValueError):
    """The cell cannot exist on these data (a size larger than the units there are); not a failure."""


class EstimationError(NeqError, ValueError):
    """An estimator was given data from which no value can be computed."""


class ConfigError(NeqError, ValueError):
    """A config, or an option that changes one, is not usable; lists all its problems."""


class NotConvergedWarning(UserWarning):
    """An optimiser stopped before its tolerance was reached."""
