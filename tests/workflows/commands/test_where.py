"""The little language of `--where`."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neq.errors import ConfigError
from workflows import store
from workflows.commands import where
from workflows.grid import Grid

STATUS = np.array(["ok", "failed", "pending", "ok", "impossible", "failed"]).reshape(2, 3)
VALUE = np.array([0.1, np.nan, np.nan, 0.4, np.nan, -0.5]).reshape(2, 3)
ERROR = np.array(["", "ValueError: singular", "", "", "", "KeyError: 'x'"], dtype=object).reshape(2, 3)
NAMES = ("pending", "ok", "failed", "impossible", "not_needed")
FIELDS = {
    "session": where.Field(lambda: np.array(["s1", "s2"])[:, None], labels=("s1", "s2")),
    "size": where.Field(lambda: np.array([10, 20, 0])[None, :], labels=(10, 20, 0), aliases={"all": 0}, endless=0),
    "status": where.Field(lambda: STATUS, labels=NAMES),
    "value": where.Field(lambda: VALUE),
    "error": where.Field(lambda: ERROR),
    "quality": where.Field(lambda: np.array([[0, 1, 4], [5, 0, 1]]), flags={"capped": 1, "no_evidence": 4}),
}


@pytest.mark.parametrize(
    ("expression", "cells"),
    [
        ("status == 'failed'", [1, 5]),
        ("status == 'failed' and session == 's1'", [1]),
        ("status != 'ok' or value > 0.3", [1, 2, 3, 4, 5]),
        ("not status in ['ok', 'failed']", [2, 4]),
        ("status not in ('ok', 'failed')", [2, 4]),
        ("size == 'all'", [2, 5]),
        ("size in [10, 'all'] and session == 's2'", [3, 5]),
        ("10 < size <= 20", [1, 4]),
        ("size < 15", [0, 3]),
        ("size > 15", [1, 2, 4, 5]),
        ("size >= 'all'", [2, 5]),
        ("15 >= size", [0, 3]),
        ("size < 'all'", [0, 1, 3, 4]),
        ("value < size", [0, 3, 5]),
        ("size > quality and size == 'all'", [2, 5]),
        ("value is nan", [1, 2, 4]),
        ("value is not nan", [0, 3, 5]),
        ("value <= -0.5", [5]),
        ("0.1 <= value", [0, 3]),
        ("'singular' in error", [1]),
        ("'capped' in quality", [1, 3, 5]),
        ("quality == 5", [3]),
        ("session in []", []),
        ("  value == value  ", [0, 3, 5]),
    ],
)
def test_select__chooses(expression, cells):
    mask = where.select(expression, FIELDS, (2, 3))
    assert mask.shape == (2, 3)
    assert np.flatnonzero(mask).tolist() == cells


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("statu == 'failed'", "no 'statu' in this store; did you mean 'status'"),
        ("colour == 1", "valid: error, quality, session, size, status, value"),
        ("status == 'fail'", "no status is 'fail'; did you mean 'failed'"),
        ("size == 15", "no size is 15; valid: 10, 20, all"),
        ("session == 's3'", "no session is 's3'"),
        ("session == 1", "compares text with a number; session holds text"),
        ("value == 'x'", "value holds numbers"),
        ("status", "is no comparison"),
        ("1 < 2", "compares no name"),
        ("value is 3", "not NAME is nan"),
        ("'x' in value", "neither NAME in"),
        ("'cap' in quality", "no flag of quality"),
        ("status ==", "cannot read"),
        ("", "cannot read"),
        ("value == nan", "no 'nan' in this store"),
        ("__import__('os').system('true') == 1", "compares no name"),
        ("value == (lambda: 1)()", "neither a name, a number"),
        ("value.size > 1", "compares no name"),
        ("[x for x in value] == 1", "compares no name"),
        ("value > 2 ** 9", "neither a name, a number"),
        ("(" * 300 + "value > 1" + ")" * 300, "cannot read"),
    ],
)
def test_select__refuses(expression, message):
    with pytest.raises(ConfigError) as caught:
        where.select(expression, FIELDS, (2, 3))
    assert message in str(caught.value)


@given(st.text(alphabet="abestu=<>!&()[]'\" 01.andornotinsize", max_size=30))
def test_select__any_text_is_a_mask_or_one_error(expression):
    with contextlib.suppress(ConfigError):
        assert where.select(expression, FIELDS, (2, 3)).dtype == bool


def test_cells__size_all_is_larger_than_any_number(tmp_path, toy):
    study = toy(sizes=(3, 5, "all"), sessions=("a",), conditions=("rest",), repetitions=1)
    made = store.create(tmp_path / "s.zarr", study, [], Grid(study.axes()))
    assert where.cells(made, "size < 4").ravel().tolist() == [True, False, False]
    assert where.cells(made, "size > 4").ravel().tolist() == [False, True, True]
    with pytest.raises(ConfigError, match="no size is 4; valid: 3, 5, all"):
        where.cells(made, "size == 4")
