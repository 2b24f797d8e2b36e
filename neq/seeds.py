"""Random streams keyed by labels, so that order, workers and later growth never change a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

Label = str | int | float | bool | None


def label_words(labels: Mapping[str, Label]) -> tuple[int, int, int, int]:
    """Encode a set of labels as four 32-bit words.

    Parameters
    ----------
    labels
        Name and value of each label; the order does not matter.

    Returns
    -------
    tuple of int
        blake2b-128 of the canonical JSON of the name-value pairs sorted by name.

    Examples
    --------
    >>> label_words({"session": "s1", "repetition": 3}) == label_words({"repetition": 3, "session": "s1"})
    True
    """
    pairs = [[name, _plain(labels[name])] for name in sorted(labels)]
    text = json.dumps(pairs, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    first, second, third, fourth = (int(word) for word in np.frombuffer(digest, dtype="<u4"))
    return first, second, third, fourth


def seed_sequence(root: int, **labels: Label) -> np.random.SeedSequence:
    """Return the seed sequence of one set of labels under the root seed.

    Examples
    --------
    >>> seed_sequence(0, session="s1").spawn_key == label_words({"session": "s1"})
    True
    """
    return np.random.SeedSequence(root, spawn_key=label_words(labels))


def stream(seed: int | np.random.SeedSequence, number: int) -> np.random.Generator:
    """Return one of the independent streams of a seed; a sequence that is given is left as it was.

    Examples
    --------
    >>> sequence = np.random.SeedSequence(5)
    >>> bool(stream(sequence, 1).random() == stream(5, 1).random())
    True
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, number)))


def generator(root: int, **labels: Label) -> np.random.Generator:
    """Return a generator for one set of labels under the root seed.

    Examples
    --------
    >>> bool(generator(0, session="s1").random() == generator(0, session="s1").random())
    True
    """
    return np.random.Generator(np.random.PCG64(seed_sequence(root, **labels)))


def unit_keys(root: int, unit_ids: Iterable[Label], **labels: Label) -> np.ndarray:
    """Return one random key in [0, 1) per unit (unit,), which depends on the unit's own id and never on its position.

    Examples
    --------
    >>> both = unit_keys(0, ["a", "b"], session="s1", repetition=0)
    >>> bool(both[1] == unit_keys(0, ["b"], session="s1", repetition=0)[0])
    True
    """
    return _unit_keys(root, tuple(_plain(unit) for unit in unit_ids), tuple(sorted(labels.items()))).copy()


@lru_cache(maxsize=64)
def _unit_keys(root: int, unit_ids: tuple[Label, ...], labels: tuple[tuple[str, Label], ...]) -> np.ndarray:
    """Return the keys of :func:`unit_keys`; every size, condition and lag of a draw asks for the same ones."""
    return np.array([generator(root, unit=unit, **dict(labels)).random() for unit in unit_ids], dtype=float)


def _plain(value: Label) -> Label:
    """Turn numpy scalars into the Python values that JSON writes one way only."""
    return value.item() if isinstance(value, np.generic) else value
