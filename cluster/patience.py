"""How long a batch system that does not answer is waited for."""

from __future__ import annotations

import math
import time

from .errors import AwayError, ClusterError
from .slurm import one_line

AWAY_SECONDS = 1800.0
"""A batch system that has not answered for so long is not waited for any more where no worker is left."""
BROKEN_SECONDS = 300.0
"""So long nothing is made of looks that fail for another reason."""


class Patience:
    """Counts from the first of several failures in a row.

    Examples
    --------
    >>> patience = Patience()
    >>> patience.failed(AwayError("squeue does not answer. Wait until the batch system is back."))
    ''
    """

    def __init__(self) -> None:
        self._since = math.inf

    def restored(self) -> None:
        """Note that there is an answer."""
        self._since = math.inf

    def failed(self, error: Exception) -> str:
        """Note a failure; return what a driver without workers has to be told, empty as long as there is hope."""
        now = time.monotonic()
        self._since = min(self._since, now)
        if now - self._since < (AWAY_SECONDS if isinstance(error, AwayError) else BROKEN_SECONDS):
            return ""
        if isinstance(error, ClusterError):
            return str(error)
        return f"The jobs cannot be watched ({type(error).__name__}: {one_line(str(error))})."
