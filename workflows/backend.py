"""The one place where a run gets its Dask cluster."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from neq.errors import ConfigError
from workflows.config import ClusterConfig

if TYPE_CHECKING:
    import distributed


@contextlib.contextmanager
def start(config: ClusterConfig) -> Iterator[distributed.Client]:
    """Run the cluster that a config names for the length of a ``with`` block.

    Yields
    ------
    distributed.Client
        Its client.

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
    stack = contextlib.ExitStack()
    try:
        with undisturbed():
            client = stack.enter_context(local.start(config.workers, config.memory))
        yield client
    finally:
        with undisturbed():
            stack.close()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM at the end of the block: a cluster half started or half closed leaves a mess.

    Processes and threads born in the block never see Ctrl-C, which a terminal sends to all of them; the driver ends
    them itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    # a mask is inherited, a handler is not
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
