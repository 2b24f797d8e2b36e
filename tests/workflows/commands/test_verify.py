"""Finished cells computed again and compared."""

import json

import numpy as np
import pytest

from neq.errors import ConfigError, StudyMismatchError
from workflows.commands import verify
from workflows.store import Store


def change(run, name, place, value):
    array = Store.open(run / "sweep.zarr", "r+").array(name)
    whole = array[:]
    whole[place] = value
    array[:] = whole


def test_verify__all_agree_bit_by_bit(run_copy):
    verdict = verify.verify(run_copy, 36)
    assert (verdict.n_cell, verdict.n_exact) == (36, 36)
    assert verdict.mismatches == []
    assert verdict.reasons == []


def test_verify__finds_one_bit_and_a_lost_failure(run_copy):
    place = (0, 1, 0, 2)
    value = Store.open(run_copy / "sweep.zarr").read("value")[place]
    change(run_copy, "value", place, np.nextafter(value, 1.0))
    change(run_copy, "theta", (0, 1, 2, 0, 1), 0.5)
    change(run_copy, "error", (1, 0, 0, 0), "another message")
    verdict = verify.verify(run_copy, 36)
    found = {(*one.cell.values(), one.variable) for one in verdict.mismatches}
    assert found == {
        ("a", "move", 2, 2, "value"),
        ("a", "move", 0, 0, "theta"),
        ("bad1", "rest", 2, 0, "error"),
    }
    theta = next(one for one in verdict.mismatches if one.variable == "theta")
    assert theta.stored == "[1] 0.5"


def test_verify__other_machine_compares_to_a_tolerance(run_copy):
    for path in (run_copy / "runs").glob("*.json"):
        facts = json.loads(path.read_text())
        facts["workers"] = [{**facts["workers"][0], "cpu": "another"}]
        path.write_text(json.dumps(facts))
    value = Store.open(run_copy / "sweep.zarr").read("value")
    change(run_copy, "value", (0, 0, 0, 0), value[0, 0, 0, 0] * (1 + 1e-12))
    change(run_copy, "value", (0, 0, 0, 1), value[0, 0, 0, 1] * (1 + 1e-7))
    verdict = verify.verify(run_copy, 36, "session == 'a'")
    assert (verdict.n_cell, verdict.n_exact) == (18, 0)
    assert [one.cell["repetition"] for one in verdict.mismatches] == [1]
    assert verdict.reasons[0].startswith("cpu: another then")


def test_verify__refuses_another_version(run_copy, monkeypatch):
    import toy_study

    monkeypatch.setattr(toy_study.Toy, "version", 2)
    with pytest.raises(StudyMismatchError, match=r"then 1, now 2"):
        verify.verify(run_copy)


def test_verify__nothing_to_compare(run_copy):
    with pytest.raises(ConfigError, match="No finished cell"):
        verify.verify(run_copy, expression="status == 'pending'")


def test_choose__leaves_out_what_no_computation_ended(run_copy):
    change(run_copy, "error_type", (1, 0, 0, 0), "IngestError")
    opened = Store.open(run_copy / "sweep.zarr")
    assert (1, 0, 0, 0) not in verify.choose(opened, 100, None)
    assert len(verify.choose(opened, 100, None)) == 35
    assert len(verify.choose(opened, 5, None)) == 5


def test_same_bits__signs_of_zero_and_nan():
    assert not verify.same_bits(np.array(0.0), np.array(-0.0))
    assert verify.same_bits(np.array(np.nan), np.array(-np.nan))
