"""Which cell a worker's death is blamed on, and what becomes of it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from workflows import layout
from workflows.blocks import owners
from workflows.store import Store

MOST_LOSSES = 8
"""Times that a cell may be lost for no fault of its own, as far as one can know; more are taken for deaths."""


class Blame:
    """The cells in which workers died, kept on disk beside their blocks.

    A cell with a death is computed apart from its block, after all others; before it can be condemned it runs with no
    other cell beside it, so that only what kills its worker by itself is given up.

    Parameters
    ----------
    opened
        The store.
    limit
        So many deaths condemn a cell.
    """

    def __init__(self, opened: Store, limit: int) -> None:
        self.store = opened
        self.limit = limit
        self._folder = opened.path.parent
        self._deaths = owners.all_deaths(self._folder)
        self.suspects: dict[str, set[int]] = defaultdict(set)
        for block, cells in self._deaths.items():
            self.suspects[block] = {number for number, reasons in cells.items() if len(reasons) < limit}
        self._drop_empty()

    def condemned(self, block: str) -> dict[int, str]:
        """Return the cells of a block that are given up, with the reason kept in the store."""
        return {
            number: f"The worker died in this cell {len(reasons)} times; the last time: {reasons[-1]}."
            for number, reasons in self._deaths.get(block, {}).items()
            if len(reasons) >= self.limit
        }

    def death(self, block: str, token: str, reason: str, guilty: bool = True) -> bool:
        """Note that the worker of a block died: the last cell begun is blamed, if it did not end after all.

        Where the work is not to blame (``guilty`` False), nothing follows, unless the same cell has been lost so
        again and again, as one is that needs longer than jobs may take.

        Returns
        -------
        bool
            Whether a death was noted.
        """
        marks = owners.read_marks(owners.block_folder(self._folder, block) / token)
        if not marks:
            return False
        number = marks[-1]
        place = tuple(
            s.start + i for s, i in zip(self.store.blocks.region(block), self.store.blocks.local(number), strict=True)
        )
        if self.store.read(layout.STATUS, tuple(slice(i, i + 1) for i in place)).item() != layout.PENDING:
            return False
        if not guilty and owners.add_loss(self._folder, block, number, reason) <= MOST_LOSSES:
            return False
        owners.add_death(self._folder, block, number, reason)
        reasons = self._deaths.setdefault(block, {}).setdefault(number, [])
        reasons.append(reason)
        if len(reasons) < self.limit:
            self.suspects[block].add(number)
        else:
            self.suspects[block].discard(number)
        self._drop_empty()
        return True

    def keep(self, pending: np.ndarray) -> None:
        """Forget the suspects that are no longer wanted (bool, grid)."""
        for block in self.suspects:
            self.suspects[block] &= {int(number) for number in self.store.blocks.numbers(block, pending)}
        self._drop_empty()

    def settle(self, block: str, cells: tuple[int, ...] | None) -> bool:
        """Note that an offer ended well; return whether the block has no suspect left."""
        if cells is not None and block in self.suspects:
            self.suspects[block] -= set(cells)
        self._drop_empty()
        return block not in self.suspects

    def next_suspects(self) -> list[tuple[str, tuple[int, ...] | None]]:
        """Return the offers for suspects: those with few deaths at once, each of the others alone."""
        last_chance = [
            (block, number)
            for block, numbers in self.suspects.items()
            for number in sorted(numbers)
            if len(self._deaths[block][number]) >= self.limit - 1
        ]
        calm = {block: numbers - {n for b, n in last_chance if b == block} for block, numbers in self.suspects.items()}
        offers = [(block, tuple(sorted(numbers))) for block, numbers in calm.items() if numbers]
        return list(offers or [(block, (number,)) for block, number in last_chance[:1]])

    def _drop_empty(self) -> None:
        for block in [block for block, numbers in self.suspects.items() if not numbers]:
            del self.suspects[block]
