"""What a block is called where people look: in the dashboard and in ``neq status``."""

from __future__ import annotations

from workflows.grid import REPETITION, SIZE, Grid, Region, shown_label


def words(grid: Grid, region: Region) -> tuple[str, str]:
    """Return the labels of a block, and apart from them its repetitions; all sizes are in every block.

    Examples
    --------
    >>> from workflows.studies.base import Axis
    >>> grid = Grid((Axis("session", ("s1", "s2")), Axis("size", (5, 10)), Axis("repetition", (0, 1, 2))))
    >>> words(grid, (slice(1, 2), slice(0, 2), slice(0, 3)))
    ('s2', 'repetition 0 to 2')
    """
    labels, repetitions = [], ""
    for axis, part in zip(grid.axes, region, strict=True):
        ends = [shown_label(axis.name, axis.labels[i]) for i in (part.start, part.stop - 1)]
        text = " to ".join(dict.fromkeys(ends))
        if axis.name == REPETITION:
            repetitions = f"repetition {text}"
        elif axis.name != SIZE:
            labels.append(text)
    return ", ".join(labels), repetitions


def task_key(grid: Grid, region: Region, mark: str) -> str:
    """Return the key of a block's task; ``mark`` makes it unlike any other.

    The scheduler keeps what stands before the first dash for as long as it lives, so that repetitions, of which there
    are most, stand behind it.

    Examples
    --------
    >>> from workflows.studies.base import Axis
    >>> grid = Grid((Axis("session", ("s-1",)), Axis("repetition", (0, 1, 2))))
    >>> task_key(grid, (slice(0, 1), slice(1, 2)), "1-5-a0b1c2")
    'estimate (s_1)-repetition 1-1-5-a0b1c2'
    """
    labels, repetitions = words(grid, region)
    return f"estimate ({labels.replace('-', '_')})-{repetitions}-{mark}"
