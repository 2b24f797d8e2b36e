from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neq.readers import allen_order

REFERENCE = np.load(Path(__file__).parents[2] / "reference_data/allen_order.npz")
"""What pandas 1.5.3 and numpy 1.23.5 answer; make_allen_order.py beside it says how it was made."""


def pieces(name, length):
    return np.split(REFERENCE[name], np.cumsum(REFERENCE[length])[:-1])


CASES = list(zip(REFERENCE["kind"].tolist(), pieces("column", "length"), pieces("order", "length"), strict=True))


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in CASES}))
def test_descending_order__as_of_old(kind):
    for _, column, order in (case for case in CASES if case[0] == kind):
        for values in (column, column / 4):
            np.testing.assert_array_equal(allen_order.descending_order(values), order)


def test_introsort__reaches_its_heapsort(monkeypatch):
    lengths, heapsort = [], allen_order._heapsort

    def watched(keys, order, first, last):
        lengths.append(last - first + 1)
        heapsort(keys, order, first, last)

    monkeypatch.setattr(allen_order, "_heapsort", watched)
    for kind, column, _ in CASES:
        if kind == "against quicksort":
            allen_order.descending_order(column)
    assert max(lengths) > 2 * allen_order.SHORT


def test_merged_order__as_of_old():
    for key, merged in zip(pieces("key", "merge_length"), pieces("merged", "merge_length"), strict=True):
        np.testing.assert_array_equal(allen_order.merged_order(key), merged)


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(float, st.integers(0, 60), elements=st.sampled_from([0.0, 1.0, 2.5, -4.0, np.nan])))
def test_descending_order__sorts(values):
    order = allen_order.descending_order(values)
    assert sorted(order.tolist()) == list(range(len(values)))
    np.testing.assert_array_equal(values[order], -np.sort(-values))


def test_descending_order__missing_values_last_in_their_order():
    assert allen_order.descending_order([np.nan, 1.0, np.nan, 2.0]).tolist() == [3, 1, 0, 2]
