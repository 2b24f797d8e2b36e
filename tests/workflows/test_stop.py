"""When repetitions end: the rule by itself."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neq.errors import ConfigError
from workflows import layout, stop
from workflows.config import StopConfig
from workflows.grid import Grid
from workflows.studies.base import Axis, Output

VALUES = st.one_of(st.floats(-3, 3), st.sampled_from([0.0, 1.0, math.nan]))
RULES = st.builds(
    StopConfig,
    relative_sem=st.one_of(st.none(), st.floats(0.01, 2.0)),
    absolute_sem=st.floats(0.01, 2.0),
    at_least=st.integers(2, 6),
)


def groups(codes=5):
    """Status and values of three groups of twelve repetitions."""
    status = hnp.arrays(np.uint8, (3, 12), elements=st.integers(0, codes - 1))
    return st.tuples(status, hnp.arrays(float, (3, 12), elements=VALUES))


def mostly_ok():
    status = hnp.arrays(np.uint8, (3, 12), elements=st.sampled_from([1, 1, 1, 1, 2, 3]))
    return st.tuples(status, hnp.arrays(float, (3, 12), elements=VALUES))


def by_hand(status, values, rule):
    """Return length, counted and met of one group, every standard error taken anew."""
    found = []
    for i, (code, value) in enumerate(zip(status.tolist(), values.tolist(), strict=True)):
        if code in (layout.PENDING, layout.NOT_NEEDED):
            return i, len(found), False
        if code != layout.OK or not math.isfinite(value):
            continue
        found.append(value)
        if len(found) < rule.at_least:
            continue
        sem = statistics.stdev(found) / math.sqrt(len(found))
        limits = [rule.absolute_sem] if rule.absolute_sem else []
        limits += [rule.relative_sem * abs(statistics.fmean(found))] if rule.relative_sem else []
        if any(math.isclose(sem, limit, rel_tol=1e-9, abs_tol=1e-12) for limit in limits):
            return None  # rounding decides
        if any(sem < limit for limit in limits):
            return i + 1, len(found), True
    return len(status), len(found), False


@settings(max_examples=200, deadline=None)
@given(groups(), RULES)
def test_prefix__as_by_hand(cells, rule):
    found = stop.prefix(*cells, rule)
    for i, (status, values) in enumerate(zip(*cells, strict=True)):
        expected = by_hand(status, values, rule)
        if expected is not None:
            assert (found.length[i], found.counted[i], found.met[i]) == expected


@settings(max_examples=200, deadline=None)
@given(mostly_ok(), groups(), RULES)
def test_prefix__nothing_beyond_it_matters(cells, others, rule):
    found = stop.prefix(*cells, rule)
    beyond = np.arange(12) >= found.length[:, None]
    again = stop.prefix(*(np.where(beyond, b, a) for a, b in zip(cells, others, strict=True)), rule)
    for i in np.flatnonzero(found.met):
        assert (again.length[i], again.counted[i], again.met[i]) == (found.length[i], found.counted[i], True)


@settings(max_examples=200, deadline=None)
@given(mostly_ok(), RULES, st.integers(0, 12))
def test_prefix__of_fewer_repetitions_ends_there_or_is_undecided(cells, rule, n):
    whole = stop.prefix(*cells, rule)
    part = stop.prefix(cells[0][:, :n], cells[1][:, :n], rule)
    assert part.length.tolist() == np.minimum(whole.length, n).tolist()
    assert part.met.tolist() == (whole.met & (whole.length <= n)).tolist()


@settings(max_examples=200, deadline=None)
@given(mostly_ok(), RULES, st.floats(0.1, 1.0), st.floats(0.1, 1.0), st.integers(0, 3))
def test_prefix__a_tighter_rule_never_needs_less(cells, rule, relative, absolute, more):
    tighter = StopConfig(
        relative_sem=rule.relative_sem and rule.relative_sem * relative,
        absolute_sem=rule.absolute_sem * absolute,
        at_least=rule.at_least + more,
    )
    assert (stop.prefix(*cells, tighter).length >= stop.prefix(*cells, rule).length).all()


@settings(max_examples=100, deadline=None)
@given(mostly_ok(), RULES, st.permutations(range(12)))
def test_prefix__same_marks_whatever_the_order_of_completion(cells, rule, order):
    status, values = cells
    done = np.zeros((3, 12), np.uint8)
    for repetition in order:
        # a cell is computed unless what is there already says that nobody needs it
        needed = stop.judged(done, stop.prefix(done, values, rule))[:, repetition] != layout.NOT_NEEDED
        done[needed, repetition] = status[needed, repetition]
    expected = stop.judged(status, stop.prefix(status, values, rule))
    assert stop.judged(done, stop.prefix(done, values, rule)).tolist() == expected.tolist()


def test_offered__what_at_least_asks_for_and_a_little_more():
    rule = StopConfig(absolute_sem=1.0, at_least=5)
    found = stop.Prefix(np.array([0, 3, 7, 9]), np.array([0, 2, 6, 5]), np.array([False, False, False, True]))
    assert found.offered(rule).tolist() == [5, 6, 8, 9]
    assert found.offered(rule, ahead=4).tolist() == [5, 7, 11, 9]


def test_prefix__values_without_spread_and_huge_ones():
    rule = StopConfig(relative_sem=0.1, at_least=3)
    values = np.array([[0.0] * 5, [1e308, -1e308, 1e308, -1e308, 1e308], [np.inf, 1.0, 1.0, 1.0, 1.0]])
    found = stop.prefix(np.ones((3, 5), np.uint8), values, rule)
    assert found.length.tolist() == [3, 5, 4]
    assert found.met.tolist() == [True, False, True]


def test_repetitions__in_order_of_their_labels():
    grid = Grid((Axis("repetition", (0, 9, 1)), Axis("size", (10, 20))))
    places = stop.Repetitions.of(grid, (9, 1, 0))
    array = np.array([[0, 1], [90, 91], [10, 11]])
    assert places.last(array).tolist() == [[0, 10, 90], [1, 11, 91]]
    places.put(array, np.array([[1, 2, 3], [4, 5, 6]]))
    assert array.tolist() == [[1, 4], [3, 6], [2, 5]]


def test_variable__the_first_number(toy, monkeypatch):
    assert stop.variable(toy()) == "value"
    study = toy()
    monkeypatch.setattr(study, "outputs", lambda: (Output("reason", "str"), Output("many", dims=("drawn",))))
    with pytest.raises(ConfigError, match=r"the study toy_study:Toy has no axis 'repetition', or no variable"):
        stop.variable(study)
