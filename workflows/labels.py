"""The labels of axes: as they are kept, as they are shown, and what makes them usable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neq.errors import GridError
from workflows.studies.base import Axis, Label

SIZE, REPETITION, ALL = "size", "repetition", "all"


def stored_label(name: str, label: Label) -> Label:
    """Return the label as the store keeps it: on the axis ``size``, ``"all"`` is 0.

    Examples
    --------
    >>> stored_label("size", "all"), stored_label("session", "all")
    (0, 'all')
    """
    plain: Label = label.item() if isinstance(label, np.generic) else label
    return 0 if (name, plain) == (SIZE, ALL) else plain


def shown_label(name: str, label: Label) -> str:
    """Return the label as people read it.

    Examples
    --------
    >>> shown_label("size", 0), shown_label("lag", 0)
    ('all', '0')
    """
    return ALL if name == SIZE and label == 0 else str(label)


def cell_text(cell: Mapping[str, Label]) -> str:
    """Return the labels of a cell as people read them.

    Examples
    --------
    >>> cell_text({"session": "s1", "size": 0})
    'session s1, size all'
    """
    return ", ".join(f"{name} {shown_label(name, label)}" for name, label in cell.items())


def checked(axis: Axis) -> Axis:
    """Return the axis with labels as stored, all of one type, none twice."""
    labels = tuple(stored_label(axis.name, label) for label in axis.labels)
    kinds = {float if isinstance(label, float) else type(label) for label in labels}
    if kinds == {int, float}:
        labels, kinds = tuple(float(label) for label in labels), {float}
    if not labels or len(kinds) > 1 or not kinds <= {str, int, float}:
        raise GridError(f"Axis {axis.name!r} needs one or more labels, all text or all numbers; found {list(labels)}.")
    repeated = (
        sorted({str(label) for label in labels if labels.count(label) > 1}) if len(set(labels)) < len(labels) else []
    )
    if repeated:
        raise GridError(f"Axis {axis.name!r} names a label twice: {', '.join(repeated)}. Name each once.")
    return Axis(axis.name, labels, axis.stage, axis.units, axis.long_name)
