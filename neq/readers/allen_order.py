"""The order of units in published analyses of Allen sessions: ties as an unstable sort of 2022 leaves them.

Those analyses merge units with channels and sort them by depth with ``DataFrame.sort_values`` at its default, in the
versions that the Allen SDK pins (pandas 1.5.3, numpy 1.23.5). Positions tie, two units in three share theirs, and the
order within a tie is an accident of numpy's introsort, written out here: later versions of both give another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

SHORT = 16
"""A part of at most this many entries is sorted by insertion."""


def merged_order(keys: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return the rows in the order that an inner merge of pandas before 2.2 gives them.

    Rows of one key come together, where the key comes first.

    Examples
    --------
    >>> merged_order([5, 3, 5, 4, 3]).tolist()
    [0, 2, 1, 4, 3]
    """
    codes, _ = pd.factorize(np.asarray(keys))
    return np.argsort(codes, kind="stable")


def descending_order(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the rows in the order of ``sort_values(ascending=False)`` of pandas 1.5.3 on numpy 1.23.5.

    Missing values come last.

    Examples
    --------
    >>> descending_order([1.0, 3.0, np.nan, 3.0, 2.0]).tolist()
    [1, 3, 4, 0, 2]
    """
    column = np.asarray(values)
    missing = pd.isna(column)
    # It turns the column round, sorts it ascending and turns the result round, so that a stable sort keeps ties.
    rows = np.flatnonzero(~missing)[::-1]
    found = rows[introsort_order(column[rows])][::-1]
    return np.concatenate([found, np.flatnonzero(missing)])


def introsort_order(values: np.ndarray) -> np.ndarray:
    """Return ``numpy.argsort(values)`` of numpy 1.23.5, whatever numpy and processor there are.

    Quicksort about the median of three, insertion for short parts, heapsort for parts below twice the logarithm of the
    length in splits.

    Parameters
    ----------
    values
        Numbers without NaN, in one dimension.

    Examples
    --------
    >>> introsort_order(np.array([2, 1, 2, 1])).tolist()
    [1, 3, 0, 2]
    """
    keys: list[float] = values.tolist()
    order = list(range(len(keys)))
    # First and last position of a part, and how many more splits it may see.
    parts = [(0, len(keys) - 1, 2 * (len(keys).bit_length() - 1))]
    while parts:
        first, last, depth = parts.pop()
        if depth < 0:
            _heapsort(keys, order, first, last)
            continue
        while last - first >= SHORT:
            pivot = _split(keys, order, first, last)
            depth -= 1
            left, right = (first, pivot - 1), (pivot + 1, last)
            # The longer side waits and only then is its depth looked at; on equal lengths the left one.
            waiting, (first, last) = (right, left) if pivot - first < last - pivot else (left, right)
            parts.append((*waiting, depth))
        _insertion_sort(keys, order, first, last)
    return np.array(order, dtype=np.int64)


def _split(keys: list[float], order: list[int], first: int, last: int) -> int:
    """Bring smaller entries before the median of three, larger ones after it, and return where it then is."""
    middle = first + (last - first) // 2
    for low, high in ((first, middle), (middle, last), (first, middle)):
        if keys[order[high]] < keys[order[low]]:
            _swap(order, low, high)
    pivot = keys[order[middle]]
    _swap(order, middle, last - 1)
    up, down = first, last - 1
    while True:
        up = _next(range(up + 1, last + 1), lambda at: keys[order[at]] >= pivot)
        down = _next(range(down - 1, first - 1, -1), lambda at: keys[order[at]] <= pivot)
        if up >= down:
            break
        _swap(order, up, down)
    _swap(order, up, last - 1)
    return up


def _next(positions: range, found: Callable[[int], bool]) -> int:
    return next(at for at in positions if found(at))


def _swap(order: list[int], one: int, other: int) -> None:
    order[one], order[other] = order[other], order[one]


def _insertion_sort(keys: list[float], order: list[int], first: int, last: int) -> None:
    for at in range(first + 1, last + 1):
        row = order[at]
        while at > first and keys[row] < keys[order[at - 1]]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = row


def _heapsort(keys: list[float], order: list[int], first: int, last: int) -> None:
    heap = order[first : last + 1]
    for root in range(len(heap) // 2 - 1, -1, -1):
        _sink(keys, heap, root, len(heap))
    for end in range(len(heap) - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sink(keys, heap, 0, end)
    order[first : last + 1] = heap


def _sink(keys: list[float], heap: list[int], root: int, length: int) -> None:
    """Let the entry at ``root`` sink to its place in a heap of the first ``length`` entries."""
    row = heap[root]
    while (child := 2 * root + 1) < length:
        if child + 1 < length and keys[heap[child]] < keys[heap[child + 1]]:
            child += 1
        if not keys[row] < keys[heap[child]]:
            break
        heap[root], root = heap[child], child
    heap[root] = row
