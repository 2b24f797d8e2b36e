"""What a study declares. The engine knows nothing more of a sweep than this."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Label = str | int | float
Cell = Mapping[str, Label]
"""One point of the grid: axis name -> label."""


@dataclass(frozen=True)
class Axis:
    """One axis of the grid.

    Parameters
    ----------
    name
        Dimension name in the store.
    labels
        Its labels in the order of the config; strings, ints or floats, never mixed.
    stage
        ``"ingest"`` where another label needs another preparation of the inputs, ``"estimator"`` elsewhere.
    units, long_name
        Attributes of the coordinate.
    """

    name: str
    labels: tuple[Label, ...]
    stage: Literal["ingest", "estimator"] = "estimator"
    units: str = ""
    long_name: str = ""


@dataclass(frozen=True)
class Output:
    """One variable of the store.

    Parameters
    ----------
    name
        Variable name.
    dtype
        ``"f8"``, ``"f4"``, ``"i8"``, ``"u1"``, ``"bool"`` or ``"str"``.
    dims
        Extra dimensions after the grid's own, their lengths given by :meth:`Study.dimensions`.
    fill
        Value of a cell that has none. ``None``: NaN for floats, 0 for integers, False, "".
    own_chunk
        True for a big array whose chunk is one cell (theta).
    """

    name: str
    dtype: str = "f8"
    dims: tuple[str, ...] = ()
    units: str = ""
    long_name: str = ""
    comment: str = ""
    fill: Any = None
    own_chunk: bool = False


@dataclass(frozen=True)
class Source:
    """One ingest task: the labels it serves, and whatever the study's ``ingest`` needs to prepare it (plain JSON)."""

    labels: dict[str, Label]
    spec: dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What ingest left behind for one source.

    Parameters
    ----------
    labels
        The labels of the source.
    path
        Path of the prepared input relative to the run folder; empty where ingest failed.
    content
        Hash of everything in it that a number depends on; enters the settings of the store.
    facts
        Small plain values that :meth:`Study.dimensions` and reports need (numbers of units, bins).
    error_type, error
        Why ingest failed; its cells are then marked failed with this message.
    """

    labels: dict[str, Label]
    path: str = ""
    content: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    error_type: str = ""
    error: str = ""


class Study(abc.ABC):
    """A kind of sweep. Made from its checked config; values in and values out."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised when the numbers of this study change."""
    Config: ClassVar[type]
    """Subclass of :class:`workflows.config.RunConfig` with the study's own keys."""
    reading: ClassVar[tuple[str, ...]] = ()
    """What the report says of the values, paragraph by paragraph; by default what holds for pairs of bins."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abc.abstractmethod
    def axes(self) -> tuple[Axis, ...]:
        """Return the axes of the grid, slowest first."""

    @abc.abstractmethod
    def outputs(self) -> tuple[Output, ...]:
        """Return the variables that ``compute`` fills, besides the engine's own (status, error, seconds ...)."""

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return all that can change a cell's number, as plain JSON; labels of axes are not part of it."""

    def sources(self) -> tuple[Source, ...]:
        """Return the ingest tasks; none for a study that simulates its own data."""
        return ()

    def make_ready(self, tell: Callable[[str], Any]) -> None:
        """Make what reading the sources needs beside them, before the first is read; ``tell`` what takes its time."""
        return

    def ingest(self, source: Source, run_folder: Path) -> Prepared:
        """Prepare one source under ``run_folder``; does nothing when it is there already. Runs on a worker."""
        raise NotImplementedError

    def resolved(self) -> Any:
        """Return the config with everything looked up that may be found otherwise tomorrow; a run keeps this one."""
        return self.config

    def warm_up(self) -> tuple[dict[str, Any], ...]:
        """Return configs of small cells that call every kernel a cell of this config may call; they are run first."""
        return ()

    def check_prepared(self, prepared: Sequence[Prepared]) -> None:
        """Raise a ``NeqError`` where the sources cannot serve the config, before anything is computed."""
        return

    def dimensions(self, prepared: Sequence[Prepared]) -> dict[str, int]:
        """Return the lengths of the extra dimensions of the outputs."""
        return {}

    def open_inputs(self, cell: Cell, prepared: Prepared | None, run_folder: Path) -> Any:
        """Open what the cell needs; the study caches what neighbouring cells share. Runs on a worker."""
        return None

    @abc.abstractmethod
    def compute(self, cell: Cell, inputs: Any) -> dict[str, Any]:
        """Return the values of one cell: pure, no I/O, seeded by the labels of the cell alone.

        May return ``"quality"`` (int bit field) beside its outputs; a missing output keeps its fill value.

        Raises
        ------
        neq.errors.ImpossibleError
            The cell cannot exist on these data: status ``impossible``. Any other exception: status ``failed``.
        """

    def cost(self, cell: Cell, facts: Mapping[str, Any]) -> float:
        """Return the expected cost of a cell in arbitrary units, to start the costliest blocks first."""
        return 1.0

    def impossible(self, cell: Cell, facts: Mapping[str, Any]) -> bool:
        """Whether the facts of the prepared input already say that a cell cannot exist; a plan counts these."""
        return float(cell.get("size", 0)) > facts.get("n_unit", float("inf"))

    @abc.abstractmethod
    def reduce(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the summary that the figures and the report's table are made of."""

    @abc.abstractmethod
    def figures(self, dataset: xr.Dataset, summary: xr.Dataset) -> dict[str, Figure]:
        """Return the figures by name; reads and writes no files."""
