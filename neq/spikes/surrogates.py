"""Surrogates whose entropy production is zero by construction."""

from __future__ import annotations

import numpy as np

from ..errors import EstimationError
from .transitions import Transitions

SURROGATES = ("none", "time_reversal", "block_reversal")
BLOCK = 1000
"""Transitions that ``block_reversal`` turns round together."""


def surrogate(transitions: Transitions, name: str, rng: np.random.Generator) -> Transitions:
    """Return transitions with the arrow of time taken out.

    Parameters
    ----------
    transitions
        The recorded ones.
    name
        ``"none"``: unchanged. ``"time_reversal"``: each transition reversed with probability 1/2. ``"block_reversal"``:
        stretches of 1000 transitions reversed with probability 1/2, which keeps serial dependence.
    rng
        Decides which are reversed.

    Returns
    -------
    Transitions

    Raises
    ------
    EstimationError
        There is no surrogate of this name.

    Examples
    --------
    >>> recorded = Transitions.from_spikes(np.eye(5, dtype=bool))
    >>> turned = surrogate(recorded, "time_reversal", np.random.default_rng(1))
    >>> np.sort([turned.earlier, turned.later], axis=0).tolist()
    [[0, 1, 2, 3], [1, 2, 3, 4]]
    """
    if name == "none":
        return transitions
    if name not in SURROGATES:
        raise EstimationError(f"surrogate must be one of {', '.join(SURROGATES)}; found {name!r}")
    block = 1 if name == "time_reversal" else BLOCK
    n_block = -(-transitions.n_transition // block)
    turned = np.repeat(rng.random(n_block) < 0.5, block)[: transitions.n_transition]
    return transitions.exchange(turned)
