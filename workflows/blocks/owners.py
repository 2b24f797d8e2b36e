"""Who owns a block, on disk: the driver's side of the fence that keeps stale tasks from writing.

``owners/<block>/<epoch>-<offer>/`` is the token folder of the block's present owner. A task's bytes go into the token
folder and are renamed from there onto the chunk, so that once the folder is renamed away nothing of that task can
reach the store. Beside it lie ``started`` (token and number of every cell begun under earlier tokens), ``deaths``, and
``losses``, for which nothing in the block is to blame.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from neq.errors import LeaseLostError, StoreError

FOLDER, STARTED, DEATHS, LOSSES = "owners", "started", "deaths", "losses"
RECORDS = (STARTED, DEATHS, LOSSES)
"""What lies beside the token folders of a block."""
GONE = ".gone-"
MARK_BYTES = 8
"""A mark is the number of a cell in seven digits and a line end."""


def block_folder(run_folder: Path, block: str) -> Path:
    """Return the folder in which the owners of a block are kept."""
    return run_folder / FOLDER / block


def grant(run_folder: Path, block: str, token: str) -> Path:
    """Make ``token`` the only owner of a block and return its folder.

    Raises
    ------
    neq.errors.LeaseLostError
        A driver with a newer lease has given the block away already.
    """
    folder = block_folder(run_folder, block)
    revoke(run_folder, block, epoch=_epoch(token))
    owned = folder / token
    owned.mkdir(parents=True)
    # two drivers may both have found the block free: each looks again after making its folder, so one of them sees both
    revoke(run_folder, block, epoch=_epoch(token), spare=token)
    return owned


def revoke(run_folder: Path, block: str, epoch: int, spare: str = "") -> None:
    """Take a block from all its owners, keeping their marks; returns when none of them can write any more."""
    folder = block_folder(run_folder, block)
    for name in _list(folder):
        if name in (*RECORDS, spare):
            continue
        token = name.removeprefix(GONE)
        if _epoch(token) > epoch:
            if spare:
                _remove(folder / spare)
            raise LeaseLostError(f"Another driver has taken {run_folder} over: this one stops.")
        gone = folder / (GONE + token)
        if not name.startswith(GONE):
            os.rename(folder / name, gone)
        _keep_marks(folder, token, read_marks(gone))
        _remove(gone)


def revoke_all(run_folder: Path, epoch: int) -> None:
    """Take every block from every owner: what a new driver does before it offers anything."""
    for block in _list(run_folder / FOLDER):
        revoke(run_folder, block, epoch)


def finish(run_folder: Path, block: str, epoch: int) -> None:
    """Forget the owners, marks and deaths of a block."""
    revoke(run_folder, block, epoch)
    shutil.rmtree(block_folder(run_folder, block), ignore_errors=True)


def read_marks(token_folder: Path) -> list[int]:
    """Return the numbers of the cells begun under a token, in order; a mark cut short does not count."""
    try:
        content = (token_folder / STARTED).read_bytes()
    except FileNotFoundError:
        return []
    return [int(content[i : i + MARK_BYTES]) for i in range(0, len(content) - MARK_BYTES + 1, MARK_BYTES)]


def count_marks(token_folder: Path) -> int:
    """Return how many cells have been begun under a token, without reading the marks."""
    try:
        return (token_folder / STARTED).stat().st_size // MARK_BYTES
    except FileNotFoundError:
        return 0


def running(run_folder: Path) -> Iterator[tuple[str, int]]:
    """Yield each block that has an owner, with the number of the cell that its owner began last."""
    for block in _list(run_folder / FOLDER):
        for token in _list(run_folder / FOLDER / block):
            if token not in RECORDS and not token.startswith(GONE):
                yield from ((block, number) for number in read_marks(run_folder / FOLDER / block / token)[-1:])


def earlier_starts(run_folder: Path, block: str) -> dict[int, int]:
    """Return how often each cell of a block was begun under earlier tokens."""
    tokens: dict[int, set[str]] = defaultdict(set)
    for line in _lines(block_folder(run_folder, block) / STARTED):
        token, number = line.split()
        tokens[int(number)].add(token)
    return {number: len(seen) for number, seen in tokens.items()}


def add_death(run_folder: Path, block: str, number: int, reason: str) -> None:
    """Note that a worker died in a cell."""
    _add_reason(block_folder(run_folder, block) / DEATHS, number, reason)


def add_loss(run_folder: Path, block: str, number: int, reason: str) -> int:
    """Note that a cell was lost with its worker, which it did not kill; return how often that has happened."""
    path = block_folder(run_folder, block) / LOSSES
    _add_reason(path, number, reason)
    return len(_reasons(path)[number])


def deaths(run_folder: Path, block: str) -> dict[int, list[str]]:
    """Return the reasons of the deaths in each cell of a block."""
    return _reasons(block_folder(run_folder, block) / DEATHS)


def all_deaths(run_folder: Path) -> dict[str, dict[int, list[str]]]:
    """Return the deaths of every block that has any."""
    blocks = _list(run_folder / FOLDER)
    found = {block: deaths(run_folder, block) for block in blocks}
    return {block: reasons for block, reasons in found.items() if reasons}


def _add_reason(path: Path, number: int, reason: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps([number, reason]) + "\n")


def _reasons(path: Path) -> dict[int, list[str]]:
    reasons: dict[int, list[str]] = defaultdict(list)
    for line in _lines(path):
        number, reason = json.loads(line)
        reasons[number].append(reason)
    return dict(reasons)


def _keep_marks(folder: Path, token: str, numbers: list[int]) -> None:
    """Append the marks of a token; written twice after a crash they still count once, being counted by token."""
    if numbers:
        with (folder / STARTED).open("a") as file:
            file.write("".join(f"{token} {number}\n" for number in numbers))


def _remove(folder: Path, tries: int = 20) -> None:
    """Delete a token folder that was renamed away; a task in the middle of a write may put one more file in."""
    for _ in range(tries):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
    raise StoreError(f"{folder} cannot be deleted: delete it by hand and give the same command again.")


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a file that is only appended to; a last line cut short by a crash is left out."""
    try:
        return path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _epoch(token: str) -> int:
    return int(token.partition("-")[0])
