"""What a block is called where people look: in the dashboard and in ``neq status``."""

from __future__ import annotations

from workflows.grid import REPETITION, SIZE, Blocks, Grid, Region, shown_label
from workflows.studies.base import Axis

MOST_GROUPS = 20
"""Dask's progress plot has room for 24 groups of tasks; others than blocks want some."""


def words(grid: Grid, region: Region) -> str:
    """Return the labels of a block; all sizes, which a block holds unless asked otherwise, go without saying.

    Examples
    --------
    >>> grid = Grid((Axis("session", ("s1", "s2")), Axis("size", (5, 10)), Axis("repetition", (0, 1, 2))))
    >>> words(grid, (slice(1, 2), slice(0, 2), slice(0, 3)))
    's2, repetition 0 to 2'
    """
    return ", ".join(_texts(grid, region).values())


def task_key(grid: Grid, blocks: Blocks, block: str, mark: str) -> str:
    """Return the key of a block's task; ``mark`` makes it unlike any other.

    To Dask, what stands before the first dash is a group of tasks: a bar of the progress plot, a colour, and an object
    that the scheduler keeps for as long as it lives. As many axes are named there as make few groups.

    Examples
    --------
    >>> grid = Grid((Axis("session", ("s-1",)), Axis("lag", (1, 2)), Axis("repetition", tuple(range(30)))))
    >>> task_key(grid, Blocks(grid.shape, (1, 1, 1)), "0.1.4", "1-5-a0b1c2")
    'estimate (s_1, lag 2)-(repetition 4)-1-5-a0b1c2'
    """
    texts = {axis: text.replace("-", "_") for axis, text in _texts(grid, blocks.region(block)).items()}
    named = _named(grid, blocks)
    group = ", ".join(text for axis, text in texts.items() if axis in named)
    # in brackets: Dask takes a single word behind a dash for a part of the group's name
    rest = ", ".join(text for axis, text in texts.items() if axis not in named)
    return "-".join([f"estimate ({group})" if group else "estimate", *([f"({rest})"] if rest else []), mark])


def _named(grid: Grid, blocks: Blocks) -> set[str]:
    """Return the axes that name the groups of tasks: those along which few blocks lie; repetitions tell nothing."""
    named, n_group = set(), 1
    for axis, count in zip(grid.axes, blocks.counts, strict=True):
        if axis.name != REPETITION and n_group * count <= MOST_GROUPS:
            named.add(axis.name)
            n_group *= count
    return named


def _texts(grid: Grid, region: Region) -> dict[str, str]:
    """Return what a block's labels are called on each axis: words by themselves, numbers with what they count."""
    texts = {}
    for axis, part in zip(grid.axes, region, strict=True):
        if axis.name == SIZE and part == slice(0, len(axis.labels)):
            continue
        ends = dict.fromkeys(shown_label(axis.name, axis.labels[i]) for i in (part.start, part.stop - 1))
        texts[axis.name] = _prefix(axis) + " to ".join(ends)
    return texts


def _prefix(axis: Axis) -> str:
    if axis.name == SIZE:
        return "N="
    # what users call conditions and sessions explains itself
    return "" if isinstance(axis.labels[0], str) and axis.name != REPETITION else f"{axis.name.replace('_', ' ')} "
