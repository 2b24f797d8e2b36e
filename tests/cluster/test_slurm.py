"""What SLURM answers, as captured from SLURM 22.05, read as values."""

import os

import pytest

from cluster import partition, slurm
from cluster.ends import Kind, of_job, requeued
from cluster.errors import AwayError, ClusterError

LINES = {
    "1;CANCELLED;0;15;2026-11-21T18:34:58;n1;None;": slurm.Job(1, "CANCELLED", signal=15, node="n1"),
    "2;FAILED;0;768;2026-11-21T18:34:58;n1;NonZeroExitCode;": slurm.Job(
        2, "FAILED", "NonZeroExitCode", exit_code=3, node="n1"
    ),
    "4;OUT_OF_MEMORY;0;125;2026-11-21T18:34:58;n1;OutOfMemory;": slurm.Job(
        4, "OUT_OF_MEMORY", "OutOfMemory", signal=125, node="n1"
    ),
    "3;RUNNING;1;0;2026-11-21T18:35:15;n1;None;": slurm.Job(3, "RUNNING", node="n1", restarts=1),
    "5;PENDING;0;0;N/A;;PartitionTimeLimit;": slurm.Job(5, "PENDING", "PartitionTimeLimit"),
    "9;COMPLETING;0;15;2026-11-21T18:35:15;n2;None;": slurm.Job(9, "COMPLETING", signal=15, node="n2"),
}
SHORT = (
    "PartitionName=short AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A "
    "DefaultTime=00:02:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED "
    "MaxTime=00:10:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-4] PriorityJobFactor=1 PriorityTier=10 "
    "RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=16 TotalNodes=4 "
    "SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED "
    "TRES=cpu=16,mem=16000M,node=4,billing=16"
)


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_parse(line, expected):
    found = slurm.parse(line)
    assert (found.start is None) == ("N/A" in line)
    assert slurm.Job(**{**vars(found), "start": None}) == expected


def test_job__waits_runs_ends():
    states = {line.split(";")[1]: slurm.parse(line) for line in LINES}
    assert [state for state, job in states.items() if job.waits] == ["PENDING"]
    assert [state for state, job in states.items() if job.runs] == ["RUNNING"]
    assert [state for state, job in states.items() if job.ended] == ["CANCELLED", "FAILED", "OUT_OF_MEMORY"]


def test_partition():
    found = partition.parse(SHORT)
    assert found == partition.Partition("short", "UP", 600, None, 4)
    assert partition.parse(SHORT.replace("MaxTime=00:10:00", "MaxTime=UNLIMITED")).most_seconds is None


@pytest.mark.parametrize(
    ("text", "expected"), [("1-00:00:00", 86400), ("00:10:00", 600), ("30", 1800), ("1:30", 90), ("1-6", 108000)]
)
def test_seconds(text, expected):
    assert slurm.seconds(text) == expected


