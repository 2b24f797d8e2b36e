"""A batch system for tests that need none: takes jobs, runs none."""

from cluster import partition, slurm
from cluster.errors import ClusterError


class FakeSlurm:
    """Answers in place of SLURM's commands; job ids are 101, 102, ..."""

    def __init__(self, monkeypatch):
        self.scripts, self.states, self.cancelled, self.requeued = [], {}, [], []
        self.most = 100
        self.may_requeue = self.here = True
        for name in ("submit", "jobs", "requeue", "cancel"):
            monkeypatch.setattr(slurm, name, getattr(self, name))
        monkeypatch.setattr(slurm, "ended", lambda ids: {})
        monkeypatch.setattr(slurm, "available", lambda: self.here)
        monkeypatch.setattr(partition, "find", self.find)

    def find(self, name):
        return partition.Partition(name, "UP", most_seconds=86400, most_memory_mib=None, n_node=4)

    def submit(self, script, extra=()):
        if len(self.scripts) >= self.most:
            raise ClusterError("sbatch refused the job: too many.")
        self.scripts.append(script)
        return 100 + len(self.scripts)

    def jobs(self, ids=(), name=""):
        return {one: slurm.Job(one, self.states[one]) for one in ids if one in self.states}

    def requeue(self, job):
        self.requeued += [job] if self.may_requeue else []
        return self.may_requeue

    def cancel(self, ids=(), name=""):
        self.cancelled += ids


def options(script):
    """Return what a script asks of sbatch."""
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
