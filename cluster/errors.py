"""What goes wrong between this machine and a batch system, in words."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """A cluster cannot be used as it was asked for; one sentence: what was expected, found, and what to do."""


class AwayError(ClusterError):
    """The batch system does not answer for now; it may later."""
