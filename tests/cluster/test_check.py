"""The trial job of `neq cluster check`: what is said of each way it may go. The real ones are in tests/slurm."""

import io
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cluster import check, probe, trial
from cluster.errors import ClusterError
from cluster.profile import Profile
from cluster.slurm import Job
from workflows import cli, cli_cluster
from workflows.commands.finding import Finding

PROFILE = Profile(scheduler="slurm", cores=1, memory="1GiB")
ADDRESS = "tcp://10.0.0.1:8786"


class Queue:
    """A batch system and a clock that a list of states drives, one look at a time, a second apart."""

    def __init__(self, *states):
        self.states, self.now, self.told = list(states), -1.0, []

    def job(self, number):
        self.now += 1
        return self.states[min(int(self.now), len(self.states) - 1)][0]

    def worker(self, number):
        return self.states[min(int(self.now), len(self.states) - 1)][1]

    def follow(self, patience=100.0, **more):
        clock = {"clock": lambda: max(self.now, 0.0), "pause": lambda _: None}
        return trial.follow(7, self.job, self.worker, patience, self.told.append, **more, **clock)


WAITS, RUNS = Job(7, "PENDING", reason="Priority"), Job(7, "RUNNING", node="n1")


def test_follow__until_the_worker_is_there():
    queue = Queue((None, ""), (WAITS, ""), (WAITS, ""), (RUNS, ""), (RUNS, ""), (RUNS, "tcp://n1:1"))
    found = queue.follow()
    assert (found.worker, found.job.node, found.waited, found.connected) == ("tcp://n1:1", "n1", 3.0, 2.0)
    assert queue.told == [
        "job 7 waits",
        "job 7 waits (Priority)",
        "job 7 runs on n1, its worker is starting",
    ]


def test_follow__until_patience_ends():
    found = Queue((WAITS, "")).follow(patience=10)
    assert (found.worker, found.job.state, found.waited) == ("", "PENDING", 11.0)


def test_follow__until_the_job_ends():
    found = Queue((WAITS, ""), (RUNS, ""), (Job(7, "FAILED", exit_code=127), "")).follow()
    assert (found.job.exit_code, found.waited, found.connected) == (127, 1.0, 1.0)


def test_follow__until_a_running_job_has_had_its_time():
    found = Queue((RUNS, "")).follow(patience=5)
    assert found.connected == trial.CONNECT_SECONDS + 1
    assert Queue((RUNS, "")).follow(connect=200.0).connected == 201.0


def test_follow__an_ending_job_is_not_ended():
    """Why it ends is known a moment later."""
    queue = Queue((RUNS, ""), (Job(7, "COMPLETING"), ""), (Job(7, "OUT_OF_MEMORY"), ""))
    assert queue.follow().job.state == "OUT_OF_MEMORY"


@pytest.mark.parametrize(
    ("tried", "kind", "text", "remedy"),
    [
        (trial.Trial(WAITS, waited=300), "note", "has not begun, 300 s in the queue (Priority)", "--wait"),
        (
            trial.Trial(Job(7, "PENDING", reason="PartitionTimeLimit"), waited=3),
            "problem",
            "(PartitionTimeLimit, their walltime is longer than the partition allows)",
            "mend the profile",
        ),
        (
            trial.Trial(Job(7, "FAILED", exit_code=127, node="n2"), connected=1),
            "problem",
            "ended on n2 without a worker: FAILED, exit code 127; its log ends: no python",
            "prologue or python",
        ),
        (
            trial.Trial(Job(7, "FAILED", signal=53, node="n2")),
            "problem",
            "does not see the results folder",
            "--results",
        ),
        (
            trial.Trial(RUNS, connected=91),
            "problem",
            "on n1 no worker has reached tcp://10.0.0.1:8786 in 91 s",
            "lo (127",
        ),
        # its worker gave up by itself
        (trial.Trial(Job(7, "COMPLETED", node="n1"), connected=63), "problem", "no worker has reached", "interface"),
    ],
)
def test_judge_job__without_a_worker(tried, kind, text, remedy):
    (found,) = check.judge_job(tried, PROFILE, ADDRESS, "no python")
    assert found.kind == kind
    assert text in found.text
    assert remedy in found.remedy


def test_judge_job__log_directory_that_the_node_does_not_see():
    profile = PROFILE.model_copy(update={"log_directory": "/home/me/logs"})
    (found,) = check.judge_job(trial.Trial(Job(7, "FAILED", signal=53, node="n2")), profile, ADDRESS, "")
    assert found.text == "the node n2 could not open the job's log: it does not see /home/me/logs"
    assert found.remedy == "name a folder on a shared disk as log_directory of the profile"


def test_judge_job__with_a_worker():
    found = list(check.judge_job(trial.Trial(RUNS, "tcp://n1:1", 12.2, 3.4), PROFILE, ADDRESS, ""))
    assert [one.kind for one in found] == ["ok", "ok"]
    assert "after 12 s in the queue" in found[0].text
    assert "3 s later" in found[1].text


def seen(**changed):
    """What a node shows where all is well."""
    own = {"path": "/tmp/x", "kind": "ext4", "shared": False, "free": 2**30}
    well = {"host": "n1", "interfaces": {"lo": "127.0.0.1", "ib0": "10.0.0.9"}, "scratch": own, "cache": own}
    return well | {"versions": probe.versions(), "note": "nonce"} | changed


def judged(tmp_path, **changed):
    return list(check.judge_node(seen(**changed), "tcp://10.0.0.9:4711", "nonce", tmp_path))


