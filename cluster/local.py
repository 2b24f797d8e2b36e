"""A Dask cluster of processes on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

import dask
import distributed

from .network import dashboard_port
from .settings import SETTINGS

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def start(
    workers: int | None = None, memory: str | None = None, dashboard: bool = True
) -> Iterator[distributed.Client]:
    """Run a cluster on this machine for the length of a ``with`` block.

    Parameters
    ----------
    workers
        Processes, one thread each; None: one per core.
    memory
        Limit of each, such as ``"4GiB"``; None: its share of the machine.
    dashboard
        Whether to serve Dask's dashboard, on this machine only.

    Yields
    ------
    distributed.Client
        ``.dashboard_link`` is the address of the dashboard.
    """
    with dask.config.set(SETTINGS), silence():
        cluster = distributed.LocalCluster(
            n_workers=workers or _cores(),
            threads_per_worker=1,
            processes=True,
            memory_limit="auto" if memory is None else memory,
            host=LOOPBACK,
            # without an address Dask would ask for its usual port all the same
            dashboard_address=f"{LOOPBACK}:{dashboard_port(LOOPBACK) if dashboard else 0}",
            scheduler_kwargs={"dashboard": dashboard},
            silence_logs=logging.CRITICAL,
        )
        try:
            client = distributed.Client(cluster)
            try:
                yield client
            finally:
                client.close()
        finally:
            cluster.close()


def _cores() -> int:
    """Return the cores this process may use, which a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep Dask's log off the terminal: what matters of a lost worker is in the store, the rest is closing noise."""
    parts = ("", ".nanny", ".scheduler", ".worker", ".client", ".core", ".deploy", ".comm")
    names = [f"distributed{part}" for part in parts] + ["tornado", "asyncio"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Port .* is already in use")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
