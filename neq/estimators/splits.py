"""Train, validation and test parts of a set of transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EstimationError
from ..spikes.transitions import Transitions

SPLITS = ("shuffled", "blocked")
MAX_BLOCK, MIN_BLOCK = 100, 10
"""Stretches of time that a blocked split deals out, more of them the longer the recording."""
LAGS_PER_BLOCK = 20
"""Lags in one stretch, so that the cuts cost little of it."""


@dataclass(frozen=True)
class Split:
    """Positions of the transitions of each part, ascending.

    Parameters
    ----------
    train, validation, test
        Positions, (transition,) each.
    train_half, validation_half
        Half of ``train`` and of ``validation``, dealt as the split itself was: a random half, or half of the blocks.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_half: np.ndarray
    validation_half: np.ndarray


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Refuse shares of train, validation and test that are none.

    Raises
    ------
    EstimationError
        They are not three positive numbers that add up to 1.
    """
    if len(fractions) != 3 or not (min(fractions) > 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise EstimationError(f"fractions must be three positive shares that add up to 1; found {fractions}")


def split_transitions(
    transitions: Transitions,
    kind: str,
    rng: np.random.Generator,
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1),
) -> Split:
    """Deal transitions out to train, validation and test.

    Parameters
    ----------
    transitions
        What to split.
    kind
        ``"shuffled"``: single transitions at random, the published rule; neighbouring bins land in different parts, so
        serial correlation leaks. ``"blocked"``: contiguous stretches, with ``lag`` bins dropped at each cut.
    rng
        Decides the deal.
    fractions
        Shares of train, validation and test.

    Returns
    -------
    Split

    Raises
    ------
    EstimationError
        A part would be empty, or ``kind`` is unknown.

    Examples
    --------
    >>> spikes = np.ones((1001, 2), dtype=bool)
    >>> parts = split_transitions(Transitions.from_spikes(spikes), "shuffled", np.random.default_rng(0))
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (700, 200, 100)
    """
    if kind not in SPLITS:
        raise EstimationError(f"split must be one of {', '.join(SPLITS)}; found {kind!r}")
    if kind == "shuffled":
        split = _shuffled(transitions.n_transition, rng, fractions)
    else:
        split = _blocked(transitions, rng, fractions)
    _check_parts(split, transitions.n_transition, f"{kind} split")
    return split


def fold_splits(
    transitions: Transitions,
    n_fold: int,
    rng: np.random.Generator,
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1),
) -> list[Split]:
    """Cut transitions into contiguous folds, each the test part of one split; no bin is in two folds.

    Parameters
    ----------
    transitions
        What to split, in the order of time.
    n_fold
        Number of folds, of equal numbers of transitions but for the ``lag`` that each cut drops.
    rng
        Decides which stretches of the other folds are for validation.
    fractions
        Shares of train and validation in what a fold leaves are as the first two; the third is not used.

    Returns
    -------
    list of Split
        One per fold, in the order of time; ``lag`` bins are dropped at the cuts inside the training part too.

    Raises
    ------
    EstimationError
        A part of a fold would be empty.

    Examples
    --------
    >>> spikes = np.ones((1001, 2), dtype=bool)
    >>> splits = fold_splits(Transitions.from_spikes(spikes), 4, np.random.default_rng(0))
    >>> [(int(split.test[0]), int(split.test[-1])) for split in splits]
    [(0, 248), (250, 498), (500, 748), (750, 999)]
    """
    n_transition = transitions.n_transition
    fold = np.arange(n_transition) * n_fold // max(n_transition, 1)
    fold[_touches_other_part(transitions, fold)] = -1
    splits = [_fold_split(transitions, fold, number, rng, fractions[:2]) for number in range(n_fold)]
    for split in splits:
        _check_parts(split, n_transition, f"split into {n_fold} folds")
    return splits


def fold_numbers(splits: Sequence[Split], n_transition: int) -> np.ndarray:
    """Return the number of the split that holds each transition out (transition,), int16; -1 where none does.

    Two bytes a transition: a long recording has millions of them, and results travel between processes.

    Examples
    --------
    >>> spikes = np.ones((1001, 2), dtype=bool)
    >>> splits = fold_splits(Transitions.from_spikes(spikes), 4, np.random.default_rng(0))
    >>> fold_numbers(splits, 1000)[[0, 248, 249, 250, 999]].tolist()
    [0, 0, -1, 1, 3]
    """
    fold = np.full(n_transition, -1, np.int16)
    for number, split in enumerate(splits):
        fold[split.test] = number
    return fold


def _fold_split(
    transitions: Transitions, fold: np.ndarray, number: int, rng: np.random.Generator, fractions: tuple[float, ...]
) -> Split:
    """Return the split whose test part is one fold (transition,); transitions of no fold are in no part."""
    rest = np.flatnonzero((fold >= 0) & (fold != number))
    shares = tuple(share / sum(fractions) for share in fractions)
    (train, validation), halves = _deal(transitions.take(rest), rng, shares)
    return Split(rest[train], rest[validation], np.flatnonzero(fold == number), *(rest[half] for half in halves))


def _check_parts(split: Split, n_transition: int, kind: str) -> None:
    sizes = {name: len(positions) for name, positions in vars(split).items()}
    if not all(sizes.values()):
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise EstimationError(
            f"{n_transition} transitions are too few for a {kind} ({found}); record longer or join trials"
        )


def _shuffled(n_transition: int, rng: np.random.Generator, fractions: tuple[float, float, float]) -> Split:
    train, validation, test = np.split(rng.permutation(n_transition), _cuts(n_transition, fractions))
    parts = (train, validation, test, *(_first_half(part) for part in (train, validation)))
    return Split(*(np.sort(part) for part in parts))


def _blocked(transitions: Transitions, rng: np.random.Generator, fractions: tuple[float, float, float]) -> Split:
    (train, validation, test), halves = _deal(transitions, rng, fractions)
    return Split(train, validation, test, *halves)


def _deal(
    transitions: Transitions, rng: np.random.Generator, shares: tuple[float, ...]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Deal contiguous blocks out by ``shares``: the positions of each part, and of half of each of the first two."""
    n_transition = transitions.n_transition
    n_block = int(np.clip(n_transition // (LAGS_PER_BLOCK * transitions.lag), MIN_BLOCK, MAX_BLOCK))
    block = np.arange(n_transition) * n_block // max(n_transition, 1)
    hands = np.split(rng.permutation(n_block), _cuts(n_block, shares))
    part_of_block = np.empty(n_block, np.int64)
    for number, hand in enumerate(hands):
        part_of_block[hand] = number
    part = part_of_block[block]
    part[_touches_other_part(transitions, part)] = -1
    parts = [np.flatnonzero(part == number) for number in range(len(hands))]
    halves = [whole[np.isin(block[whole], _first_half(hand))] for whole, hand in zip(parts[:2], hands[:2], strict=True)]
    return parts, halves


def _first_half(dealt: np.ndarray) -> np.ndarray:
    return dealt[: (len(dealt) + 1) // 2]


def _touches_other_part(transitions: Transitions, part: np.ndarray) -> np.ndarray:
    """Mark the transitions that end in a bin from which another part's transition begins: it would be in both parts.

    Of an exchanged transition the earlier bin in time counts, so that a surrogate is cut where its recording is.
    """
    n_bin = len(transitions.row_start) - 1
    owner = np.full(n_bin, -1)
    first = np.minimum(transitions.earlier, transitions.later)
    owner[first] = part
    touched = np.zeros(len(part), dtype=bool)
    for step in range(1, transitions.lag + 1):
        neighbour = owner[np.minimum(first + step, n_bin - 1)]
        touched |= (neighbour >= 0) & (neighbour != part)
    return touched


def _cuts(number: int, shares: tuple[float, ...]) -> list[int]:
    """Return where to cut ``number`` things in order that the parts have these shares."""
    return [round(float(share) * number) for share in np.cumsum(shares)[:-1]]
