"""Where to see the dashboard from."""

import shlex
import shutil
import subprocess

import pytest

from cluster import local
from workflows import dashboard

NEAR, FAR = "http://127.0.0.1:41233/status", "http://10.0.0.5:8787/status"
SSH = {"SSH_CONNECTION": "203.0.113.7 50514 198.51.100.2 22"}
FORWARDED = {"SSH_CONNECTION": "203.0.113.7 50514 198.51.100.2 2222"}
JOB = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_HOST": "login1.example.org"}


def command(link, environ, host="login1.example.org", user="ada"):
    """Return the line to paste."""
    found = [line.strip() for line in dashboard.lines(link, environ, host, user) if line.startswith("  ")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("environ", [{}, {"SSH_CONNECTION": ""}, {"SLURM_SUBMIT_HOST": "login1"}, {"SGE_ROOT": "/sge"}])
def test_lines__at_the_machine_itself_the_address_is_enough(environ):
    assert dashboard.lines(NEAR, environ, "laptop", "ada") == [NEAR]


@pytest.mark.parametrize(
    ("link", "environ", "host", "expected"),
    [
        (NEAR, SSH, "login1.example.org", "ssh -N -L 8787:127.0.0.1:41233 ada@login1.example.org"),
        # a short name may be known inside the site only
        (NEAR, SSH, "login1", "ssh -N -L 8787:127.0.0.1:41233 ada@198.51.100.2"),
        (NEAR, FORWARDED, "login1.example.org", "ssh -N -L 8787:127.0.0.1:41233 -p 2222 ada@login1.example.org"),
        # the scheduler of a batch cluster listens on one address, loopback excluded
        (FAR, SSH, "login1.example.org", "ssh -N -L 8787:10.0.0.5:8787 ada@login1.example.org"),
        (FAR, JOB, "node5", "ssh -N -L 8787:10.0.0.5:8787 ada@login1.example.org"),
        # a job inherits what its submitter's shell had
        (FAR, {**SSH, **JOB, "SLURM_SUBMIT_HOST": "login1"}, "node5", "ssh -N -L 8787:10.0.0.5:8787 ada@198.51.100.2"),
        # loopback of a node is reached on that node only
        (NEAR, JOB, "node5", "ssh -N -J ada@login1.example.org -L 8787:127.0.0.1:41233 ada@node5"),
        (
            NEAR,
            {**JOB, **FORWARDED},
            "node5",
            "ssh -N -J ada@login1.example.org:2222 -L 8787:127.0.0.1:41233 ada@node5",
        ),
        (NEAR, JOB, "login1", "ssh -N -L 8787:127.0.0.1:41233 ada@login1.example.org"),
        (
            FAR,
            {"PBS_JOBID": "7.pbs", "PBS_O_HOST": "l.example.org"},
            "n",
            "ssh -N -L 8787:10.0.0.5:8787 ada@l.example.org",
        ),
        ("http://[::1]:8787/status", SSH, "a.example.org", "ssh -N -L '8787:[::1]:8787' ada@a.example.org"),
    ],
)
def test_lines__the_tunnel_to_paste(link, environ, host, expected):
    assert command(link, environ, host) == expected


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh here")
@pytest.mark.parametrize("link", [NEAR, FAR, "http://[2001:db8::1]:8787/status"])
@pytest.mark.parametrize("environ", [SSH, FORWARDED, JOB, {**JOB, **FORWARDED}])
@pytest.mark.parametrize("user", ["ada", "DOMAIN\\ada"])
def test_lines__ssh_understands_the_tunnel(link, environ, user):
    program, *arguments = shlex.split(command(link, environ, "node5", user))
    understood = subprocess.run([program, "-G", "-F", "none", *arguments], capture_output=True, text=True)
    assert understood.returncode == 0, understood.stderr
    told = understood.stdout.splitlines()
    host = link.removeprefix("http://").rpartition(":")[0].strip("[]")
    assert f"user {user}" in told
    assert any(line.startswith(f"localforward 8787 [{host}]:") for line in told)


@pytest.mark.parametrize(
    ("environ", "link", "expected"),
    [
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, NEAR, "/user/ada/proxy/41233/status"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/"}, NEAR, "/proxy/41233/status"),
        (
            {"JUPYTERHUB_PUBLIC_URL": "https://hub.example.org/user/ada/", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"},
            NEAR,
            "https://hub.example.org/user/ada/proxy/41233/status",
        ),
        ({"JUPYTER_SERVER_URL": "http://localhost:8888/base/"}, NEAR, "/base/proxy/41233/status"),
        ({"JUPYTER_SERVER_URL": "http://localhost:8888/"}, FAR, "/proxy/10.0.0.5:8787/status"),
    ],
)
def test_lines__through_jupyter(environ, link, expected):
    first, second = dashboard.lines(link, environ, "hub", "ada")
    assert first == link
    assert second.startswith(f"in Jupyter: {expected} (")
    assert "jupyter-server-proxy" in second
    assert ("host_allowlist" in second) == (link == FAR)


def test_lines__a_link_of_the_users_own_making_is_left_alone():
    link = "/user/ada/proxy/8787/status"
    assert dashboard.lines(link, {**SSH, "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "hub", "ada") == [link]


def test_of__a_cluster_on_this_machine(monkeypatch):
    for name in ("SSH_CONNECTION", *dashboard.BATCH_JOBS):
        monkeypatch.delenv(name, raising=False)
    with local.start(workers=1, memory="1GiB") as client:
        assert dashboard.of(client)[0] == client.dashboard_link
        assert not [line for line in dashboard.of(client) if "ssh" in line]
        monkeypatch.setenv("SSH_CONNECTION", SSH["SSH_CONNECTION"])
        port = client.dashboard_link.rpartition(":")[2].removesuffix("/status")
        assert f"ssh -N -L 8787:127.0.0.1:{port} " in "\n".join(dashboard.of(client))
