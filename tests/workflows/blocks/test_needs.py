"""What the stop rule needs of a store that is only read."""

import pytest

from workflows import engine, lease
from workflows.blocks import owners, task
from workflows.blocks.needs import Needs
from workflows.store import Store


def opened(folder):
    return Store.open(folder / "sweep.zarr")


@pytest.fixture
def half(tmp_path, toy):
    """Return study, rule and folder of a sweep of which two repetitions, in one of two sizes, are computed."""
    rule = {"absolute_sem": 1e6, "at_least": 2}
    keys = {"sessions": ("a",), "conditions": ("rest",), "sizes": (2, 4), "repetitions": 6}
    keys["sweep"] = {"block": {"size": 2, "repetition": 2}}
    with lease.acquire(tmp_path) as held:
        engine.prepare_store(tmp_path, toy(**keys), [], held)
        token = held.token()
        owners.grant(tmp_path, "0.0.0.0", token)
        task.run_block(str(tmp_path), "0.0.0.0", token, cells=(0, 1))
    named = toy(**keys | {"sizes": (2,)})
    return named, toy(sweep={"stop": rule}).config.sweep.stop, toy(**keys), tmp_path


def test_needs__neither_cells_that_the_config_leaves_out_nor_those_that_are_not_given(half):
    named, rule, study, folder = half
    needs = Needs(opened(folder), named, rule)
    assert [needs.any(f"0.0.0.{i}") for i in range(3)] == [False] * 3
    needs = Needs(opened(folder), study, rule)
    assert [needs.any(f"0.0.0.{i}") for i in range(3)] == [True] * 3
    # of a block (size, repetition) the first row is that of size 2
    assert not needs.any("0.0.0.1", (0, 1))
    assert needs.any("0.0.0.1", (0, 2))


def test_needs__a_chain_is_not_read_again_when_its_end_is_known(half, monkeypatch):
    named, rule, study, folder = half
    reads, read = [], Store.read

    def counted(self, name, *region):
        reads.append(name)
        return read(self, name, *region)

    monkeypatch.setattr(Store, "read", counted)
    needs = Needs(opened(folder), named, rule)
    assert not any(needs.any(f"0.0.0.{i}") for i in range(3))
    assert reads == ["status", "value"]
    needs, reads[:] = Needs(opened(folder), study, rule), []
    assert all(needs.any(f"0.0.0.{i}") for i in range(3))
    assert len(reads) == 6
