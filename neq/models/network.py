"""A network of 0/1 units: its parameters, what is asked of them, and the groups it falls into."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from neq.errors import ModelError

Couplings: TypeAlias = "np.ndarray | sparse.csr_array"
ROWS = 256
"""Rows of sparse couplings that are made dense at once, to be summed as dense ones are, to the last bit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BinaryNetwork:
    """Couplings and biases of 0/1 units, and whether all or one of them update in a step; checked when it is made.

    The parameters are those of :class:`neq.models.KineticIsing`, which adds what the network does.
    """

    couplings: Couplings
    bias: np.ndarray
    dynamics: Literal["parallel", "sequential"] = "parallel"

    def __post_init__(self) -> None:
        object.__setattr__(self, "couplings", _checked_couplings(self.couplings))
        object.__setattr__(self, "bias", np.ascontiguousarray(self.bias, dtype=float))
        n_unit = self.bias.size
        if self.bias.ndim != 1 or n_unit == 0 or self.couplings.shape != (n_unit, n_unit):
            raise ModelError(
                "expected bias (unit,) and couplings (unit, unit), "
                f"got shapes {self.bias.shape} and {self.couplings.shape}"
            )
        values = self.couplings if isinstance(self.couplings, np.ndarray) else self.couplings.data
        if not (np.isfinite(values).all() and np.isfinite(self.bias).all()):
            raise ModelError("couplings and bias must be finite numbers; found NaN or infinity")
        if self.dynamics not in ("parallel", "sequential"):
            raise ModelError(f"dynamics must be 'parallel' or 'sequential', got {self.dynamics!r}")
        if self.dynamics == "sequential" and self.couplings.diagonal().any():
            raise ModelError("sequential dynamics needs couplings with a zero diagonal; set W_ii = 0")

    @classmethod
    def from_spins(
        cls,
        couplings: Couplings,
        field: np.ndarray | None = None,
        *,
        beta: float = 1.0,
        dynamics: Literal["parallel", "sequential"] = "parallel",
    ) -> Self:
        """Return the network whose spins x = 2 s - 1 have these ``couplings`` (target, source) and ``field`` (unit,).

        Examples
        --------
        >>> BinaryNetwork.from_spins(np.array([[0.0, 1.0], [0.0, 0.0]]), beta=0.5).bias
        array([-1.,  0.])
        """
        couplings = _checked_couplings(couplings)
        field = np.zeros(couplings.shape[0]) if field is None else np.asarray(field, dtype=float)
        bias = 2.0 * beta * (field - _row_sums(couplings))
        return cls(couplings=4.0 * beta * couplings, bias=bias, dynamics=dynamics)

    @property
    def n_unit(self) -> int:
        """Number of units."""
        return self.bias.size

    @property
    def modules(self) -> list[np.ndarray]:
        """Units (unit,) of each group that no coupling connects to the rest, in order of their first unit."""
        _, label = csgraph.connected_components(self.couplings != 0, directed=False)
        groups = [np.flatnonzero(label == value) for value in np.unique(label)]
        return sorted(groups, key=lambda group: int(group[0]))

    def select_units(self, units: np.ndarray) -> Self:
        """Return the network of these units alone, without the couplings that reach them from the others."""
        return replace(self, couplings=self.couplings[np.ix_(units, units)], bias=self.bias[units])

    @property
    def dense_couplings(self) -> np.ndarray:
        """Couplings (target, source) as a numpy array."""
        return self.couplings if isinstance(self.couplings, np.ndarray) else self.couplings.toarray()


def _checked_couplings(couplings: Any) -> Couplings:
    """Return couplings as a C-ordered array, or a CSR array without zeros, duplicates or disorder."""
    if not sparse.issparse(couplings):
        return np.ascontiguousarray(couplings, dtype=float)
    listed = sparse.csr_array(couplings, dtype=float, copy=True)
    listed.sum_duplicates()
    listed.eliminate_zeros()
    return listed


def _row_sums(couplings: Couplings) -> np.ndarray:
    """Return the sum over sources (target,), to the same bits from dense and sparse couplings."""
    if isinstance(couplings, np.ndarray):
        return couplings.sum(axis=1)
    rows = range(0, couplings.shape[0], ROWS)
    return np.concatenate([couplings[start : start + ROWS].toarray().sum(axis=1) for start in rows])


def check_counts(**given: tuple[int, int]) -> None:
    """Raise unless each number is whole and at least what is named beside it."""
    for name, (value, least) in given.items():
        if operator.index(value) < least:
            raise ModelError(f"expected {name} >= {least}, got {value}")
