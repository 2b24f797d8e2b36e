import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
NAMES = itertools.count()
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None
        time.sleep(0.1)
    raise TimeoutError(port)


@contextlib.contextmanager
def started(command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def server():
    """Return the port of a real S3 server."""
    port = free_port()
    with started([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as process:
        wait_for(port, process)
        yield port


class Way:
    """A way to the server that can be cut and opened again."""

    def __init__(self, target):
        self.target, self.port, self.process = target, free_port(), None

    def open(self, rate=None):
        command = [sys.executable, str(TESTS / "tcp_proxy.py"), str(self.port), str(self.target)]
        self.process = subprocess.Popen([*command, *([str(rate)] if rate else [])])
        wait_for(self.port, self.process)

    def cut(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def way(server):
    made = Way(server)
    made.open()
    yield made
    made.cut()


@pytest.fixture
def place_of_own(server, monkeypatch):
    """Return the URL of a folder in a bucket of its own; this process and its children reach the server."""
    import s3fs

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server}")
    bucket = f"lab-{os.getpid()}-{next(NAMES)}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/runs/demo"


class Driver:
    """A real `neq` in a process of its own; `neq run` where only a config is given."""

    def __init__(self, *arguments, port=None, **environment):
        here = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", **environment}
        if port is not None:
            here["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        words = arguments if isinstance(arguments[0], str) else ("run", *arguments)
        command = [sys.executable, "-m", "workflows.cli", *map(str, words)]
        self.process = subprocess.Popen(
            command, env=here, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def end(self, seconds=120):
        """Wait for it; return exit code and everything it said."""
        said, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, said

    def send(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def drive():
    """Start drivers; those that are left are killed."""
    drivers = []

    def start(*arguments, **keys):
        drivers.append(Driver(*arguments, **keys))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.process.poll() is None:
            driver.kill()


@pytest.fixture
def config_at(tmp_path, place_of_own):
    """Write a config of the toy study whose results are at the URL."""

    def write(name="run.yaml", **keys):
        import yaml

        defaults = {
            "study": "remote_study:Kept",
            "results": place_of_own,
            "work": str(tmp_path / "work"),
            "sessions": ["a", "b"],
            "conditions": ["rest"],
            "sizes": [2, "all"],
            "repetitions": 12,
            "flush_seconds": 0.1,
            "sweep": {"block": {"repetition": 6}},
            "cluster": {"workers": 1},
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump({**defaults, **keys}))
        return path

    return write