def test_judge_node__all_well(tmp_path):
    found = judged(tmp_path)
    assert {one.kind for one in found} == {"ok"}
    assert "the worker on n1 reaches the scheduler from 10.0.0.9 (ib0)" in found[0].text


SHARED = {"path": "/home/me", "kind": "nfs4", "shared": True, "free": 2**30}


@pytest.mark.parametrize(
    ("changed", "text", "remedy"),
    [
        ({"note": None}, "the node does not see what is written in", "a disk that all nodes share"),
        ({"note": "of another trial"}, "the node does not see what is written in", "a disk that all nodes share"),
        (
            {"scratch": SHARED},
            "scratch in /home/me (nfs4, 1.0 GiB free) is on a disk that nodes share",
            "local_directory",
        ),
        ({"cache": SHARED}, "numba's cache in /home/me (nfs4", "TMPDIR"),
        ({"cache": SHARED | {"path": ""}}, "no folder for numba's cache", "TMPDIR"),
        ({"versions": probe.versions() | {"dask": "0.1"}}, "here, 0.1 on the node", "same python"),
        ({"versions": probe.versions() | {"numba": ""}}, "here, missing on the node", "same python"),
    ],
)
def test_judge_node__one_thing_wrong(tmp_path, changed, text, remedy):
    found = judged(tmp_path, **changed)
    (problem,) = [one for one in found if one.kind != "ok"]
    assert problem.kind == "problem"
    assert text in problem.text
    assert remedy in problem.remedy


def test_judge_node__a_disk_of_unknown_kind_is_no_problem(tmp_path):
    found = judged(tmp_path, scratch={"path": "/x", "kind": "", "shared": False, "free": None})
    assert [one.text for one in found if one.kind == "note"] == ["scratch in /x (unknown file system)"]


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "NFS", "lustre", "gpfs", "beegfs_nodev", "cifs", "smb3", "fuse.sshfs"])
def test_is_shared(kind):
    assert probe.is_shared(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "btrfs", "overlay", "zfs", "fuse", ""])
def test_is_shared__node_local(kind):
    assert not probe.is_shared(kind)


def test_look__reads_the_note_and_tells_of_its_disks(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "note").write_text("nonce")
    found = probe.look(str(tmp_path / "note"))
    assert (found["note"], found["cache"]["path"]) == ("nonce", str(tmp_path))
    assert found["cache"]["free"] > 0
    assert found["versions"]["neq"]
    assert probe.look(str(tmp_path / "other"))["note"] is None


def test_own_folder__leaves_nothing_that_was_not_there(tmp_path):
    with check.own_folder(tmp_path / "a" / "b") as own:
        (own / "log").touch()
        assert own.parent == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


def test_own_folder__keeps_what_was_there(tmp_path):
    (tmp_path / "results" / "run").mkdir(parents=True)
    with check.own_folder(tmp_path / "results"):
        pass
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["run"]


def test_own_folder__that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ClusterError, match=r"cannot be written \(.*\): name another one"),
        check.own_folder(tmp_path / "file"),
    ):
        pass


def test_log_tail__the_last_lines_of_both_files(tmp_path):
    (tmp_path / "neq-7.out").write_text("\n".join(f"line {number}" for number in range(9)))
    (tmp_path / "neq-7.err").write_text("\nfirst\n\n")
    (tmp_path / "neq-71.err").write_text("of another job")
    assert check.log_tail(tmp_path, 7) == "line 3 | line 4 | line 5 | line 6 | line 7 | line 8"


def test_check__other_batch_systems_are_refused(tmp_path):
    with pytest.raises(ClusterError, match="this one is of pbs: compare `neq cluster show`"):
        list(check.check(Profile(scheduler="pbs", cores=1, memory="1GiB"), tmp_path))


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["cluster", *map(str, arguments)])


def test_show__prints_the_script_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("scheduler: lsf\ncores: 1\nmemory: 1GiB\n")
    result = invoke("show", "mine.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("#!/usr/bin/env bash\n\n#BSUB -J neq\n")
    assert "tcp://SCHEDULER:8786" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize("name", ["moon", "moon.yaml", "local"])
def test_commands__unknown_profile_is_one_sentence(command, name):
    result = invoke(command, name)
    assert result.exit_code == 2
    assert re.fullmatch(r"neq: .*: .*\.\n", result.stderr)


def test_check__no_sbatch_here(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    result = invoke("check", "slurm")
    assert result.exit_code == 2
    assert "This machine has no sbatch: give the command on a login node" in result.stderr


FINDINGS = [check.Finding("ok", "well"), check.Finding("problem", "bad [1]", "mend it")]


@pytest.mark.parametrize(("findings", "code"), [(FINDINGS, 1), (FINDINGS[:1], 0)])
def test_check__exit_code_and_plain_text(monkeypatch, findings, code):
    monkeypatch.setattr(check, "check", lambda *arguments: iter(findings))
    result = invoke("check", "slurm")
    assert result.exit_code == code
    assert result.stdout.splitlines()[0] == "ok       well"
    assert ("problem  bad [1]\n         -> mend it\n1 problem" in result.stdout) == bool(code)


def test_check__a_table_on_a_terminal():
    console = Console(force_terminal=True, width=60, record=True, file=io.StringIO())
    cli_cluster._show([Finding(*one) for one in FINDINGS], "slurm", console)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines == ["neq cluster check slurm", " ok       well", " problem  bad [1]", "          -> mend it"]
