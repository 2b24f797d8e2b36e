"""Job scripts, line by line for each batch system, and run by a shell as a node would run them."""

import os
import subprocess
import time

import dask
import distributed
import pytest

from cluster import leaving, script
from cluster.errors import ClusterError
from cluster.profile import Profile
from cluster.settings import THREADS

ADDRESS = "tcp://10.0.0.1:8786"
FULL = {
    "partition": "long",
    "account": "lab",
    "walltime": "1-02:03:04",
    "cores": 2,
    "memory": "4GiB",
    "processes": 2,
    "local_directory": "/scratch",
    "interface": "ib0",
    "prologue": ("module load python", "export OMP_NUM_THREADS=8"),
}


def lines_of(scheduler, **changed):
    return script.job_script(Profile(scheduler=scheduler, **(FULL | changed)), ADDRESS, "/logs").splitlines()


def directives(scheduler, **changed):
    return [line for line in lines_of(scheduler, **changed)[1:] if line.startswith("#")]


def test_slurm__directives():
    assert directives("slurm", directives=("--qos=high",)) == [
        "#SBATCH -J neq",
        "#SBATCH -p long",
        "#SBATCH -A lab",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --mem=10240M",
        "#SBATCH -t 26:03:04",
        "#SBATCH -o /logs/neq-%j.out",
        "#SBATCH -e /logs/neq-%j.err",
        "#SBATCH --qos=high",
    ]


def test_pbs__directives():
    assert directives("pbs", directives=("-l place=pack",)) == [
        "#PBS -N neq",
        "#PBS -q long",
        "#PBS -A lab",
        "#PBS -l select=1:ncpus=2:mem=10240mb",
        "#PBS -l walltime=26:03:04",
        "#PBS -o /logs/",
        "#PBS -e /logs/",
        "#PBS -l place=pack",
    ]


# dask-jobqueue leaves lsf.conf open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lsf__directives(tmp_path, monkeypatch):
    (tmp_path / "lsf.conf").write_text("LSF_UNIT_FOR_LIMITS=MB\n")
    monkeypatch.setenv("LSF_ENVDIR", str(tmp_path))
    assert directives("lsf", directives=("-R rusage[mem=10240]",)) == [
        "#BSUB -J neq",
        "#BSUB -q long",
        '#BSUB -P "lab"',
        "#BSUB -n 2",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -M 10738",
        "#BSUB -W 26:04",
        "#BSUB -o /logs/neq-%J.out",
        "#BSUB -e /logs/neq-%J.err",
        "#BSUB -R rusage[mem=10240]",
    ]


def test_sge__directives():
    assert directives("sge", directives=("-pe smp 2",)) == [
        "#$ -N neq",
        "#$ -q long",
        "#$ -P lab",
        "#$ -l mem_free=10240M",
        "#$ -l h_rt=26:03:04",
        "#$ -cwd",
        "#$ -j y",
        "#$ -o /logs/",
        "#$ -e /logs/",
        "#$ -S /bin/bash",
        "#$ -pe smp 2",
    ]


@pytest.mark.parametrize(
    ("scheduler", "skipped", "gone", "kept"),
    [
        ("slurm", "--mem", "--mem=", "--cpus-per-task"),
        # dask-jobqueue alone would drop --cpus-per-task too, which has these letters in it
        ("slurm", "-t", "-t 26", "--cpus-per-task"),
        ("slurm", "-o", "-o /logs", "-e /logs"),
        ("pbs", "-l select", "select", "walltime"),
        ("lsf", "-M", "-M", "-W"),
        ("sge", "-l mem_free", "mem_free", "h_rt"),
    ],
)
def test_skipped_directives_are_left_out_and_no_others(scheduler, skipped, gone, kept):
    full, fewer = directives(scheduler), directives(scheduler, skip_directives=(skipped,))
    assert len(fewer) == len(full) - 1
    assert any(gone in line for line in full)
    assert not any(gone in line for line in fewer)
    assert any(kept in line for line in fewer)


@pytest.mark.parametrize("scheduler", list(script.JOBS))
def test_worker__one_thread_each_own_limit_named_by_its_job(scheduler):
    lines = lines_of(scheduler)
    command = lines[-1]
    assert f" {ADDRESS} --name {script.WORKER_NAMES[scheduler]} --nthreads 1 --memory-limit 4.00GiB" in command
    assert "--nworkers 2" in command
    assert "--local-directory /scratch" in command
    assert command.endswith("--interface ib0")
    # what a site's module sets does not win over one thread for each worker
    assert lines.index("export OMP_NUM_THREADS=8") < lines.index("export OMP_NUM_THREADS=1")
    assert all(f"export {name}=1" in lines for name in THREADS)


