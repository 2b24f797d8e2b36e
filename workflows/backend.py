"""The one place where a run gets its Dask cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from neq.errors import ConfigError

from .config import ClusterConfig

if TYPE_CHECKING:
    import distributed


def start(config: ClusterConfig) -> contextlib.AbstractContextManager[distributed.Client]:
    """Return a context with the client of the cluster that the config names.

    Raises
    ------
    neq.errors.ConfigError
        There is no such profile, or the memory is no size.
    """
    from dask.utils import parse_bytes

    from cluster import local

    if config.profile != "local":
        raise ConfigError(f"There is no cluster profile {config.profile!r}; use --cluster local.")
    try:
        parse_bytes(config.memory or "1GiB")
    except ValueError as error:
        raise ConfigError(f"cluster.memory: expected a size such as 4GiB, found {config.memory!r}.") from error
    return local.start(config.workers, config.memory)
