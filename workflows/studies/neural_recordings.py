"""The main study: entropy production of populations drawn from neural recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neq import seeds
from neq.errors import RecordingError, SelectionError
from neq.observables import observable_named
from neq.readers import read_recording
from neq.spikes.selection import Selection, draw_units
from neq.spikes.surrogates import surrogate
from workflows import content, ingest

from . import neural_compute, neural_sessions
from .base import Axis, Cell, Output, Prepared, Source, Study
from .neural_config import NeuralRecordingsConfig, axis_of
from .neural_outputs import outputs
from .population import Population, open_population, selection_facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = 0
"""Label of the size ``all`` in the store, where labels are numbers."""
_SMALL: dict[str, Any] = {
    "recordings": {"kind": "synthetic", "sessions": ["a"], "options": {"n_unit": 8, "duration": 20.0}},
    "conditions": ["driven"],
    "sizes": [6],
    "repetitions": 1,
}
_PAIRS = _SMALL | {"axes": {"observable": ["antisymmetric", "flow"], "surrogate": ["none", "time_reversal"]}}
_ORDERS = _SMALL | {"estimator": {"max_order": 3}, "store": ["orders"]}


class NeuralRecordings(Study):
    """Session x condition x (further axes) x size x repetition."""

    name = "neural_recordings"
    version = 2
    Config = NeuralRecordingsConfig
    config: NeuralRecordingsConfig

    @cached_property
    def _session_paths(self) -> neural_sessions.Sessions:  # a table is read for it, folders are searched
        return self.config.session_paths()

    def axes(self) -> tuple[Axis, ...]:
        """Return session, condition, the axes of the config, size and repetition.

        Raises
        ------
        RecordingError
            There is no session.
        """
        config = self.config
        sessions = tuple(name for name, _ in self._session_paths)
        if not sessions:
            raise RecordingError(neural_sessions.nothing_found(config.recordings))
        sizes = tuple(ALL if size == "all" else size for size in config.sizes)
        return (
            Axis("session", sessions, "ingest"),
            Axis("condition", tuple(config.conditions)),
            *(axis_of(name, labels) for name, labels in config.axes.items()),
            Axis("size", sizes, units="1", long_name="number of units asked for; 0 stands for all eligible units"),
            Axis("repetition", tuple(range(config.repetitions)), units="1", long_name="draw of units"),
        )

    def outputs(self) -> tuple[Output, ...]:
        """Return the values of a cell, those of its folds where it has some, and what is stored on request."""
        return outputs(self.config.store, cross_fitted=any(self.config.labels("cross_fit")))

    def settings(self) -> dict[str, Any]:
        """Return what can change a number: root seed, selection, binning, estimators and their versions."""
        config = self.config
        scalars = {
            name: {key: value for key, value in section.model_dump().items() if key not in config.axes}
            for name, section in (("binning", config.binning), ("estimator", config.estimator))
        }
        # an axis may grow by any of the methods
        methods = neural_compute.METHODS if "method" in config.axes else [config.estimator.method]
        versions = neural_compute.versions(methods)
        return {"seed": config.seed, "selection": config.selection.model_dump(), "versions": versions, **scalars}

    def sources(self) -> tuple[Source, ...]:
        """Return one source per session, and per bin size where that is an axis."""
        config = self.config
        bin_sizes = config.axes.get("bin_size", [None])
        return tuple(
            Source(
                {"session": session} | ({} if bin_size is None else {"bin_size": bin_size}),
                {**self._reader(session, path), "bin_size": bin_size or config.binning.bin_size},
            )
            for session, path in self._session_paths
            for bin_size in bin_sizes
        )

    def _reader(self, session: str, path: str | None) -> dict[str, Any]:
        """Return what a session is read with."""
        recordings = self.config.recordings
        animal = {"subject": recordings.subjects[session]} if session in recordings.subjects else {}
        return {"kind": recordings.kind, "path": path, "options": {**recordings.options, **animal}}

    def make_ready(self, tell: Callable[[str], Any]) -> None:
        """Make the environment of the Allen SDK where the config has it read the sessions."""
        if self.config.recordings.options.get("reader") == "allensdk":
            from neq.readers.allensdk_environment import make_environment

            make_environment(tell)

    def ingest(self, source: Source, run_folder: Path) -> Prepared:
        """Read, bin and store one session, unless that was done before and its file is as it was."""
        spec, session, folder = source.spec, str(source.labels["session"]), run_folder / "spikes"
        asked = content.of_json({**spec, "session": session})
        written, exact = ingest.find_spikes(session, asked, spec["path"], folder), {}
        if written is None:
            seen = content.identities(spec["path"])
            recording = read_recording(spec["path"], kind=spec["kind"], session=session, **spec["options"])
            written = ingest.write_spikes(recording, spec["bin_size"], folder, asked, seen)
            exact = recording.source.get("exact", {})
        selected = selection_facts(folder / written.path, Selection(**self.config.selection.model_dump()))
        facts = {**written.facts, "exact": exact, **selected}
        return Prepared(source.labels, f"spikes/{written.path}", written.content, facts)

    def resolved(self) -> NeuralRecordingsConfig:
        """Return the config with a path for each session, so that a file that vanishes takes no session along."""
        recordings, paths = self.config.recordings, dict(self._session_paths)
        if recordings.path is None or not paths:
            return self.config
        update = {
            "path": paths,
            "sessions": recordings.sessions if isinstance(recordings.sessions, list) else None,
            "subjects": {session: animal for session, animal in recordings.subjects.items() if session in paths},
        }
        return self.config.model_copy(update={"recordings": recordings.model_copy(update=update)})

    def warm_up(self) -> tuple[dict[str, Any], ...]:
        """Return a small synthetic session, and one with orders where these are stored."""
        return (_PAIRS, _ORDERS) if "orders" in self.config.store else (_PAIRS,)

    def check_prepared(self, prepared: Sequence[Prepared]) -> None:
        """Refuse a condition that no readable session has, and a selection that fits the units of none.

        Raises
        ------
        RecordingError
            No session has one of the conditions.
        SelectionError
            The units of every session lack a column of the selection, or do not compare with it.
        """
        problems = [one.facts.get("selection_error") for one in prepared if one.content]
        if problems and all(problems):
            raise SelectionError(f"selection: {problems[0]}. So it is in every session; correct the config.")
        there = dict.fromkeys(name for one in prepared for name in one.facts.get("conditions", {}))
        absent = [name for name in self.config.conditions if name not in there]
        if there and absent:
            raise RecordingError(
                f"conditions: no session has {', '.join(absent)}; there are: {', '.join(there)}. Name some of these."
            )

    def dimensions(self, prepared: Sequence[Prepared]) -> dict[str, int]:
        """Return the largest numbers of drawn units, observables, folds, orders, transitions and events."""
        config = self.config
        available = max((int(one.facts.get("n_unit", 0)) for one in prepared), default=0)
        asked = [available if size == "all" else size for size in config.sizes]
        drawn = max(1, min(max(asked), available))
        pair = max(observable_named(name).n_parameter(drawn) for name in config.labels("observable"))
        n_bin = [count for one in prepared for count in one.facts.get("conditions", {}).values()]
        # every trial and every epoch begins a segment; a segment may begin one of each condition
        n_event = [one.facts.get("n_segment", 0) * (1 + len(one.facts.get("conditions", {}))) for one in prepared]
        return {
            "drawn": drawn,
            "pair": max(1, pair),
            "fold": max(1, *config.labels("cross_fit")),
            "order": config.estimator.max_order,
            "transition": max([2, *n_bin]) - 1,
            "event": max([1, *n_event]),
        }

    def open_inputs(self, cell: Cell, prepared: Prepared | None, run_folder: Path) -> Any:
        """Open the eligible units of the cell's session and condition."""
        assert prepared is not None  # every cell of this study has a source
        selection = json.dumps(self.config.selection.model_dump(), sort_keys=True)
        lag = int(self._estimator(cell)["lag"])
        population = open_population(run_folder / prepared.path, str(cell["condition"]), lag, selection)
        return population, prepared.facts.get("exact", {}).get(cell["condition"], {})

    def compute(self, cell: Cell, inputs: Any) -> dict[str, Any]:
        """Draw units, fit, and say what is known of the value."""
        population, exact = inputs
        options = self._estimator(cell)
        drawn = self._draw(cell, population)
        labels = {name: cell[name] for name in ("session", "condition", "repetition")}
        transitions = population.transitions.select_units(drawn)
        null = options["surrogate"]
        turned = surrogate(transitions, null, seeds.generator(self.config.seed, **labels, surrogate=null))
        seed = seeds.seed_sequence(self.config.seed, **labels, role="split")
        # Sufficiency is a property of the size, not of the draw: one repetition shows it.
        half = cell["repetition"] == 0
        values = neural_compute.estimate(turned, population, options, self.config.store, seed, half=half)
        values |= {"drawn_unit": population.unit[drawn], "drawn_area": population.area[drawn]}
        if null == "none":
            values |= neural_compute.exact_values(exact, len(drawn), transitions.lag, population.bin_size)
        wanted = ["quality", *(output.name for output in self.outputs())]
        return {name: values[name] for name in wanted if name in values}

    def impossible(self, cell: Cell, facts: Mapping[str, Any]) -> bool:
        """Whether too few units of the session may be drawn, or it has no such condition."""
        few = max(int(cell["size"]), 1) > _available(cell, facts, np.inf)
        return few or cell["condition"] not in facts.get("conditions", [cell["condition"]])

    def cost(self, cell: Cell, facts: Mapping[str, Any]) -> float:
        """Return transitions times pairs of units, for every fit."""
        n_unit = _available(cell, facts, 100)
        drawn = min(int(cell["size"]) or n_unit, n_unit)
        options = self._estimator(cell)
        fits = neural_compute.n_fit(options, drawn, "orders" in self.config.store)
        n_bin = facts.get("conditions", {}).get(cell["condition"], facts.get("n_bin", 1))
        return float(n_bin) * (1.0 + 0.01 * drawn**2) * fits

    def reduce(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return means over repetitions, then over sessions; conditions in the order of the config."""
        # here and in figures: a worker that computes cells has no use for either, and importing takes seconds
        from neq.summary import summarise

        return summarise(self._ordered(dataset))

    def figures(self, dataset: xr.Dataset, summary: xr.Dataset) -> dict[str, Figure]:
        """Draw the scaling figure, one for each axis of numbers, and what was stored on request."""
        from . import neural_figures

        return neural_figures.draw(self._ordered(dataset), summary, self.config)

    def _ordered(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the dataset with labels of text in the order of the config."""
        labels: dict[str, list[Any]] = {"condition": self.config.conditions}
        labels |= {name: names for name, names in self.config.axes.items() if isinstance(names[0], str)}
        named = {name: [one for one in names if one in dataset[name]] for name, names in labels.items()}
        return dataset.sel(named)

    def _estimator(self, cell: Cell) -> dict[str, Any]:
        """Return the estimator's options with the cell's labels in place."""
        options = self.config.estimator.model_dump()
        return {name: cell.get(name, value) for name, value in options.items()}

    def _draw(self, cell: Cell, population: Population) -> np.ndarray:
        size = int(cell["size"])
        return draw_units(
            population.unit,
            population.activity,
            len(population.unit) if size == ALL else size,
            self.config.selection.order,
            root=self.config.seed,
            session=str(cell["session"]),
            repetition=int(cell["repetition"]),
        )


def _available(cell: Cell, facts: Mapping[str, Any], unknown: float) -> float:
    """Return how many units may be drawn for a cell, as far as the facts tell."""
    found: float = facts.get("n_eligible", {}).get(cell["condition"], facts.get("n_unit", unknown))
    return found
