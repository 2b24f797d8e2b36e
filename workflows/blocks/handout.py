"""Blocks given away beforehand: what an array of tasks computes without a living driver.

One process takes the lease, grants a token for every block with work left, lists them in a file and gives the lease
back. Any task may then take any token, each of which lets in one task only. The next to take the lease has a higher
number and ends it all: it judges what became of the tokens and revokes them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neq.errors import StoreError
from workflows.blocks import owners, task
from workflows.blocks.blame import Blame
from workflows.blocks.order import costliest_first, earliest_repetition_first
from workflows.lease import Lease
from workflows.staging import write_whole
from workflows.store import Store, problems

TAKER, LEFT, JUDGED = "taker", "left", "judged"
"""Files in a token folder: the job that took it, the sign that it did not die in it, and that its end is known."""


@dataclass(frozen=True)
class Given:
    """A block under a token, and its ``cells`` to compute; None: all pending."""

    block: str
    token: str
    cells: tuple[int, ...] | None


@dataclass(frozen=True)
class HandOut:
    """Everything given away at once, under one lease.

    Parameters
    ----------
    epoch
        Of the lease.
    run_id
        Kept with each cell.
    given
        The blocks in the order in which to take them.
    """

    epoch: int
    run_id: str
    given: tuple[Given, ...]

    def write(self, path: Path) -> None:
        """Write it whole; only then may tasks begin."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self)).encode())


def read(path: Path) -> HandOut:
    """Return a hand-out that was written."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return HandOut(content["epoch"], content["run_id"], tuple(_given(one) for one in content["given"]))


def grant(opened: Store, pending: np.ndarray, lease: Lease, blame: Blame, run_id: str) -> HandOut:
    """Give every block with a cell to compute (bool, grid) away under a new token.

    The first repetitions come first, as a stop rule may find the last not needed. Cells in which workers died wait
    until the others of their block are done; a cell with one death left comes alone.
    """
    blame.keep(pending)
    given = []
    for block in earliest_repetition_first(costliest_first(opened, pending), opened.names):
        lease.check()
        wanted = {int(number) for number in opened.blocks.numbers(block, pending)}
        given.append(_grant(opened, block, _turn(opened, block, wanted, blame), lease))
    return HandOut(lease.epoch, run_id, tuple(given))


def is_free(run_folder: Path, given: Given) -> bool:
    """Whether no job has taken a token yet, and it is there; another may take it meanwhile."""
    folder = _token_folder(run_folder, given)
    return folder.exists() and not (folder / TAKER).exists()


def take(run_folder: Path, given: Given, job: int) -> bool:
    """Take a token for a job; return whether it was there and free."""
    try:
        descriptor = os.open(_token_folder(run_folder, given) / TAKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except (FileExistsError, FileNotFoundError):
        return False
    with open(descriptor, "w") as file:
        file.write(str(job))
    return True


def work(run_folder: Path, given: Given, run_id: str, flush_seconds: float | None = None) -> dict[str, Any]:
    """Compute a block whose token was taken; return what :func:`workflows.blocks.task.run_block` does."""
    left = _token_folder(run_folder, given) / LEFT
    try:
        result = task.run_block(str(run_folder), given.block, given.token, None, given.cells, run_id, flush_seconds)
    except KeyboardInterrupt:
        # asked to end, as all tasks are when their walltime is over: no cell is to blame
        with contextlib.suppress(OSError):
            left.touch()
        raise
    with contextlib.suppress(OSError):
        left.touch()
    return result


def judge(opened: Store, earlier: HandOut, blame: Blame, cause: Callable[[int], tuple[str, bool]]) -> int:
    """Blame the cells in which tasks died, before their tokens are revoked; return how many deaths were noted.

    Parameters
    ----------
    cause
        Returns why the job that took a token died, and whether its work may be to blame.
    """
    found = 0
    for given in earlier.given:
        folder = _token_folder(opened.path.parent, given)
        if any((folder / sign).exists() for sign in (LEFT, JUDGED)) or not (taker := _text(folder / TAKER)):
            continue
        reason, guilty = cause(int(taker))
        # the sign first: judged once more, by a job that takes the place of one that was killed here, it counts once
        (folder / JUDGED).touch()
        found += blame.death(given.block, given.token, reason, guilty)
    return found


def give_up(opened: Store, pending: np.ndarray, lease: Lease, blame: Blame, run_id: str) -> list[str]:
    """Mark the pending cells (bool, grid) failed in which too many tasks died; return what went wrong with blocks.

    Raises
    ------
    neq.errors.StoreError
        The disk cannot be written.
    """
    found = []
    for block in opened.blocks.holding(pending):
        if condemned := blame.condemned(block):
            given = _grant(opened, block, (), lease)
            result = task.run_block(str(opened.path.parent), block, given.token, condemned, (), run_id)
            if result["state"] == "disk":
                raise StoreError(result["message"])
            if result["state"] != "done":
                found.append(result["message"] or f"block {block} was taken away")
    return found


def tidy(opened: Store, earlier: HandOut, pending: np.ndarray, lease: Lease) -> None:
    """Forget the owners of the blocks that have no cell left to compute (bool, grid)."""
    left = set(opened.blocks.holding(pending))
    for given in earlier.given:
        if given.block not in left:
            owners.finish(opened.path.parent, given.block, lease.epoch)


def _grant(opened: Store, block: str, cells: tuple[int, ...] | None, lease: Lease) -> Given:
    token = lease.token()
    with problems(opened.path.parent):
        owners.grant(opened.path.parent, block, token)
    return Given(block, token, cells)


def _turn(opened: Store, block: str, cells: set[int], blame: Blame) -> tuple[int, ...] | None:
    """Return the cells of a block whose turn it is."""
    suspects = cells & blame.suspects.get(block, set())
    if chosen := cells - suspects:
        n_cell = int(np.prod([part.stop - part.start for part in opened.blocks.region(block)]))
        return None if len(chosen) == n_cell else tuple(sorted(chosen))
    deaths = owners.deaths(opened.path.parent, block)
    calm = sorted(number for number in suspects if len(deaths[number]) < blame.limit - 1)
    return tuple(calm or sorted(suspects)[:1])


def _given(content: Mapping[str, Any]) -> Given:
    cells = content["cells"]
    return Given(content["block"], content["token"], None if cells is None else tuple(cells))


def _token_folder(run_folder: Path, given: Given) -> Path:
    return owners.block_folder(run_folder, given.block) / given.token


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
