"""In which order blocks are given away."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.blocks import order
from workflows.grid import Blocks, Grid
from workflows.studies.base import Axis

AXES = {
    "session": Axis("session", ("a", "b", "c")),
    "size": Axis("size", (2, 7, 19, 40)),
    "repetition": Axis("repetition", tuple(range(7))),
    "lag": Axis("lag", (1, 2)),
}
FACTS = {"a": 3, "b": 8, "c": 5}


def made(names, chunk, axes=AXES):
    """Return as much of a store as the order of its blocks needs."""
    grid = Grid(tuple(axes[name] for name in names))
    study = SimpleNamespace(cost=lambda cell, facts: float(cell["size"] * facts.get("weight", 1)))
    return SimpleNamespace(
        grid=grid,
        shape=grid.shape,
        chunk=chunk,
        blocks=Blocks(grid.shape, chunk),
        study=study,
        prepared_for=lambda cell: SimpleNamespace(facts={"weight": FACTS.get(cell["session"], 1)}),
    )


def slowly(store, pending):
    """Ask the study for every cell."""
    costs = {}
    for block in store.blocks.holding(pending):
        cells = [tuple(index) for index in store.blocks.cells(block).tolist()]
        found = [store.grid.cell(index) for index in cells if pending[index]]
        costs[block] = sum(store.study.cost(cell, store.prepared_for(cell).facts) for cell in found)
    return sorted(costs, key=lambda block: -costs[block])


@pytest.mark.parametrize(
    ("names", "chunk"),
    [
        (("session", "size", "repetition"), (1, 4, 2)),
        (("session", "lag", "size", "repetition"), (2, 1, 3, 3)),
        (("repetition", "session", "size"), (4, 1, 1)),
        (("session", "lag", "size"), (2, 2, 1)),
    ],
)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_costliest_first__same_order_as_cell_by_cell(names, chunk, seed, share):
    store = made(names, chunk)
    pending = np.random.default_rng(seed).random(store.shape) < share
    assert order.costliest_first(store, pending) == slowly(store, pending)


def test_costliest_first__a_million_cells_at_once():
    axes = {
        "session": Axis("session", tuple(f"s{i}" for i in range(50))),
        "lag": AXES["lag"],
        "size": Axis("size", tuple(range(2, 12))),
        "repetition": Axis("repetition", tuple(range(1000))),
    }
    store = made(tuple(axes), (1, 1, 10, 34), axes)
    assert store.blocks.n_block == 3000
    pending = np.ones(store.shape, bool)
    start = time.process_time()
    ordered = order.costliest_first(store, pending)
    assert time.process_time() - start < 1
    assert len(ordered) == 3000
