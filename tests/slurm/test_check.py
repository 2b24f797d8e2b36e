"""`neq cluster check` against a real SLURM: what works, and each way in which a profile does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import check, profile, script
from cluster import slurm as commands

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tried(slurm, tmp_path):
    """Try the testbed's profile with some keys changed; return what was found, which leaves neither job nor file."""

    def attempt(patience=60.0, **changed):
        one = profile.load("testbed").model_copy(update={"memory": "300MiB"} | changed)
        found = list(check.check(one, tmp_path / "results", patience))
        assert not (tmp_path / "results").exists()
        return found

    return attempt


def problem(found):
    (one,) = [one for one in found if one.kind != "ok"]
    return one


def test_check__a_profile_that_works(tried, monkeypatch, until):
    numbers = []
    monkeypatch.setattr(commands, "submit", lambda text, real=commands.submit: numbers.append(real(text)) or numbers[0])
    text = "\n".join(f"{one.kind} {one.text}" for one in tried())
    assert "problem" not in text
    for told in (
        "partition normal is up, 4 nodes, walltime at most 1-00:00:00",
        "(lo)",
        "s in the queue",
        "its worker was connected",
        "reaches the scheduler from 127.0.0.1 (lo)",
        "the node reads what is written in",
        "scratch in ",
        "numba's cache in ",
        "versions are equal on both sides",
    ):
        assert told in text
    assert until(lambda: commands.jobs(numbers)[numbers[0]].ended)


def test_check__what_sbatch_says(tried):
    one = problem(tried(directives=("--constraint=skylake",)))
    assert "Invalid feature specification" in one.text


def test_check__log_directory_is_made(tried, tmp_path):
    logs = tmp_path / "logs" / "mine"
    found = tried(log_directory=str(logs), python="/no/python")
    assert "its log ends: " in problem(found).text
    assert list(logs.iterdir()) == []


def test_check__one_of_several_partitions_is_enough(tried):
    found = tried(partition="short,normal,down", walltime="02:00:00")
    assert {one.kind for one in found} == {"ok"}
    assert [one.text[:23] for one in found if one.text.startswith("partition")] == ["partition normal is up,"]


def test_check__none_of_several_partitions(tried):
    found = tried(partition="short,down", walltime="02:00:00")
    assert {one.kind for one in found} == {"problem"}
    assert [name in found[at].text for at, name in enumerate(("short, 00:10:00", "down is INACTIVE"))] == [True, True]
    assert problem(tried(partition="normal,moon")).text == "there is no partition 'moon'"


def test_check__walltime_that_slurm_would_take_and_never_start(tried, monkeypatch):
    monkeypatch.setattr(script, "job_script", None)  # nothing is submitted
    one = problem(tried(partition="short", walltime="02:00:00"))
    assert one.text == "walltime 02:00:00 is over the limit of partition short, 00:10:00"


@pytest.mark.parametrize(
    ("partition", "text"), [("moon", "there is no partition 'moon'"), ("down", "partition down is INACTIVE")]
)
def test_check__partition_that_takes_no_job(tried, partition, text):
    assert problem(tried(partition=partition, walltime="00:05:00")).text == text


def test_check__a_job_that_ends_at_once(tried):
    one = problem(tried(python="/no/python"))
    assert "FAILED, exit code 127; its log ends: " in one.text
    assert "/no/python: No such file or directory" in one.text


def test_check__a_job_that_only_waits(tried):
    one = problem(tried(patience=2.0, directives=("--begin=now+1hour",)))
    assert (one.kind, "(BeginTime)" in one.text) == ("note", True)


def test_check__interface_that_is_not_here(tried):
    one = problem(tried(interface="ib9", scheduler_host=None))
    assert "'ib9' is not on this machine" in one.text


def test_check__results_that_the_nodes_do_not_see(slurm, tmp_path):
    """A disk that only this process has mounted; the virtual nodes see the folder beneath it."""
    results = tmp_path / "results"
    results.mkdir()
    command = (
        f'mount -t tmpfs none "{results}" || exit 77; exec "$0" -m workflows.cli cluster check testbed --results "$1"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, sys.executable, str(results)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("a private mount is not allowed here")
    assert done.returncode == 1, done.stderr
    assert "problem  the node n" in done.stdout
    assert "does not see the results folder" in done.stdout
    assert "1 problem" in done.stdout


@pytest.mark.long
def test_check__a_scheduler_that_the_worker_does_not_reach(tried, monkeypatch):
    nobody = "tcp://127.0.0.1:9"
    real = script.job_script
    monkeypatch.setattr(script, "job_script", lambda one, address, folder: real(one, nobody, folder))
    one = problem(tried())
    assert "no worker has reached tcp://127.0.0.1:" in one.text
    assert "set interface or scheduler_host" in one.remedy
