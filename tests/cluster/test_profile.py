"""Profiles: right ones as they are meant, wrong ones with every problem in one sentence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import limits, profile
from cluster.errors import ClusterError
from cluster.partition import Partition
from cluster.profile import Driver, Profile

LEAST = "scheduler: slurm\ncores: 1\nmemory: 4GiB\n"


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def complaint(tmp_path, text):
    with pytest.raises(ClusterError) as caught:
        profile.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", profile.names())
def test_load__each_that_comes_with_neq(name):
    loaded = profile.load(name)
    assert loaded.name == name
    assert loaded.workers > 1
    assert loaded.job_memory_bytes > loaded.memory_bytes


def test_names__one_for_each_batch_system_and_the_testbed():
    assert {profile.load(name).scheduler for name in profile.names()} == {"slurm", "pbs", "lsf", "sge"}
    assert "testbed" in profile.names()


def test_load__the_slurm_profile_shows_every_key_but_the_loop(tmp_path):
    """It is the one to copy, so it must name what there is."""
    text = (profile.FOLDER / "slurm.yaml").read_text()
    missing = {key for key in Profile.model_fields if f"\n{key}:" not in text}
    assert missing == {"memory_margin", "watch_interval"}
    assert all(f"  {key}:" in text for key in Driver.model_fields)


def test_load__numbers_and_null(tmp_path):
    text = LEAST + "processes: null\n"
    assert "processes" in complaint(tmp_path, text)
    loaded = profile.load(write(tmp_path, LEAST + "workers: 12\nmemory_margin: 1.5\naccount: null\npartition: 007\n"))
    assert (loaded.workers, loaded.memory_margin, loaded.account, loaded.partition) == (12, 1.5, None, "007")


def test_load__an_unquoted_walltime_is_no_number(tmp_path):
    """YAML 1.1 reads 1:30:00 as 5400 and no as false."""
    loaded = profile.load(write(tmp_path, LEAST + "walltime: 1:30:00\npartition: no\n"))
    assert (loaded.walltime_seconds, loaded.partition) == (5400, "no")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scheduler: slurm\ncores: 1\n", "memory is required, such as 4GiB"),
        ("scheduler: slurm\nmemory: 4GiB\n", "cores is required, such as 1"),
        (LEAST.replace("slurm", "slum"), "scheduler: expected 'slurm', 'pbs', 'lsf' or 'sge', found 'slum'"),
        (LEAST + "walltme: 01:00:00\n", "walltme is no key of a profile (perhaps walltime)"),
        (LEAST + "colour: red\n", "colour is no key of a profile"),
        (LEAST + "processes: 2\n", "expected a core for each of the 2 processes of a job, found 1; set cores to 2"),
        (LEAST.replace("4GiB", "4"), "expected a size with its unit, such as 4GiB, and at least 64MiB, found '4'"),
        (LEAST.replace("4GiB", "1e400"), "expected a size with its unit"),
        (LEAST + "memory_margin: 0.9\n", "memory_margin: expected greater than or equal to 1, found '0.9'"),
        (LEAST + "prologue: module load python\n", "prologue: expected a list, found 'module load python'"),
        (LEAST + 'prologue: ["a\\nb"]\n', "expected a single line; give a list with one item for each line"),
        (LEAST + "driver: {memory: much}\n", "driver.memory: expected a size with its unit"),
        (LEAST + "cores: 2\n", "line 4 (cores is written twice): mend it"),
        ("scheduler: [slurm\n", "is not YAML, line 2"),
        ("- slurm\n", "must hold keys and values: begin with `scheduler: slurm`"),
        ("", "must hold keys and values"),
    ],
)
def test_load__says_what_is_wrong(tmp_path, text, message):
    assert message in complaint(tmp_path, text)


@pytest.mark.parametrize("walltime", ["4h", "60", "01:00", "00:00:00", "1:60:00", "-1:00:00", "1-1", "soon"])
def test_load__walltime_that_cannot_be_read(tmp_path, walltime):
    text = complaint(tmp_path, LEAST + f'walltime: "{walltime}"\n')
    assert "walltime: expected" in text
    assert f"found '{walltime}'" in text


def test_load__all_problems_at_once(tmp_path):
    text = complaint(tmp_path, "scheduler: slurm\nwalltime: 4h\ninterfaces: ib0\n")
    assert all(f"{key}" in text for key in ("walltime", "memory", "cores", "interfaces"))


def test_changed__is_checked_and_keeps_its_name():
    loaded = profile.load("slurm")
    assert (loaded.changed(memory="2GiB").memory_bytes, loaded.changed(memory="2GiB").name) == (2**31, "slurm")
    with pytest.raises(ClusterError) as caught:
        loaded.changed(memory="4")
    assert str(caught.value) == (
        "A changed profile is not right: "
        "memory: expected a size with its unit, such as 4GiB, and at least 64MiB, found '4'."
    )


def test_load__unknown_name():
    with pytest.raises(
        ClusterError, match=r"no profile 'slrm': did you mean 'slurm'\? If not, give one of lsf, pbs, sge, slurm"
    ):
        profile.load("slrm")


def test_load__file_that_is_not_there(tmp_path):
    with pytest.raises(ClusterError, match=r"mine\.yaml is not there: give the path of a YAML file, or a name"):
        profile.load(tmp_path / "mine.yaml")


def test_load__file_that_is_no_text(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClusterError, match="cannot be read"):
        profile.load(tmp_path / "mine.yaml")


@given(st.integers(1, 365 * 86400))
def test_seconds_of__inverts_the_clock(seconds):
    assert profile.seconds_of(limits.clock(seconds)) == seconds


@given(st.integers(1, 10**7), st.floats(0, 1e9))
def test_lifetime__between_half_and_all_of_the_walltime(seconds, margin):
    one = Profile(scheduler="slurm", cores=1, memory="1GiB", walltime=limits.clock(seconds))
    assert 0.5 * seconds <= one.lifetime_seconds(margin) <= seconds
    assert one.lifetime_seconds() < seconds


NORMAL = Partition("normal", "UP", most_seconds=86400, most_memory_mib=4000, n_node=4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"walltime": "1-00:00:01"}, "walltime 1-00:00:01 is over the limit of partition normal, 1-00:00:00: ask for"),
        ({"memory": "3.2GiB"}, "a job's memory, 4.0 GiB, is over the limit of partition normal, 3.9 GiB: ask for less"),
    ],
)
def test_limits__what_the_partition_does_not_give(changed, message):
    least = {"scheduler": "slurm", "cores": 1, "memory": "3GiB", "walltime": "1-00:00:00"}
    assert limits.problems(Profile(**least), NORMAL) == []
    (found,) = limits.problems(Profile(**(least | changed)), NORMAL)
    assert message in found


def test_limits__what_no_node_has():
    nodes = replace(NORMAL, most_memory_mib=None, node_memory_mib=4000)
    found = limits.problems(Profile(scheduler="slurm", cores=1, memory="3.2GiB"), nodes)
    assert found == [
        "a job's memory, 4.0 GiB, is over the limit of the nodes of partition normal, 3.9 GiB: "
        "ask for less, or take another partition"
    ]
    # a site that wants no word of memory gives what it gives
    silent = Profile(scheduler="slurm", cores=1, memory="3.2GiB", skip_directives=("--mem",))
    assert limits.problems(silent, nodes) == []


def test_limits__more_cores_than_any_node_has():
    nodes = Partition("normal", "UP", most_seconds=None, most_memory_mib=None, n_node=4, node_cores=4)
    wide = Profile(scheduler="slurm", cores=5, memory="1GiB")
    assert limits.problems(wide, nodes) == [
        "a job's 5 cores are more than the 4 of the largest node of partition normal: "
        "ask for fewer, or take another partition"
    ]
    assert limits.problems(wide.model_copy(update={"cores": 4}), nodes) == []
    silent = Profile(scheduler="slurm", cores=5, memory="1GiB", skip_directives=("--cpus-per-task",))
    assert limits.problems(silent, nodes) == []


def test_limits__none_where_the_partition_has_none():
    endless = Partition("long", "UP", most_seconds=None, most_memory_mib=None, n_node=1)
    huge = Profile(scheduler="slurm", cores=1, memory="9TiB", walltime="300-00:00:00")
    assert limits.problems(huge, endless) == []


def test_limits__no_slurm_here(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match=r"no sbatch: give the command on a login node .* or take --cluster local"):
        limits.require(Profile(scheduler="slurm", cores=1, memory="1GiB"))


@pytest.mark.parametrize(("scheduler", "command"), [("pbs", "qsub"), ("sge", "qsub"), ("lsf", "bsub")])
def test_limits__of_other_batch_systems_only_the_command_is_looked_for(monkeypatch, tmp_path, scheduler, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    profile = Profile(scheduler=scheduler, cores=1, memory="1GiB")
    with pytest.raises(ClusterError, match=f"This machine has no {command}: give the command on a login node"):
        limits.require(profile)
    (tmp_path / command).write_text("#!/bin/sh\n")
    (tmp_path / command).chmod(0o755)
    assert limits.require(profile) is None
