"""Chosen cells computed again."""

import io

import numpy as np
import pytest
from rich.console import Console

from neq.errors import ConfigError, LeaseHeldError
from workflows import layout, lease
from workflows.commands import rerun
from workflows.store import Store


def read(run):
    opened = Store.open(run / "sweep.zarr")
    return {name: opened.read(name) for name in opened.outputs}


def again(run, **options):
    out = io.StringIO()
    outcome = rerun.rerun(run, Console(file=out, width=300), **options)
    return outcome, out.getvalue()


def test_rerun__gives_the_same_bits_and_touches_nothing_else(run_copy):
    before = read(run_copy)
    outcome, text = again(run_copy, expression="size == 'all' and repetition > 0", overrides=["cluster.workers=1"])
    after = read(run_copy)
    assert outcome.n_computed == 8
    assert "computing 8 cells again" in text
    for name in ("value", "status", "quality", "error", "error_type", "drawn_unit", "theta", "reason"):
        np.testing.assert_array_equal(after[name], before[name])
    changed = after["run"] != before["run"]
    assert changed.sum() == 8
    assert changed[:, :, 2, 1:].all()


def test_rerun__failed(run_copy):
    outcome, _ = again(run_copy, failed=True, expression="repetition == 2")
    assert outcome.n_computed == 4
    assert outcome.exit_code == 1


def test_rerun__mends_a_damaged_chunk(run_copy):
    before = read(run_copy)
    for name in ("status", "value"):
        chunk = layout.chunk_path(run_copy / "sweep.zarr", name, (0, 0, 0, 1))
        chunk.write_bytes(chunk.read_bytes()[:-3])
    outcome, _ = again(run_copy, expression="session == 'a' and condition == 'rest' and repetition == 1")
    assert outcome.n_computed == 3
    after = read(run_copy)
    for name in ("value", "status", "error"):
        np.testing.assert_array_equal(after[name], before[name])


def test_rerun__no_cell_chosen(run_copy):
    outcome, text = again(run_copy, expression="value > 1e9")
    assert outcome.n_computed == 0
    assert "nothing to do" in text


@pytest.mark.parametrize("override", ["seed=3", "sizes=[2]", "strength=2.0", "sweep.block={size: 1}", "results=x", "x"])
def test_rerun__refuses_to_mix_two_studies(run_copy, override):
    before = read(run_copy)
    with pytest.raises(ConfigError, match="would mix two studies"):
        again(run_copy, failed=True, overrides=[override])
    np.testing.assert_array_equal(read(run_copy)["run"], before["run"])


def test_rerun__needs_a_choice(run_copy):
    with pytest.raises(ConfigError, match="Say which cells"):
        again(run_copy)


def test_rerun__not_a_run(tmp_path):
    with pytest.raises(ConfigError, match="is not a run"):
        again(tmp_path, failed=True)


def test_rerun__while_another_driver_works(run_copy):
    before = read(run_copy)
    with lease.acquire(run_copy), pytest.raises(LeaseHeldError, match="is in use"):
        again(run_copy, failed=True)
    np.testing.assert_array_equal(read(run_copy)["status"], before["status"])