@pytest.mark.parametrize("scheduler", list(script.JOBS))
@pytest.mark.parametrize(("margin", "most"), [(None, 3600 - 300), (10.0, 3600 - 300), (1000.0, 2600)])
def test_worker__leaves_before_its_walltime_whatever_the_stagger(scheduler, margin, most):
    profile = Profile(scheduler=scheduler, **(FULL | {"walltime": "01:00:00"}))
    lines = script.job_script(profile, ADDRESS, "/logs", margin).splitlines()
    (leave,) = (line for line in lines if leaving.VARIABLE in line)
    # the time counts from the start of the job, not from the end of what the site does first
    assert lines.index(leave) < lines.index("module load python")
    said = [subprocess.run(["bash", "-c", f"{leave}; echo $NEQ_LEAVE_AT"], capture_output=True, text=True).stdout]
    assert all(0.9 * most - 1 <= int(text) - time.time() <= most for text in said)
    # Dask would cut the block that runs
    assert "--lifetime" not in lines[-1]


@pytest.mark.parametrize("scheduler", list(script.JOBS))
def test_preamble__all_of_a_job_but_its_worker(scheduler):
    profile = Profile(scheduler=scheduler, **FULL)
    whole = script.job_script(profile, ADDRESS, "/logs").splitlines()
    assert script.preamble(profile, "/logs") == [line for line in whole[:-1] if leaving.VARIABLE not in line]
    assert "dask_worker" in whole[-1]


def test_job_memory__above_that_of_its_worker():
    assert "#SBATCH --mem=5120M" in directives("slurm", processes=1, cores=1)
    assert "#SBATCH --mem=4096M" in directives("slurm", processes=1, cores=1, memory_margin=1.0)


def test_job_script__writes_nothing(tmp_path):
    profile = Profile(scheduler="slurm", cores=1, memory="1GiB")
    text = script.job_script(profile, ADDRESS, tmp_path / "50% done" / "logs")
    assert f"-o '{tmp_path}/50%% done/logs/neq-%j.out'" in text
    assert list(tmp_path.iterdir()) == []


def test_job_script__own_log_directory():
    assert "#SBATCH -o /elsewhere/neq-%j.out" in directives("slurm", log_directory="/elsewhere")


def test_job_script__is_what_the_profile_says_whatever_dask_is_configured_to():
    plain = lines_of("slurm", account=None)
    with dask.config.set({"jobqueue.slurm.account": "other", "jobqueue.slurm.job-extra-directives": ["--qos=x"]}):
        assert lines_of("slurm", account=None) == plain


def test_make_cluster__interface_that_is_not_here():
    profile = Profile(scheduler="slurm", cores=1, memory="1GiB", interface="ib9")
    with pytest.raises(ClusterError, match=r"'ib9' is not on this machine, which has .*lo \(127.0.0.1\).*: name one"):
        script.make_cluster(profile, "/logs")


def test_make_cluster__driver_in_a_job_listens_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    profile = Profile(scheduler="slurm", cores=1, memory="1GiB", scheduler_host="203.0.113.7", interface="lo")
    cluster = script.make_cluster(profile, tmp_path)
    try:
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
    finally:
        cluster.close()


def test_make_cluster__host_that_is_not_this_machine(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    profile = Profile(scheduler="slurm", cores=1, memory="1GiB", scheduler_host="203.0.113.7")
    with pytest.raises(
        ClusterError, match=r"No scheduler can listen on 203\.0\.113\.7, .*: set the profile's interface"
    ):
        script.make_cluster(profile, "/logs")


def _seen():
    """What a worker has for threads and settings, asked on the worker."""
    keys = ("memory.spill", "memory.terminate", "preload")
    settings = [dask.config.get(f"distributed.worker.{key}") for key in keys]
    return os.environ["NUMBA_NUM_THREADS"], settings, "NUMBA_CACHE_DIR" in os.environ


def test_script__run_by_a_shell_brings_a_worker(tmp_path):
    """What a node does with a script, but for the batch system."""
    profile = Profile(scheduler="sge", cores=1, memory="400MiB", interface="lo", local_directory=str(tmp_path))
    cluster = script.make_cluster(profile, tmp_path)
    text = script.job_script(profile, cluster.scheduler_address, tmp_path)
    job = subprocess.Popen(
        ["bash", "-c", text],
        env={**os.environ, "JOB_ID": "7"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with distributed.Client(cluster) as client:
            client.wait_for_workers(1, timeout=60)
            (worker,) = client.scheduler_info()["workers"].values()
            assert (worker["name"], worker["nthreads"]) == ("neq-7-0", 1)
            assert worker["memory_limit"] == pytest.approx(400 * 2**20, rel=0.01)
            assert worker["host"] == cluster.scheduler_address.split("//")[1].split(":")[0] == "127.0.0.1"
            threads, settings, cached = client.submit(_seen).result(timeout=30)
            assert (threads, settings, cached) == ("1", [False, 0.95, ["cluster.preload"]], True)
    finally:
        cluster.close()
        job.wait(timeout=60)
