"""Addresses of this machine, as other machines of a cluster reach it."""

from __future__ import annotations

import socket

import distributed.utils
import psutil

from .errors import ClusterError

DASHBOARD_PORT = 8787


def dashboard_port(host: str) -> int:
    """Return Dask's usual port for a dashboard on a host of this machine, or 0 (any) where it is taken.

    Dask itself goes on to another port as well, but leaves a socket behind.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, DASHBOARD_PORT))
        except OSError:
            return 0
    return DASHBOARD_PORT


def interfaces() -> dict[str, str]:
    """Return the network interfaces of this machine that have an IPv4 address, and the address.

    Examples
    --------
    >>> interfaces()["lo"]
    '127.0.0.1'
    """
    return {
        name: address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }


def scheduler_host(host: str | None, interface: str | None) -> str:
    """Return the address on which a scheduler here listens.

    Parameters
    ----------
    host
        Name or address of this machine as the nodes see it; what a user gave goes first.
    interface
        Else the interface whose address is taken; None: that of the default route.

    Raises
    ------
    ClusterError
        There is no such interface.

    Examples
    --------
    >>> scheduler_host(None, "lo"), scheduler_host("login1", "ib0")
    ('127.0.0.1', 'login1')
    """
    if host is not None:
        return host
    if interface is None:
        return distributed.utils.get_ip()
    found = interfaces()
    if interface not in found:
        listed = ", ".join(f"{name} ({address})" for name, address in found.items())
        raise ClusterError(
            f"The profile's interface {interface!r} is not on this machine, which has {listed}: name one of these, "
            "or give scheduler_host, the address of this machine, where the nodes alone have that interface."
        )
    return found[interface]


def interface_of(host: str) -> str | None:
    """Return the interface that has an address, None where none has.

    Examples
    --------
    >>> interface_of("127.0.0.1"), interface_of("203.0.113.1")
    ('lo', None)
    """
    return next((name for name, address in interfaces().items() if address == host), None)


def can_listen(host: str) -> bool:
    """Whether an address belongs to this machine, so that a server here may listen on it.

    Examples
    --------
    >>> can_listen("127.0.0.1"), can_listen("203.0.113.1")
    (True, False)
    """
    try:
        with socket.create_server((host, 0)):
            return True
    except OSError:
        return False
