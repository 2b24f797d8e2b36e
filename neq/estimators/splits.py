"""Train, validation and test parts of a set of transitions."""

from __future__ import annotations

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
    train_half
        Half of ``train``, dealt as the split itself was: a random half, or half of its blocks.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_half: np.ndarray


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
    sizes = {name: len(getattr(split, name)) for name in ("train", "validation", "test", "train_half")}
    if not all(sizes.values()):
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise EstimationError(
            f"{transitions.n_transition} transitions are too few for a {kind} split ({found}); "
            "record longer or join trials"
        )
    return split


def _shuffled(n_transition: int, rng: np.random.Generator, fractions: tuple[float, float, float]) -> Split:
    order = rng.permutation(n_transition)
    first, second = _cuts(n_transition, fractions)
    train = order[:first]
    parts = (train, order[first:second], order[second:], train[: first // 2])
    return Split(*(np.sort(part) for part in parts))


def _blocked(transitions: Transitions, rng: np.random.Generator, fractions: tuple[float, float, float]) -> Split:
    n_transition = transitions.n_transition
    n_block = int(np.clip(n_transition // (LAGS_PER_BLOCK * transitions.lag), MIN_BLOCK, MAX_BLOCK))
    block = np.arange(n_transition) * n_block // max(n_transition, 1)
    order = rng.permutation(n_block)
    first, second = _cuts(n_block, fractions)
    part_of_block = np.full(n_block, 2)
    part_of_block[order[:first]] = 0
    part_of_block[order[first:second]] = 1
    part = part_of_block[block]
    part[_touches_other_part(transitions, part)] = -1
    half = np.isin(block, order[: first // 2])
    train, validation, test = (np.flatnonzero(part == number) for number in range(3))
    return Split(train, validation, test, np.flatnonzero((part == 0) & half))


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


def _cuts(number: int, fractions: tuple[float, float, float]) -> tuple[int, int]:
    return round(fractions[0] * number), round((fractions[0] + fractions[1]) * number)
