"""The mean score around events, with what it would be if the events meant nothing."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from . import style


class Curve(Protocol):
    """Anything with the fields of :class:`neq.estimators.events.PeriEvent`, a Dataset of them among others."""

    @property
    def offset(self) -> Any:
        """Bins from the event (offset,)."""

    @property
    def average(self) -> Any:
        """Mean score (offset,)."""

    @property
    def low(self) -> Any:
        """Lower end of the band of each offset (offset,)."""

    @property
    def high(self) -> Any:
        """Upper end of it (offset,)."""

    @property
    def low_all(self) -> Any:
        """Lower end of the band of all offsets together (offset,)."""

    @property
    def high_all(self) -> Any:
        """Upper end of it (offset,)."""

    @property
    def n_event(self) -> Any:
        """Events in the mean (offset,)."""


@style.styled
def events(curve: Curve, bin_size: float | None = None, title: str = "") -> Figure:
    """Draw the mean trajectory score against time from the event.

    Parameters
    ----------
    curve
        What :func:`~neq.estimators.events.peri_event` returns, or a Dataset with variables of the same names (offset,).
    bin_size
        Seconds per bin; None draws bins.
    title
        Stands above the axes.

    Examples
    --------
    >>> from neq.estimators.events import peri_event
    >>> curve = peri_event(np.sin(np.arange(100.0)), np.arange(100), np.zeros(100), [20, 50, 77], window=(5, 5))
    >>> events(curve, bin_size=0.01, title="saccades").axes[0].get_xlabel()
    'time from event (ms)'
    """
    offset, average = (np.asarray(values, dtype=float) for values in (curve.offset, curve.average))
    if not np.isfinite(average).any():
        reason = getattr(curve, "reason", "") or "no score around any event"
        return style.message(title or "events", str(np.asarray(reason)))
    x, label = (offset, "bins from event") if bin_size is None else (1e3 * bin_size * offset, "time from event (ms)")
    figure = Figure(figsize=(style.COLUMN, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(x, curve.low_all, curve.high_all, color=style.GREY, alpha=0.2, linewidth=0, gid="band:all")
    axes.fill_between(x, curve.low, curve.high, color=style.GREY, alpha=0.35, linewidth=0, gid="band:each")
    axes.plot(x, average, color=style.colour(0), gid="line:average")
    axes.axvline(0.0, color="black", linestyle=":", linewidth=0.8, gid="event")
    axes.set(xlabel=label, ylabel="trajectory score\n(nats per transition)", xlim=(x.min(), x.max()), title=title)
    style.caption(figure, _caption(np.asarray(curve.n_event)))
    return figure


def _caption(n_event: np.ndarray) -> str:
    seen = n_event[n_event > 0]
    number = f"{seen.min()}" if seen.min() == seen.max() else f"{seen.min()} to {seen.max()}"
    return (
        f"Mean held-out score of the transitions that end at each time from the event, {number} events. Bands: where "
        "95% of curves lie when the events are shifted round at random; dark each time by itself, light all together."
    )
