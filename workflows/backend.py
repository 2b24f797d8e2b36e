"""The one place where a run gets its Dask cluster."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neq.errors import SweepError
from workflows.config import ClusterConfig

if TYPE_CHECKING:
    import distributed

LOCAL = "local"
"""Profile of this machine."""


@contextlib.contextmanager
def start(
    config: ClusterConfig, log_folder: Path | None = None, tell: Callable[[str], Any] = lambda text: None
) -> Iterator[distributed.Client]:
    """Run the cluster that a config names for the length of a ``with`` block, from its first worker on.

    Parameters
    ----------
    config
        Its profile, and what is to be other than there.
    log_folder
        For the logs of jobs; None: the folder ``jobs`` here.
    tell
        Called with how the jobs stand while none has started.

    Yields
    ------
    distributed.Client
        Its client.

    Raises
    ------
    neq.errors.SweepError
        It does not start.
    """
    stack = contextlib.ExitStack()
    try:
        with undisturbed():
            client = _entered(stack, _cluster(config, log_folder or Path("jobs"), tell))
        # a queue may be long: this can be interrupted
        _wait(client, tell)
        yield client
    finally:
        with undisturbed():
            stack.close()


def memory(client: distributed.Client) -> dict[str, int]:
    """Return what the workers' jobs ask for of memory, which may have been raised; empty where there are no jobs."""
    watchdog = getattr(client, "watchdog", None)
    return {} if watchdog is None else dict(watchdog.memory.facts())


def _cluster(
    config: ClusterConfig, log_folder: Path, tell: Callable[[str], Any]
) -> AbstractContextManager[distributed.Client]:
    if config.profile == LOCAL:
        from cluster import local

        return local.start(config.workers, config.memory)
    from cluster import batch, profile

    return batch.start(profile.load(config.profile), config.workers, config.memory, log_folder, tell)


def _wait(client: distributed.Client, tell: Callable[[str], Any]) -> None:
    """Wait for the first worker of a cluster whose workers come through a queue."""
    if not hasattr(client, "wait_for_first"):
        return
    from cluster.errors import ClusterError

    try:
        client.wait_for_first(tell)
    except ClusterError as error:
        raise SweepError(str(error)) from error


def _entered(stack: contextlib.ExitStack, cluster: AbstractContextManager[distributed.Client]) -> distributed.Client:
    from cluster.errors import ClusterError

    try:
        return stack.enter_context(cluster)
    except ClusterError as error:
        raise SweepError(str(error)) from error
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
