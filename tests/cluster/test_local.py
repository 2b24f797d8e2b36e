"""A cluster of processes on this machine."""

import contextlib
import gc
import socket

import pytest

from cluster import local, network


@pytest.fixture
def port_taken():
    """Dask's usual port is held, by us or by whoever was here first."""
    with socket.socket() as held:
        # also where an ended server's connections are not forgotten yet
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            held.bind((local.LOOPBACK, network.DASHBOARD_PORT))
            held.listen(1)
        yield


@pytest.mark.parametrize("dashboard", [True, False])
def test_start__where_the_usual_port_is_taken(port_taken, dashboard):
    """No socket may be left behind: the test suite turns that warning into an error."""
    with local.start(workers=1, memory="1GiB", dashboard=dashboard) as client:
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        assert (client.dashboard_link is not None) or not dashboard
        assert f":{network.DASHBOARD_PORT}/" not in str(client.dashboard_link)
    gc.collect()
