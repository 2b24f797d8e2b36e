"""Where to see Dask's dashboard from: the address, the tunnel to it, and the way through Jupyter."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import distributed

LOCAL_PORT = 8787
"""Of the user's own machine, at the near end of a tunnel."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
BATCH_JOBS = {
    "SLURM_JOB_ID": "SLURM_SUBMIT_HOST",
    "PBS_JOBID": "PBS_O_HOST",
    "LSB_JOBID": "LSB_SUB_HOST",
    "JOB_ID": "SGE_O_HOST",
}
"""Variables of a batch job of SLURM, PBS, LSF and SGE: its id, and the machine it was submitted from."""


def of(client: distributed.Client) -> list[str]:
    """Return the lines on the dashboard of a client of this process; none where it serves no dashboard."""
    link = client.dashboard_link
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # a container may run under a number that nobody has
        user = "USER"
    return lines(link, os.environ, socket.gethostname(), user) if link else []


def lines(link: str, environ: Mapping[str, str], host: str, user: str) -> list[str]:
    """Return how to see a dashboard: its address first, then the ways to it for who sits elsewhere.

    Parameters
    ----------
    link
        Its address as Dask gives it.
    environ
        The environment of the process that serves it: whether somebody logged in through ssh, is in Jupyter, or runs
        a batch job.
    host, user
        The name of that process's machine, and whose it is.

    Examples
    --------
    >>> lines("http://127.0.0.1:8787/status", {}, "laptop", "ada")
    ['http://127.0.0.1:8787/status']
    >>> ssh = {"SSH_CONNECTION": "203.0.113.7 50514 198.51.100.2 22"}
    >>> for line in lines("http://127.0.0.1:41233/status", ssh, "login1.example.org", "ada"):
    ...     print(line)
    http://127.0.0.1:41233/status
    from your own machine, and leave it open:
      ssh -N -L 8787:127.0.0.1:41233 ada@login1.example.org
    then open there: http://127.0.0.1:8787/status

    A driver in a batch job listens where the nodes reach it, and the login node does too:

    >>> job = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_HOST": "login1.example.org"}
    >>> lines("http://10.0.0.5:8787/status", job, "node5", "ada")[2]
    '  ssh -N -L 8787:10.0.0.5:8787 ada@login1.example.org'
    >>> lines("http://10.0.0.5:8787/status", {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "hub", "ada")[1]
    'in Jupyter: /user/ada/proxy/10.0.0.5:8787/status (with jupyter-server-proxy, and 10.0.0.5 in its host_allowlist)'
    """
    address = urlsplit(link)
    if address.hostname is None or address.port is None:
        # the user's own setting of distributed.dashboard.link says it all
        return [link]
    return [link, *_jupyter(link, environ), *_tunnel(link, environ, host, user)]


def labelled(lines: Sequence[str], label: str = "dashboard") -> list[str]:
    """Return the lines with what they are about before the first.

    Examples
    --------
    >>> labelled(["http://127.0.0.1:8787/status"]), labelled([])
    (['dashboard: http://127.0.0.1:8787/status'], [])
    """
    return [f"{label}: {line}" if number == 0 else line for number, line in enumerate(lines)]


def _tunnel(link: str, environ: Mapping[str, str], host: str, user: str) -> list[str]:
    """Return the ssh command to paste, none where the user sits at this machine."""
    submitted_from = _submit_host(environ)
    if submitted_from is None and not environ.get("SSH_CONNECTION"):
        return []
    address = urlsplit(link)
    name, port = _login(environ, submitted_from or host)
    way = f"{LOCAL_PORT}:{address.netloc.rpartition(':')[0]}:{address.port}"
    if submitted_from and address.hostname in LOOPBACK and _short(submitted_from) != _short(host):
        # only the node itself reaches its loopback
        words = ["-J", f"{user}@{name}" + (f":{port}" if port else ""), "-L", way, f"{user}@{host}"]
    else:
        words = ["-L", way, *(["-p", port] if port else []), f"{user}@{name}"]
    local = address._replace(netloc=f"127.0.0.1:{LOCAL_PORT}").geturl()
    return [
        "from your own machine, and leave it open:",
        f"  {shlex.join(['ssh', '-N', *words])}",
        f"then open there: {local}",
    ]


def _jupyter(link: str, environ: Mapping[str, str]) -> list[str]:
    """Return the address under Jupyter's own, of which a process knows the path and at times the beginning."""
    base = environ.get("JUPYTERHUB_PUBLIC_URL") or environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if not base:
        server = environ.get("JUPYTER_SERVER_URL")
        if not server:
            return []
        # the address in it is the server's own idea of itself; the browser knows a better one
        base = urlsplit(server).path
    address = urlsplit(link)
    near = address.hostname in LOOPBACK
    place = str(address.port) if near else address.netloc
    needed = "jupyter-server-proxy" if near else f"jupyter-server-proxy, and {address.hostname} in its host_allowlist"
    return [f"in Jupyter: {base.rstrip('/')}/proxy/{place}{address.path} (with {needed})"]


def _submit_host(environ: Mapping[str, str]) -> str | None:
    """Return the machine from which the batch job of this process was submitted, None outside of one."""
    found = (environ.get(host) for job, host in BATCH_JOBS.items() if environ.get(job))
    return next(filter(None, found), None)


def _login(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return what to log in to, and the port where that is not ssh's own.

    A full name; else the address at which ssh came in, as a short name is known here only.

    Examples
    --------
    >>> ssh = {"SSH_CONNECTION": "203.0.113.7 50514 198.51.100.2 22"}
    >>> _login(ssh, "login1.example.org"), _login(ssh, "login1"), _login({}, "login1")
    (('login1.example.org', ''), ('198.51.100.2', ''), ('login1', ''))
    """
    came_in = environ.get("SSH_CONNECTION", "").split()
    if len(came_in) != 4:
        return name, ""
    return name if "." in name else came_in[2], "" if came_in[3] == "22" else came_in[3]


def _short(name: str) -> str:
    return name.partition(".")[0]