def test_environment__nothing_of_the_job_around_us(monkeypatch):
    job = {"SLURM_JOB_ID", "SLURM_MEM_PER_NODE", "SBATCH_PARTITION", "PMIX_RANK"}
    habits = {"SQUEUE_PARTITION", "SACCT_FORMAT", "SINFO_PARTITION", "SCANCEL_STATE", "SCONTROL_ALL"}
    for name in (*job, *habits, "SLURM_CONF", "SLURMY", "SQUEUES"):
        monkeypatch.setenv(name, "1")
    found = slurm.environment()
    assert {name for name in os.environ if name not in found} == job | habits


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a shell script in the place of a command of SLURM."""

    def make(name, body):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    return make


def test_submit__script_on_stdin(fake, tmp_path):
    fake("sbatch", f'cat > {tmp_path}/seen; echo "$@" >> {tmp_path}/seen; echo "12;lab"')
    assert slurm.submit("#!/bin/bash\ntrue\n", ("--job-name=neq-1",)) == 12
    assert (tmp_path / "seen").read_text() == "#!/bin/bash\ntrue\n--parsable --job-name=neq-1\n"


def test_submit__refused(fake):
    fake(
        "sbatch",
        "echo 'sbatch: error: Memory specification can not be satisfied' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Requested node configuration is not available' >&2; exit 1",
    )
    with pytest.raises(ClusterError) as caught:
        slurm.submit("")
    assert str(caught.value).startswith(
        "sbatch refused the job: Memory specification can not be satisfied; "
        "Batch job submission failed: Requested node configuration is not available. "
    )


def test_submit__busy_controller_is_asked_again(fake, tmp_path):
    fake(
        "sbatch",
        f"if [ -e {tmp_path}/once ]; then echo 5; else touch {tmp_path}/once; "
        "echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2; exit 1; fi",
    )
    assert slurm.submit("") == 5


def test_submit__controller_that_stays_away_has_not_refused(fake):
    fake("sbatch", "echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    with pytest.raises(
        AwayError, match=r"cannot submit now: Unable to contact .*\. Wait until the batch system is back"
    ):
        slurm.submit("")


def test_submit__no_further_try_where_there_is_no_use(fake, tmp_path):
    fake("sbatch", f"echo x >> {tmp_path}/calls; echo 'Socket timed out on send/recv operation' >&2; exit 1")
    with pytest.raises(AwayError):
        slurm.submit("", pause=lambda seconds: True)
    assert (tmp_path / "calls").read_text() == "x\n"


def test_cancel__busy_controller_is_asked_again(fake, tmp_path):
    fake(
        "scancel",
        f'echo "$@" >> {tmp_path}/calls; [ $(wc -l < {tmp_path}/calls) -gt 2 ] && exit 0\n'
        "echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1",
    )
    slurm.cancel(name="neq-1")
    assert (tmp_path / "calls").read_text() == f"--quiet --user={os.getuid()} --name=neq-1\n" * 3


def test_cancel__controller_that_stays_away(fake, tmp_path):
    fake(
        "scancel", f"echo x >> {tmp_path}/calls; echo 'scancel: error: Unable to contact slurm controller' >&2; exit 8"
    )
    with pytest.raises(AwayError, match=r"scancel cannot cancel now: .*Unable to contact slurm controller"):
        slurm.cancel([1, 2])
    assert (tmp_path / "calls").read_text() == "x\n" * slurm.TRIES
    # a job that nobody knows has nothing to be cancelled
    fake("scancel", "echo 'scancel: error: Kill job error on job id 9: Invalid job id specified' >&2; exit 1")
    slurm.cancel([9])


@pytest.mark.parametrize(
    ("printed", "expected"),
    [("4000 4\\n64000 8\\n4000 4\\n", (64000, 8)), ("1 1\\n1 1\\n", (None, 1)), ("", (None, None))],
)
def test_partition__its_largest_node(fake, printed, expected):
    fake("scontrol", f"echo '{SHORT}'")
    fake("sinfo", f'[ "$3" = --partition=short ] && printf "{printed}"')
    assert partition.find("short") == partition.Partition("short", "UP", 600, None, 4, *expected)
    # SHORT is not the default one
    assert partition.find(None) is None


def test_submit__no_sbatch(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not slurm.available()
    with pytest.raises(ClusterError, match="This machine has no sbatch: give the command on a login node"):
        slurm.submit("")


def test_jobs__none_of_those_ids(fake):
    fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.jobs([3]) == {}
    fake("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    with pytest.raises(AwayError, match="squeue does not answer: slurm_load_jobs error: Unable to contact"):
        slurm.jobs([3])


def test_ended__accounting_that_is_off(fake):
    fake(
        "sacct",
        'if [ "$1" = -X ]; then echo "Slurm accounting storage is disabled" >&2; exit 1; fi\n'
        "printf '2|FAILED|n1\\n3|PENDING|n1\\n1|CANCELLED|n1\\n'",
    )
    found = slurm.ended([1, 2, 3])
    assert {number: job.state for number, job in found.items()} == {2: "FAILED", 1: "CANCELLED"}


def test_ended__accounting_that_is_on(fake):
    fake("sacct", "printf '7|CANCELLED by 1000|n1|0:15\\n8|OUT_OF_MEMORY|n2|0:125\\n'")
    assert slurm.ended([7, 8]) == {
        7: slurm.Job(7, "CANCELLED", node="n1", signal=15),
        8: slurm.Job(8, "OUT_OF_MEMORY", node="n2", signal=125),
    }


def test_ended__elements_of_an_array_by_their_own_ids(fake):
    # what sacct prints of the array 123 with the jobs 124, 125 and, the last, 123
    fake(
        "sacct",
        'case "$*" in\n'
        "*JobIDRaw,*) printf '124|TIMEOUT|n1|0:0\\n125|COMPLETED|n2|0:0\\n123|OUT_OF_MEMORY|n1|0:125\\n';;\n"
        "*) printf '123_0|TIMEOUT|n1|0:0\\n123_1|COMPLETED|n2|0:0\\n123_2|OUT_OF_MEMORY|n1|0:125\\n';;\n"
        "esac",
    )
    found = slurm.ended([123, 124])
    assert {number: job.state for number, job in found.items()} == {
        123: "OUT_OF_MEMORY",
        124: "TIMEOUT",
        125: "COMPLETED",
    }


@pytest.mark.parametrize(
    ("job", "stderr", "kind", "text"),
    [
        (slurm.Job(1, "PREEMPTED", node="n1", signal=15), "", Kind.OUTSIDE, "PREEMPTED: others had priority"),
        (slurm.Job(1, "NODE_FAIL", "NodeDown", node="n1"), "", Kind.OUTSIDE, "NODE_FAIL: its node failed"),
        (slurm.Job(1, "CANCELLED", node="n1"), "", Kind.OUTSIDE, "CANCELLED: somebody cancelled it"),
        (slurm.Job(1, "TIMEOUT", "TimeLimit", node="n1"), "", Kind.OUTSIDE, "TIMEOUT: its walltime was over"),
        (slurm.Job(1, "OUT_OF_MEMORY", node="n1"), "", Kind.MEMORY, "OUT_OF_MEMORY: the job exceeded its memory"),
        (
            slurm.Job(1, "FAILED", "JobLaunchFailure", signal=9, node="n1"),
            "slurmstepd: error: Exceeded job memory limit",
            Kind.MEMORY,
            "OUT_OF_MEMORY: the job exceeded its memory",
        ),
        (slurm.Job(1, "FAILED", "JobLaunchFailure", signal=11, node="n1"), "", Kind.CRASH, "FAILED by signal 11"),
        (slurm.Job(1, "FAILED", exit_code=3, node="n1"), "", Kind.CRASH, "FAILED with exit code 3"),
        (slurm.Job(1, "COMPLETED", node="n1"), "", Kind.LEFT, "COMPLETED"),
    ],
)
def test_end__of_job(job, stderr, kind, text):
    end = of_job(job, stderr)
    assert (end.kind, end.text) == (kind, f"{text} (job 1 on n1)")


def test_end__requeued():
    assert requeued(slurm.Job(4, "PENDING", "BeginTime", restarts=1)).kind is Kind.OUTSIDE
