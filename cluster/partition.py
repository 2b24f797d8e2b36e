"""A partition of SLURM and what it gives to a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import slurm
from .errors import AwayError


@dataclass(frozen=True)
class Partition:
    """The limits of a partition; None: no limit, or not known.

    Parameters
    ----------
    most_memory_mib
        Memory of a job on one node, as the partition allows it.
    node_memory_mib
        Memory of its largest node.
    node_cores
        Cores of its largest node.
    """

    name: str
    state: str
    most_seconds: int | None
    most_memory_mib: int | None
    n_node: int
    node_memory_mib: int | None = None
    node_cores: int | None = None


def find(name: str | None) -> Partition | None:
    """Return a partition, the default one for None; None where there is no such partition.

    Raises
    ------
    AwayError
        SLURM does not answer.
    """
    done = slurm.run(["scontrol", "--oneliner", "show", "partition", *([name] if name else [])])
    if done.returncode:
        if "not found" in done.stdout + done.stderr:
            return None
        raise AwayError(
            f"scontrol does not answer: {slurm.one_line(done.stderr)}. Wait until the batch system is back."
        )
    lines = [line for line in done.stdout.splitlines() if name or " Default=YES " in line]
    if not lines:
        return None
    found = parse(lines[0])
    nodes = slurm.run(["sinfo", "--noheader", "--Node", f"--partition={found.name}", "--format=%m %c"])
    words = nodes.stdout.split()
    return replace(found, node_memory_mib=largest(words[::2]), node_cores=largest(words[1::2], least=1))


def parse(line: str) -> Partition:
    """Return the partition in a line of scontrol.

    Examples
    --------
    >>> found = parse("PartitionName=short MaxTime=00:10:00 State=UP TotalNodes=4 MaxMemPerNode=UNLIMITED")
    >>> found.most_seconds, found.most_memory_mib, found.n_node
    (600, None, 4)
    """
    found = dict(word.partition("=")[::2] for word in line.split())
    return Partition(
        name=found["PartitionName"],
        state=found.get("State", ""),
        most_seconds=_limit(found.get("MaxTime", ""), slurm.seconds),
        most_memory_mib=_limit(found.get("MaxMemPerNode", ""), int),
        n_node=int(found.get("TotalNodes", 0)),
    )


def largest(sizes: Sequence[str], least: int = 2) -> int | None:
    """Return the largest size in what sinfo prints of nodes; None where none is at least ``least``.

    A memory (MiB) of 1 stands for a node of which SLURM was not told what it has.

    Examples
    --------
    >>> largest(["4000", "512000"]), largest(["1", "1"]), largest(["1", "1"], least=1)
    (512000, None, 1)
    """
    found = max((int(word.rstrip("+")) for word in sizes if word.rstrip("+").isdecimal()), default=0)
    return found if found >= least else None


def _limit(word: str, read: Callable[[str], int]) -> int | None:
    return None if word in ("", "UNLIMITED", "INFINITE") else read(word)
