"""Chosen cells computed again."""

import io

import numpy as np
import pytest
from rich.console import Console

from neq.errors import ConfigError, LeaseHeldError, StoreError
from workflows import config, layout, lease, run_folder
from workflows.commands import damage, pipeline, rerun
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


@pytest.mark.parametrize("name", ["value", "status", "theta"])
def test_rerun__mends_a_block_with_labels_that_the_config_leaves_out(run_copy, name):
    before = read(run_copy)
    narrower = run_folder.load_run(run_copy, ["sizes=[2, all]"])
    pipeline.run(narrower, Console(file=io.StringIO()))
    numbers = (0, 0, 0, 1) if name != "theta" else (0, 0, 1, 1, 0)
    path = layout.chunk_path(run_copy / "sweep.zarr", name, numbers)
    path.write_bytes(b"rubbish")
    opened = Store.open(run_copy / "sweep.zarr")
    (found,) = damage.find(opened)
    outcome, text = again(run_copy, expression=damage.expression(opened, found.block))
    assert outcome.n_computed == 2
    assert "1 cells of damaged blocks have labels that the config leaves out: they are emptied" in text
    assert "stay as they are" not in text
    opened = Store.open(run_copy / "sweep.zarr")
    assert not list(damage.find(opened))
    assert np.argwhere(opened.status() == layout.PENDING).tolist() == [[0, 0, 1, 1]]
    np.testing.assert_array_equal(opened.read("value"), before["value"])


def test_rerun__leaves_whole_cells_outside_the_config_alone(run_copy):
    pipeline.run(run_folder.load_run(run_copy, ["sizes=[2, all]"]), Console(file=io.StringIO()))
    before = read(run_copy)
    outcome, text = again(run_copy, expression="session == 'a' and repetition == 1")
    assert outcome.n_computed == 4
    assert "2 chosen cells have labels that the config leaves out: they stay as they are" in text
    np.testing.assert_array_equal(read(run_copy)["status"], before["status"])


@pytest.fixture
def recorded(tmp_path):
    """Return source and run folder of a finished run of two recordings that lie in files."""
    random = np.random.default_rng(0)
    for name in ("u", "v"):
        np.savez(tmp_path / f"{name}.npz", S=random.random((4000, 6)) < 0.3, bin_size=0.01)
    path = tmp_path / "r.yaml"
    path.write_text(
        f"recordings: {{kind: arrays, path: {{u: {tmp_path}/u.npz, v: {tmp_path}/v.npz}}}}\nsizes: [3]\n"
        f"repetitions: 2\nresults: {tmp_path}/run\ncluster: {{workers: 1}}\n"
    )
    pipeline.run(config.load(path), Console(file=io.StringIO()))
    return tmp_path / "u.npz", tmp_path / "run"


def chunk_of_spikes(run):
    (chunk,) = run.glob("spikes/u-*.zarr/spikes/c/0/0")
    return chunk


def test_rerun__touches_no_cell_that_it_could_not_compute(recorded):
    source, run = recorded
    before = read(run)
    chunk = chunk_of_spikes(run)
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-5])
    with pytest.raises(StoreError, match=r"No cell was touched\. session u: .* are damaged: delete them \(rm -r "):
        again(run, expression="session == 'u'")
    source.rename(source.with_suffix(".away"))
    with pytest.raises(StoreError, match=r"No cell was touched\. session u: .* put the source back"):
        again(run, expression="session == 'u'")
    after = read(run)
    np.testing.assert_array_equal(after["status"], before["status"])
    np.testing.assert_array_equal(after["run"], before["run"])
    # the spikes alone are enough
    chunk.write_bytes(content)
    outcome, _ = again(run, expression="session == 'u' and size == 3")
    assert (outcome.n_computed, outcome.counts["failed"], outcome.exit_code) == (2, 0, 0)
    np.testing.assert_array_equal(read(run)["entropy_production"], before["entropy_production"])
