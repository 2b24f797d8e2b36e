import numpy as np
import pytest

from neq.estimators.validation import best_length, is_evidence


def test_best_length__is_the_top_of_the_parabola():
    """Normal scores: J(c) = c m - c^2 v / 2 + c m, at its top c = 2 m / v."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0.1, 0.5, 200_000)
    top, length = best_length(scores.mean(), -scores, 4.0)
    assert length == pytest.approx(0.8, rel=0.03)
    assert top == pytest.approx(2 * 0.1**2 / 0.25, rel=0.05)
    assert best_length(scores.mean(), -scores, None)[1] == 1.0


def test_is_evidence__asks_for_more_where_the_length_was_chosen():
    assert not is_evidence(0.005, 1000, True)
    assert is_evidence(0.006, 1000, True)
    assert is_evidence(0.001, 1000, False)


def test_best_length__goes_no_further_than_the_sample_can_tell():
    """All scores forward are 1, all backward -1: J(c) = 2 c without end, of which ln n is the most that n tell."""
    value, length = best_length(1.0, np.full(1000, -1.0), 50.0)
    assert value == pytest.approx(np.log(1000))
    assert length == pytest.approx(np.log(1000) / 2, abs=0.2)
    assert best_length(1.0, np.full(2, -1.0), None) == (np.log(2), 1.0)
