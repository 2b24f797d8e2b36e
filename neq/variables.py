"""The names, units and descriptions of everything neq puts into a Dataset, each written once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


SPIKES_VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("spikes", "1", "unit fired in bin", "True where the unit fired at least once in the bin"),
        Variable("condition_mask", "1", "bin belongs to condition", "True where an epoch of it holds the bin whole"),
        Variable("activity", "1", "share of the condition's bins in which the unit fired"),
        Variable("time", "s", "left edge of bin"),
        Variable("trial", "", "trial of bin", "-1: no trial"),
        Variable("segment", "", "run of bins without a break", "no transition crosses a change of this number"),
        Variable("unit", "", "id of unit in its source"),
        Variable("condition", "", "condition"),
        Variable("area", "", "brain area of unit", "empty: unknown"),
        Variable("spike_count", "1", "spikes of unit inside the bins"),
        Variable("collision_share", "1", "share of spikes lost", "spikes in a bin that holds one of the unit already"),
    )
}
"""Variables of a spikes Dataset."""
