"""Workers as jobs of batch systems other than SLURM; their commands are small scripts here, the workers real."""

import os
import time

import psutil
import pytest

from cluster import batch
from cluster.errors import ClusterError
from cluster.profile import Profile

RUNS = """#!/bin/sh
# as a batch system does, keeps the script: the file is deleted once this has answered
script=$(mktemp "$0.XXXXXX") && cp "$1" "$script"
setsid sh "$script" >"$script.log" 2>&1 &
echo $! >>"$0.ids"
echo $!.server
"""
ENDS = "#!/bin/sh\nkill -TERM -- -${1%.server}\n"
REFUSES = "#!/bin/sh\necho 'qsub: Unauthorized Request: no such queue' >&2\nexit 159\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Put commands of a batch system on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(**commands):
        for name, text in commands.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return folder

    return install


@pytest.fixture
def profile():
    return Profile(scheduler="pbs", cores=1, memory="300MiB", workers=2, interface="lo", scheduler_host="127.0.0.1")


def test_start__jobs_of_pbs_come_and_go(site, profile, tmp_path):
    folder = site(qsub=RUNS, qdel=ENDS)
    told = []
    with batch.start(profile, log_folder=tmp_path / "jobs") as client:
        client.wait_for_first(told.append)
        assert client.nthreads()
        assert told == ["the batch system has the jobs: those without a worker wait in its queue or start"]
        client.wait_for_workers(2, timeout=60)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        ids = [int(line) for line in (folder / "qsub.ids").read_text().split()]
        assert len(ids) == 2
        assert all(psutil.pid_exists(number) for number in ids)
    end = time.monotonic() + 20
    while any(_lives(number) for number in ids):
        assert time.monotonic() < end, "a job outlived its cluster"
        time.sleep(0.1)


def test_start__a_job_that_is_refused(site, profile, tmp_path):
    site(qsub=REFUSES, qdel=ENDS)
    with pytest.raises(ClusterError) as error, batch.start(profile, log_folder=tmp_path / "jobs"):
        pass
    assert str(error.value) == (
        "qsub refuses the job: qsub: Unauthorized Request: no such queue. Mend the profile and give the command again."
    )


def test_start__log_directory_is_made(site, profile, tmp_path):
    site(qsub=REFUSES, qdel=ENDS)
    logs = tmp_path / "mine" / "logs"
    elsewhere = profile.changed(log_directory=str(logs))
    with pytest.raises(ClusterError, match="refuses"), batch.start(elsewhere, log_folder=tmp_path / "jobs"):
        pass
    assert logs.is_dir()
    (tmp_path / "file").touch()
    elsewhere = profile.changed(log_directory=str(tmp_path / "file"))
    with (
        pytest.raises(
            ClusterError, match=r"/file of the jobs' logs cannot be made \(.*\): name another one as log_dir"
        ),
        batch.start(elsewhere, log_folder=tmp_path / "jobs"),
    ):
        pass


def test_start__memory_that_is_no_size(site, profile, tmp_path):
    site(qsub=RUNS, qdel=ENDS)
    with (
        pytest.raises(ClusterError, match="memory: expected a size with its unit, such as 4GiB"),
        batch.start(profile, memory="4", log_folder=tmp_path / "jobs"),
    ):
        pass
    assert not (tmp_path / "jobs").exists()


def _lives(number):
    return psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE
