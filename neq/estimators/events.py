"""Averages of trajectory scores around events of a recording, with a band from shifted events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import EstimationError

ENTRIES_AT_ONCE = 1 << 20
"""Entries of the arrays that are transformed together, which bounds the memory of long stretches."""


@dataclass(frozen=True, eq=False)
class PeriEvent:
    """The mean score around events, and what it would be if the events had nothing to do with the scores.

    Parameters
    ----------
    offset
        Bins from the event to the later bin of a transition (offset,); negative before the event.
    average
        Mean score, nats per transition (offset,): a mean log-likelihood ratio of a transition and its reverse, up to
        what theta leaves out. NaN where no event has a score.
    low, high
        95% band of each offset by itself (offset,), from shifted events.
    low_all, high_all
        95% band of all offsets together (offset,): of 20 curves without relation one leaves it somewhere.
    n_event
        Events in the mean at each offset (offset,).
    n_used, n_outside
        Events inside a stretch, and those left out because they lie in none.
    reason
        Why a value is NaN; empty where none is.
    """

    offset: np.ndarray
    average: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_all: np.ndarray
    high_all: np.ndarray
    n_event: np.ndarray
    n_used: int
    n_outside: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Scores of the bins of one stretch (bin,), NaN where there is none, and the positions of events in it (event,)."""

    score: np.ndarray
    event: np.ndarray


def peri_event(
    score: ArrayLike,
    later: ArrayLike,
    run: ArrayLike,
    event: ArrayLike,
    *,
    window: tuple[int, int] = (50, 50),
    lag: int = 1,
    n_shift: int = 999,
    seed: int | np.random.SeedSequence = 0,
) -> PeriEvent:
    """Average trajectory scores around events.

    The band comes from circular shifts: all events of a stretch move together by a random number of bins, and those
    pushed over its end come in again at its beginning. That keeps the serial correlation of the scores and the
    intervals of the events.

    Parameters
    ----------
    score
        Score of each transition (transition,), NaN where it has none; see ``MaxEnt(scores=True)``.
    later
        Bin that each transition ends in (transition,).
    run
        Number of the uninterrupted stretch of each (transition,); no window reaches over its border.
    event
        Bin of each event (event,).
    window
        Bins before and after the event.
    lag
        Bins between the two of a transition: a stretch begins that many before its first score.
    n_shift
        Random shifts, at least 1.
    seed
        Decides the shifts.

    Returns
    -------
    PeriEvent

    Raises
    ------
    EstimationError
        The arrays do not belong together, a bin has two transitions, or an option is out of range.

    Examples
    --------
    Scores that are raised in the bin after each event:

    >>> rng = np.random.default_rng(0)
    >>> event = np.sort(rng.choice(1000, 40, replace=False))
    >>> score = rng.normal(size=1000) + 2.0 * np.isin(np.arange(1000), event + 1)
    >>> curve = peri_event(score, np.arange(1000), np.zeros(1000), event, window=(2, 2))
    >>> curve.offset[curve.average > curve.high_all]
    array([1])
    """
    scores, bins, runs = _aligned(score, later, run)
    events = _whole_numbers(event, "event bins")
    before, after = _check_options(window, lag, n_shift)
    stretches, n_used = _stretches(scores, bins, runs, events, int(lag))
    rng = np.random.default_rng(seed)
    total, count = np.zeros((2, before + after + 1, 1 + n_shift))
    for stretch in stretches:
        shift = np.concatenate([[0], rng.integers(len(stretch.score), size=n_shift)])
        for rows, sums in _shifted_sums(stretch, before, after, shift):
            total[rows] += sums[0]
            count[rows] += np.rint(sums[1])
    curves = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    bands = _bands(curves[:, 1:])
    n_outside = len(events) - n_used
    return PeriEvent(
        np.arange(-before, after + 1),
        curves[:, 0],
        *bands,
        n_event=count[:, 0].astype(int),
        n_used=n_used,
        n_outside=n_outside,
        reason=_reason(n_used, len(events), int(np.isnan(curves[:, 0]).sum())),
    )


def _shifted_sums(stretch: _Stretch, before: int, after: int, shift: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield sums over shifted events of the scores and of their numbers (2, offset, shift), some offsets at a time.

    The sums for all shifts at once are a circular correlation of the events with the scores.
    """
    length = len(stretch.score)
    padded = np.pad(stretch.score, (before, after), constant_values=np.nan)
    known = np.isfinite(padded)
    train = np.conj(np.fft.rfft(np.bincount(stretch.event, minlength=length)))
    pair = [
        np.lib.stride_tricks.sliding_window_view(series, length)
        for series in (np.where(known, padded, 0.0), known.astype(float))
    ]
    rows_at_once = max(1, ENTRIES_AT_ONCE // length)
    for first in range(0, before + after + 1, rows_at_once):
        rows = slice(first, min(first + rows_at_once, before + after + 1))
        sums = [np.fft.irfft(np.fft.rfft(windows[rows], axis=1) * train, length, axis=1)[:, shift] for windows in pair]
        yield rows, np.stack(sums)


def _bands(null: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of the band of each offset and of that of all together, from curves (offset, shift)."""
    ends = np.full((4, len(null)), np.nan)
    known = np.isfinite(null).any(axis=1)
    if known.any():
        curves = null[known]
        ends[:2, known] = np.nanquantile(curves, [0.025, 0.975], axis=1)
        centre, deviation = np.nanmean(curves, axis=1), np.nanstd(curves, axis=1)
        distance = np.abs(curves - centre[:, None]) / np.where(deviation > 0, deviation, np.inf)[:, None]
        reach = np.quantile(np.nanmax(np.nan_to_num(distance), axis=0), 0.95)
        ends[2:, known] = centre - reach * deviation, centre + reach * deviation
    return ends[0], ends[1], ends[2], ends[3]


def _stretches(
    score: np.ndarray, later: np.ndarray, run: np.ndarray, event: np.ndarray, lag: int
) -> tuple[list[_Stretch], int]:
    """Return the stretches that hold events, and how many events they hold."""
    _, number = np.unique(run, return_inverse=True)
    n_stretch = int(number.max(initial=-1)) + 1
    start, stop = np.full(n_stretch, np.iinfo(np.int64).max), np.zeros(n_stretch, np.int64)
    np.minimum.at(start, number, later)
    np.maximum.at(stop, number, later + 1)
    start = np.maximum(start - lag, 0)
    order = np.argsort(start)
    start, stop = start[order], stop[order]
    series = np.full(int(stop.max(initial=0)), np.nan)
    series[later] = score
    owner = np.searchsorted(start, event, side="right") - 1
    inside = (owner >= 0) & (event < stop[owner]) if n_stretch else np.zeros(len(event), bool)
    return [
        _Stretch(series[start[one] : stop[one]], event[inside & (owner == one)] - start[one])
        for one in np.unique(owner[inside])
    ], int(inside.sum())


def _aligned(score: ArrayLike, later: ArrayLike, run: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, bins, runs = np.asarray(score, dtype=float), _whole_numbers(later, "later bins"), np.asarray(run)
    if not scores.shape == bins.shape == runs.shape:
        raise EstimationError(
            f"score, later and run must have one entry per transition; found {scores.shape}, {bins.shape}, {runs.shape}"
        )
    if (bins < 0).any():
        raise EstimationError(f"later bins must be 0 or more; found {bins.min()}")
    if len(np.unique(bins)) != len(bins):
        raise EstimationError("two transitions end in the same bin; average transitions of one lag and one order")
    return scores, bins, runs


def _whole_numbers(values: ArrayLike, name: str) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and not (np.isfinite(numbers) & (numbers == np.floor(numbers))).all()):
        raise EstimationError(f"{name} must be a row of whole numbers: bins, not seconds; found {values!r}")
    return numbers.astype(np.int64)


def _check_options(window: tuple[int, int], lag: int, n_shift: int) -> tuple[int, int]:
    before, after = window
    if min(before, after) < 0 or not (float(before).is_integer() and float(after).is_integer()):
        raise EstimationError(f"window must be two whole numbers of bins, 0 or more; found {window}")
    if not (lag >= 1 and n_shift >= 1):
        raise EstimationError(f"lag and n_shift must be 1 or more; found {lag} and {n_shift}")
    return int(before), int(after)


def _reason(n_used: int, n_event: int, n_missing: int) -> str:
    if not n_used:
        return f"no curve: none of the {n_event} events lies in a stretch with transitions"
    return f"no score at {n_missing} offsets around {n_used} events" if n_missing else ""
