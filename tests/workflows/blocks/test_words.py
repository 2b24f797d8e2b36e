"""What blocks are called in the dashboard."""

from dask.utils import key_split
from hypothesis import given
from hypothesis import strategies as st

from workflows.blocks.words import MOST_GROUPS, task_key, words
from workflows.grid import Blocks, Grid
from workflows.studies.base import Axis

NAMES = st.text("abz-_ ,()'é0<", min_size=1, max_size=6)


def named(prefix, n):
    return tuple(f"{prefix}{i}" for i in range(n))


def grid_of(n_session=3, n_condition=2, sizes=(100, 300), n_repetition=40):
    axes = [Axis("session", named("s", n_session)), Axis("condition", named("active", n_condition))]
    return Grid((*axes, Axis("size", sizes), Axis("repetition", tuple(range(n_repetition)))))


def groups(grid, chunk=None):
    """Return the groups that Dask makes of all blocks of a grid."""
    blocks = Blocks(grid.shape, chunk or grid.block_shape())
    keys = [task_key(grid, blocks, block, "1-1-a0b1c2") for block in blocks.ids()]
    assert len(set(keys)) == blocks.n_block
    return {key_split(key) for key in keys}


def test_task_key__labels_are_read_and_repetitions_are_no_groups():
    assert groups(grid_of(2, 1)) == {"estimate (s0, active0)", "estimate (s1, active0)"}
    assert groups(grid_of(1, 1), (1, 1, 1, 1)) == {"estimate (s0, active0, N=100)", "estimate (s0, active0, N=300)"}


def test_task_key__many_sessions_share_a_group():
    assert groups(grid_of(n_session=500)) == {"estimate (active0)", "estimate (active1)"}
    assert groups(Grid((Axis("session", named("s", 500)),))) == {"estimate"}


@given(st.lists(NAMES, min_size=1, max_size=30, unique=True), st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_task_key__few_groups_whatever_the_labels(sessions, conditions):
    grid = Grid((Axis("session", tuple(sessions)), Axis("condition", tuple(conditions)), Axis("repetition", (0, 1))))
    blocks = Blocks(grid.shape, (1, 1, 1))
    found = {key_split(task_key(grid, blocks, block, "1-1-a0b1c2")) for block in blocks.ids()}
    assert len(found) <= MOST_GROUPS
    assert all(group.startswith("estimate") for group in found)


def test_words__sizes_are_named_where_they_are_apart():
    grid = grid_of(1, 1)
    whole = (slice(0, 1), slice(0, 1), slice(0, 2), slice(0, 5))
    assert words(grid, whole) == "s0, active0, repetition 0 to 4"
    assert words(grid, (*whole[:2], slice(1, 2), slice(3, 4))) == "s0, active0, N=300, repetition 3"
    every = Grid((Axis("size", ("all", 5)),))
    assert words(every, (slice(0, 1),)) == "N=all"
