"""The cells an expression chooses. The expression is parsed, never run as Python.

Names are the axes, ``status`` and the scalar variables of the store; they are compared with ``== != < <= > >=``, ``in``
a list, ``is nan``, joined with ``and``, ``or``, ``not``: ``status == 'failed' and session in ['s1', 's2']``.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neq.errors import ConfigError
from neq.variables import QUALITY_FLAGS
from workflows import layout
from workflows.config_problems import nearest
from workflows.grid import ALL, SIZE, stored_label
from workflows.store import Store

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Field:
    """One name an expression may use.

    Parameters
    ----------
    read
        Returns the values, of a shape that broadcasts against the grid.
    labels
        All values it can have, where these are known: another one in the expression is a mistake, not an empty choice.
    aliases
        Words for labels (``all`` for size 0).
    endless
        The label that is larger than any number (size 0, all units) wherever values are put in order.
    flags
        Bits by name, for ``'capped' in quality``.
    """

    read: Callable[[], np.ndarray]
    labels: tuple[Any, ...] | None = None
    aliases: Mapping[str, Any] = field(default_factory=dict)
    endless: Any = None
    flags: Mapping[str, int] | None = None

    def values(self, compare: ast.cmpop) -> np.ndarray:
        """Return the values as this comparison takes them."""
        values = self.read()
        if self.endless is None or not isinstance(compare, _ORDER):
            return values
        return np.where(values == self.endless, np.inf, values)

    def shown(self) -> list[str]:
        """Return its labels as people write them."""
        words = {value: word for word, value in self.aliases.items()}
        return [str(words.get(label, label)) for label in self.labels or ()]


def select(expression: str, fields: Mapping[str, Field], shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of the cells (axis, ...) that ``expression`` chooses.

    Raises
    ------
    neq.errors.ConfigError
        The expression is not of this little language, or names what the store does not have.

    Examples
    --------
    >>> size = Field(lambda: np.array([10, 20, 0]), labels=(10, 20, 0), aliases={"all": 0}, endless=0)
    >>> value = Field(lambda: np.array([0.1, np.nan, 0.3]))
    >>> select("size in [10, 'all'] and not value is nan", {"size": size, "value": value}, (3,))
    array([ True, False,  True])
    >>> select("size > 10", {"size": size}, (3,))
    array([False,  True,  True])
    >>> select("valeu > 1", {"size": size, "value": value}, (3,))
    Traceback (most recent call last):
    neq.errors.ConfigError: --where: there is no 'valeu' in this store; did you mean 'value'?
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(expression.strip(), mode="eval")
        mask = _Choice(expression, fields).of(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ConfigError):
            raise
        message = f"--where: cannot read {expression!r} ({error}); write it like \"status == 'failed' and size > 10\""
        raise ConfigError(message) from error
    return np.ascontiguousarray(np.broadcast_to(mask, shape))


def fields(opened: Store) -> dict[str, Field]:
    """Return the names an expression may use on a store: its axes, ``status``, and every variable of single values."""
    found = {}
    for position, name in enumerate(opened.names):
        shape = [-1 if i == position else 1 for i in range(len(opened.names))]
        labels = opened.labels(name)
        whole = {"aliases": {ALL: stored_label(name, ALL)}, "endless": stored_label(name, ALL)} if name == SIZE else {}
        found[name] = Field(lambda n=labels, s=shape: np.array(n).reshape(s), labels, **whole)
    for name, output in opened.outputs.items():
        if not output.dims:
            found[name] = Field(lambda n=name: opened.read(n), flags=QUALITY_FLAGS if name == "quality" else None)
    names = np.array(layout.STATUS_NAMES)
    found[layout.STATUS] = Field(lambda: names[opened.status()], labels=layout.STATUS_NAMES)
    return found


def cells(opened: Store, expression: str) -> np.ndarray:
    """Return the mask of the cells (grid) of a store that ``expression`` chooses; see :func:`select`."""
    return select(expression, fields(opened), opened.shape)


class _Choice:
    """One expression over one set of fields."""

    def __init__(self, expression: str, fields: Mapping[str, Field]) -> None:
        self.expression = expression
        self.fields = fields

    def of(self, node: ast.expr) -> np.ndarray:
        """Return the mask of a logical expression."""
        match node:
            case ast.BoolOp(op=op, values=values):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                mask = self.of(values[0])
                for value in values[1:]:
                    mask = join(mask, self.of(value))
                return mask
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self.of(operand))
            case ast.Compare():
                return self._chain(node)
        raise self._error(node, "is no comparison; write one like size > 10")

    def _chain(self, node: ast.Compare) -> np.ndarray:
        """Return the mask of ``a < b < c``."""
        mask = np.array(True)
        left = node.left
        for compare, right in zip(node.ops, node.comparators, strict=True):
            mask = mask & self._compare(left, compare, right, node)
            left = right
        return mask

    def _compare(self, left: ast.expr, compare: ast.cmpop, right: ast.expr, node: ast.expr) -> np.ndarray:
        if isinstance(compare, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Name) and right.id.lower() == "nan" and isinstance(left, ast.Name)):
                raise self._error(node, "has an 'is' that is not NAME is nan")
            return self._is_nan(left) == isinstance(compare, ast.Is)
        if isinstance(compare, ast.In | ast.NotIn):
            return self._contains(left, right, node) == isinstance(compare, ast.In)
        if isinstance(left, ast.Name):
            name, other, flip = left, right, False
        elif isinstance(right, ast.Name):
            name, other, flip = right, left, True
        else:
            raise self._error(node, "compares no name of the store")
        values = self._field(name).values(compare)
        if isinstance(other, ast.Name):
            value = self._field(other).values(compare)
        else:
            value = self._value(other, name, values, compare)
        if _is_text(values) != _is_text(np.asarray(value)):
            raise self._error(node, f"compares text with a number; {name.id} holds {_example(values)}")
        return np.asarray(_COMPARE[type(compare)](value, values) if flip else _COMPARE[type(compare)](values, value))

    def _is_nan(self, name: ast.Name) -> np.ndarray:
        values = self._field(name).read()
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)

    def _contains(self, left: ast.expr, right: ast.expr, node: ast.expr) -> np.ndarray:
        """Return the mask of ``name in [...]``, ``'flag' in quality`` or ``'text' in error``."""
        if isinstance(left, ast.Name) and isinstance(right, ast.List | ast.Tuple | ast.Set):
            masks = [self._compare(left, ast.Eq(), each, node) for each in right.elts]
            return np.logical_or.reduce(np.broadcast_arrays(*masks)) if masks else np.array(False)
        if isinstance(left, ast.Constant) and isinstance(left.value, str) and isinstance(right, ast.Name):
            found = self._field(right)
            if found.flags is not None:
                if left.value not in found.flags:
                    raise self._error(node, f"names no flag of {right.id}; {nearest(left.value, found.flags)}")
                return (found.read() & found.flags[left.value]) > 0
            values = found.read()
            if _is_text(values):
                return np.strings.find(values.astype(np.dtypes.StringDType()), left.value) >= 0
        raise self._error(node, "has an 'in' that is neither NAME in [VALUE, ...] nor 'TEXT' in NAME")

    def _field(self, name: ast.Name) -> Field:
        if name.id not in self.fields:
            hint = nearest(name.id, self.fields)
            raise ConfigError(f"--where: there is no {name.id!r} in this store; {hint}")
        return self.fields[name.id]

    def _value(self, node: ast.expr, name: ast.Name, values: np.ndarray, compare: ast.cmpop) -> Any:
        """Return a constant of the expression, checked against the labels of the name it is compared with."""
        sign = 1
        inner = node
        if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub):
            sign, inner = -1, inner.operand
        if not isinstance(inner, ast.Constant) or not isinstance(inner.value, str | int | float):
            raise self._error(node, "is neither a name, a number nor 'text'")
        found = self._field(name)
        if isinstance(inner.value, str):
            value = found.aliases.get(inner.value, inner.value)
            if isinstance(compare, _ORDER) and inner.value in found.aliases and value == found.endless:
                return np.inf
        else:
            value = sign * inner.value
        by_label = found.labels is not None and isinstance(compare, ast.Eq | ast.NotEq)
        if by_label and value not in found.labels and _is_text(values) == isinstance(value, str):
            hint = nearest(value, found.shown()[:50])
            raise ConfigError(f"--where: no {name.id} is {value!r}; {hint}")
        return value

    def _error(self, node: ast.AST, what: str) -> ConfigError:
        part = ast.get_source_segment(self.expression.strip(), node) or self.expression
        return ConfigError(f"--where: {part!r} {what}")


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in "UTOS"


def _example(values: np.ndarray) -> str:
    return "text, put it in quotes" if _is_text(values) else "numbers"
