"""The one place where a run gets its Dask cluster."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from neq.errors import SweepError
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
    neq.errors.SweepError
        It does not start.
    """
    from cluster import local

    stack = contextlib.ExitStack()
    try:
        with undisturbed():
            client = _entered(stack, local.start(config.workers, config.memory))
        yield client
    finally:
        with undisturbed():
            stack.close()


def _entered(stack: contextlib.ExitStack, cluster: AbstractContextManager[distributed.Client]) -> distributed.Client:
    try:
        return stack.enter_context(cluster)
    except (RuntimeError, OSError, TimeoutError) as error:
        raise SweepError(
            f"The cluster does not start ({' '.join(str(error).split())}): "
            "see whether this machine has memory and processes left for so many workers, then give the command again."
        ) from error


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
