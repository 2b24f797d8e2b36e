import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import GridError
from workflows.grid import CELLS_PER_BLOCK, FEWEST_BLOCKS, MOST_BLOCKS, Blocks, Grid
from workflows.studies.base import Axis

lengths = st.integers(1, 7)


def grid_of(**lengths):
    return Grid(tuple(Axis(name, tuple(range(1, n + 1))) for name, n in lengths.items()))


@st.composite
def blocked(draw):
    shape = tuple(draw(st.lists(lengths, min_size=1, max_size=4)))
    chunk = tuple(draw(st.integers(1, n)) for n in shape)
    return Blocks(shape, chunk)


@given(blocked())
def test_blocks__cover_every_cell_once(blocks):
    seen = np.zeros(blocks.shape, int)
    for block in blocks.ids():
        np.add.at(seen, tuple(blocks.cells(block).T), 1)
    assert (seen == 1).all()
    assert blocks.n_block == sum(1 for _ in blocks.ids())


@given(blocked(), st.data())
def test_blocks__stay_the_same_when_axes_grow(blocks, data):
    grown = Blocks(tuple(n + data.draw(lengths) for n in blocks.shape), blocks.chunk)
    everything, more = np.ones(blocks.shape, bool), np.ones(grown.shape, bool)
    for block in blocks.ids():
        small = {tuple(cell) for cell in blocks.cells(block)}
        assert small <= {tuple(cell) for cell in grown.cells(block)}
        assert set(blocks.numbers(block, everything)) <= set(grown.numbers(block, more))


@given(blocked(), st.randoms())
def test_blocks__holding_and_numbers_match_a_loop(blocks, random):
    mask = np.array([random.random() < 0.3 for _ in range(math.prod(blocks.shape))]).reshape(blocks.shape)
    wanted = [block for block in blocks.ids() if any(mask[tuple(cell)] for cell in blocks.cells(block))]
    assert blocks.holding(mask) == wanted
    for block in wanted:
        starts = [s.start for s in blocks.region(block)]
        cells = [tuple(np.add(starts, blocks.local(n))) for n in blocks.numbers(block, mask)]
        assert cells == [tuple(cell) for cell in blocks.cells(block) if mask[tuple(cell)]]


@given(session=st.integers(1, 80), condition=st.integers(1, 6), size=st.integers(1, 12), repetition=st.integers(1, 400))
def test_block_shape__keeps_sizes_together_and_bounds_the_blocks(session, condition, size, repetition):
    grid = grid_of(session=session, condition=condition, size=size, repetition=repetition)
    chunk = grid.block_shape()
    n_block = Blocks(grid.shape, chunk).n_block
    assert chunk[:3] == (1, 1, size)
    assert n_block <= MOST_BLOCKS
    assert n_block >= min(FEWEST_BLOCKS, session * condition * repetition)
    assert math.prod(chunk) <= 2 * CELLS_PER_BLOCK or n_block > MOST_BLOCKS / 3


@given(session=st.integers(1000, 5000), lag=st.integers(1, 9), repetition=st.integers(1, 9))
def test_block_shape__spans_other_axes_where_they_are_too_many(session, lag, repetition):
    grid = grid_of(session=session, lag=lag, size=2, repetition=repetition)
    assert Blocks(grid.shape, grid.block_shape()).n_block <= MOST_BLOCKS


def test_block_shape__override():
    grid = grid_of(session=3, size=4, repetition=10)
    assert grid.block_shape({"session": 2, "repetition": 50}) == (2, 4, 10)
    with pytest.raises(GridError, match=r"sweep\.block needs lengths"):
        grid.block_shape({"sesion": 2})


@pytest.mark.parametrize(
    ("labels", "match"),
    [((), "needs one or more"), ((1, "a"), "all text or all numbers"), ((1, 2, 1), "twice: 1"), ((True,), "all text")],
)
def test_grid__refuses_labels(labels, match):
    with pytest.raises(GridError, match=match):
        Grid((Axis("lag", labels),))


def test_grid__refuses_axes():
    with pytest.raises(GridError, match="different names"):
        Grid((Axis("lag", (1,)), Axis("lag", (2,))))
    with pytest.raises(GridError, match="different names"):
        Grid(())


def test_grid__labels_as_stored():
    grid = Grid((Axis("size", (np.int64(10), "all")), Axis("bin_size", (1, 0.5))))
    assert grid.labels("size") == (10, 0)
    assert grid.labels("bin_size") == (1.0, 0.5)
    assert [grid.cell(index) for index in itertools.product(range(2), range(1))] == [
        {"size": 10, "bin_size": 1.0},
        {"size": 0, "bin_size": 1.0},
    ]
    assert grid.mask({"size": ("all",)}).tolist() == [[False, False], [True, True]]
