"""The names, units and descriptions of everything neq puts into a Dataset, each written once."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class Variable:
    """What one variable of a Dataset means.

    Parameters
    ----------
    name
        Its name in Datasets and stores.
    units
        Its physical units, ``"1"`` for a pure number, ``""`` for text and labels.
    long_name
        One line for axes and tables.
    comment
        What a reader must know before using the number.
    """

    name: str
    units: str
    long_name: str
    comment: str = ""

    @property
    def attrs(self) -> dict[str, str]:
        """Attributes to put on the array."""
        attrs = {"long_name": self.long_name}
        if self.units:
            attrs["units"] = self.units
        if self.comment:
            attrs["comment"] = self.comment
        return attrs


QUALITY_FLAGS: dict[str, int] = {"capped": 1, "tail_limited": 2, "no_evidence": 4, "data_limited": 8}
"""Bits of the quality field, one per reason to doubt a value."""


def quality_bits(names: frozenset[str] | set[str]) -> int:
    """Return the bit field of a set of quality flags.

    Examples
    --------
    >>> quality_bits({"capped", "no_evidence"})
    5
    """
    return sum(QUALITY_FLAGS[name] for name in names)


def annotate(dataset: xr.Dataset, variables: dict[str, Variable]) -> xr.Dataset:
    """Return ``dataset`` with the attributes of every variable that is described in ``variables``."""
    dataset = dataset.copy()
    for name, variable in variables.items():
        if name in dataset.variables:
            dataset[name].attrs.update(variable.attrs)
    return dataset
