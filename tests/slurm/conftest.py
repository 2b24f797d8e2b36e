"""A real SLURM for the tests in this folder, and drivers to run on it."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from slurm_sweep import ROOT, Sweep

from cluster import slurm as commands

TESTBED = ROOT / "cluster" / "testbed" / "start.sh"
REQUIRED = "NEQ_REQUIRE_SLURM"
"""Environment variable: 1 turns a SLURM that cannot be had from a skip into a failure."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm():
    """Make sure that SLURM runs here; the testbed stays up, as other runs may use it."""
    reason = None
    if os.getuid() != 0 and not commands.available():
        reason = "there is no SLURM here, and only root can start the testbed"
    elif os.getuid() == 0:
        done = subprocess.run(["bash", str(TESTBED)], capture_output=True, text=True, timeout=240)
        if done.returncode:
            reason = f"the testbed does not start: {done.stderr.strip()[-500:]}"
        else:  # its last line; /etc/slurm may name another SLURM's
            os.environ["SLURM_CONF"] = done.stdout.strip().rpartition("SLURM_CONF=")[2]
    if reason is None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def sweep(slurm, tmp_path):
    made = Sweep(tmp_path)
    yield made
    made.close()


@pytest.fixture
def until():
    """Wait until something is so."""

    def wait(condition, seconds=60):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.2)
        return found

    return wait


@pytest.fixture(scope="session")
def local_store(slurm, tmp_path_factory):
    """Return the store of the same cells, computed on this machine without SLURM."""
    made = Sweep(tmp_path_factory.mktemp("local")).configure(seconds=0.0)
    code, _, err = made.finish(cluster="local")
    assert code == 0, err
    return made.store
