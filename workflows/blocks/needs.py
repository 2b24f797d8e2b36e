"""Which cells the stop rule still needs, asked by a task that nobody tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workflows import layout, stop
from workflows.blocks import stopping
from workflows.config import StopConfig
from workflows.grid import Index, Region
from workflows.store import Store
from workflows.studies.base import Study


class Needs:
    """What the rule still needs, as a reader of the store sees it who changes nothing.

    A chain, the blocks that differ in their repetitions alone, is read when somebody asks for one of its blocks, and no
    more once its end is known there: what is not needed then never will be.

    Parameters
    ----------
    opened
        The store.
    study
        Its study, by the config of this run; cells that it does not name are not needed.
    rule
        The rule.
    """

    def __init__(self, opened: Store, study: Study, rule: StopConfig) -> None:
        self.store, self.rule = opened, rule
        self._variable = stop.variable(study)
        self._wanted = opened.grid.mask({axis.name: axis.labels for axis in study.axes()})
        self._places = stop.Repetitions.of(opened.grid, stopping.repetitions(study))
        self._judged: dict[Index, np.ndarray] = {}

    def any(self, block: str, cells: Sequence[int] | None = None) -> bool:
        """Whether the rule may need one of these pending cells of a block; None: of all."""
        axis = self._places.axis
        own = self.store.blocks.region(block)
        wanted = self._wanted[own] & self._among(block, cells)
        chain = tuple(0 if i == axis else part.start for i, part in enumerate(own))
        along = tuple(part if i == axis else slice(None) for i, part in enumerate(own))

        def needed() -> bool:
            return bool((self._judged[chain][along][wanted] == layout.PENDING).any())

        if chain in self._judged and not needed():
            return False
        self._judged[chain] = self._read(tuple(slice(None) if i == axis else part for i, part in enumerate(own)))
        return needed()

    def _among(self, block: str, cells: Sequence[int] | None) -> np.ndarray:
        """Return which cells of a block are among these (bool, block)."""
        among = np.full([part.stop - part.start for part in self.store.blocks.region(block)], cells is None)
        for number in cells or ():
            among[self.store.blocks.local(number)] = True
        return among

    def _read(self, chain: Region) -> np.ndarray:
        # before the values: a cell that is ok now has its value already
        status = self.store.read(layout.STATUS, chain)
        return stopping.judged_status(status, self.store.read(self._variable, chain), self._places, self.rule)
