import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import ImpossibleError, SelectionError
from neq.spikes.selection import ORDERS, Selection, draw_units, eligible_units, parse_comparison

LABELS = {"root": 0, "session": "a", "repetition": 0}


@pytest.fixture
def units():
    columns = {
        "area": ["VISp", "VISl", "CA1", "VISp"],
        "snr": [2.0, 0.5, 3.0, np.nan],
        "group": ["good", "good", "mua", "good"],
    }
    return xr.Dataset(coords={"unit": [3, 5, 7, 9], **{name: ("unit", values) for name, values in columns.items()}})


@pytest.fixture
def activity():
    return np.array([[0.01, 0.02, 0.30, 0.10], [0.03, 0.02, 0.10, 0.10]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"area": "V*"}, [0, 1, 3]),
        ({"quality": {"snr": "> 1"}}, [0, 2]),
        ({"quality": {"group": "== good"}}, [0, 1, 3]),
        ({"quality": {"snr": "> 1", "group": "!= good"}}, [2]),
        ({"minimum_activity": 0.05}, [2, 3]),
        ({"order": "rate_matched"}, [1, 3]),
    ],
)
def test_eligible_units__rules(units, activity, options, expected):
    assert eligible_units(units, activity, Selection(**options)).tolist() == expected


def test_eligible_units__silent_units_are_never_eligible(units, activity):
    activity[:, 1] = 0
    assert eligible_units(units, activity, Selection()).tolist() == [0, 2, 3]


def test_eligible_units__names_the_rule_that_leaves_none(units, activity):
    with pytest.raises(SelectionError, match=r"4 units, area 'X\*' leaves 0"):
        eligible_units(units, activity, Selection(area="X*"))


def test_eligible_units__names_the_columns_there_are(units, activity):
    with pytest.raises(SelectionError, match="no column 'isi'; it has area, group, snr"):
        eligible_units(units, activity, Selection(quality={"isi": "< 1"}))


@given(ids=st.lists(st.integers(0, 10**6), unique=True, min_size=2, max_size=30), data=st.data())
def test_draw_units__nested_over_size_and_stable_under_new_units(ids, data):
    ids = np.array(sorted(ids))
    small = data.draw(st.integers(1, len(ids)))
    large = data.draw(st.integers(small, len(ids)))
    activity = np.ones(len(ids))
    draws = [set(ids[draw_units(ids, activity, n, "random", **LABELS)].tolist()) for n in (small, large)]
    assert draws[0] <= draws[1]
    more = np.append(ids, 10**7)
    again = set(more[draw_units(more, np.ones(len(more)), small, "random", **LABELS)].tolist())
    assert len(draws[0] - again) <= 1  # the new unit may push out one, and moves no other


def test_draw_units__paired_over_everything_but_session_and_repetition():
    ids, activity = np.arange(40), np.ones(40)
    first = draw_units(ids, activity, 10, "random", **LABELS)
    other = draw_units(ids, activity, 10, "random", **(LABELS | {"repetition": 1}))
    assert first.tolist() == draw_units(ids, activity, 10, "random", **LABELS).tolist()
    assert first.tolist() != other.tolist()


def test_draw_units__all_units_are_drawn_alike():
    ids, activity = np.arange(20), np.ones(20)
    draws = [draw_units(ids, activity, 5, "random", root=0, session="a", repetition=r) for r in range(400)]
    count = np.bincount(np.concatenate(draws), minlength=20)
    assert count.sum() == 2000
    assert ((count - 100) ** 2 / (100 * 0.75)).sum() < 40  # chi-square with 19 degrees of freedom: p about 0.003


def test_draw_units__by_activity():
    ids, activity = np.arange(5), np.array([0.1, 0.5, 0.3, 0.5, 0.2])
    assert draw_units(ids, activity, 2, "most_active", **LABELS).tolist() == [1, 3]
    assert draw_units(ids, activity, 2, "least_active", **LABELS).tolist() == [0, 4]


def test_draw_units__too_few_is_impossible():
    with pytest.raises(ImpossibleError, match="6 asked, 5 eligible"):
        draw_units(np.arange(5), np.ones(5), 6, ORDERS[0], **LABELS)


@pytest.mark.parametrize("text", ["1", "about 3", ">", ""])
def test_parse_comparison__rejects(text):
    with pytest.raises(SelectionError, match="expected a comparison"):
        parse_comparison(text)


@pytest.mark.parametrize(
    ("condition", "message"),
    [({"group": "> 1"}, "holds text"), ({"group": "> good"}, "holds text"), ({"snr": "== good"}, "holds numbers")],
)
def test_eligible_units__compares_like_with_like(units, activity, condition, message):
    with pytest.raises(SelectionError, match=message):
        eligible_units(units, activity, Selection(quality=condition))


def test_eligible_units__text_that_looks_like_a_number(units, activity):
    units["group"] = ("unit", np.array(["1", "2", "1", "1"], dtype=object))
    assert eligible_units(units, activity, Selection(quality={"group": "== 1"})).tolist() == [0, 2, 3]


def test_order__unknown_is_refused():
    with pytest.raises(SelectionError, match="order must be one of random"):
        Selection(order="most activ")
    with pytest.raises(SelectionError, match="order must be one of random"):
        draw_units(np.arange(5), np.ones(5), 2, "most activ", **LABELS)
