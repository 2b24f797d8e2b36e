"""Entropy production of the spin model against inverse temperature, and its couplings against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from ..errors import NeqError
from . import style
from .lines import HALF

NAMES = {"mtur": "MTUR", "newton": "one Newton step", "maxent": "MaxEnt"}
"""What the estimators are called, in the order of the legend."""

LOOKS = {name: {"color": style.colour(i), "marker": style.marker(i)} for i, name in enumerate(NAMES)}


@style.styled
def spin_model(summary: xr.Dataset, n_unit: int | None = None) -> Figure:
    """Draw the model's entropy production and its estimates against beta, with 95% bands.

    Parameters
    ----------
    summary
        ``entropy_production`` (estimator, beta) with ``interval_low`` and ``interval_high``, and
        ``exact_entropy_production`` (beta) with ``exact_standard_error``; ``share_tail_limited`` makes markers hollow.
    n_unit
        Number of spins, for the caption.

    Examples
    --------
    >>> line = xr.Dataset(
    ...     {"entropy_production": (("estimator", "beta"), [[0.1, 0.2]]),
    ...      "exact_entropy_production": ("beta", [0.12, 0.3])},
    ...     coords={"beta": [0.5, 1.0], "estimator": ["maxent"]})
    >>> [text.get_text() for text in spin_model(line).axes[0].get_legend().get_texts()]
    ['model', 'MaxEnt']
    """
    figure = Figure(figsize=(style.COLUMN, 2.7), layout="constrained")
    axes = figure.subplots()
    _draw_exact(axes, summary)
    hollow = [_draw_estimator(axes, summary.sel(estimator=name), name) for name in _present(summary)]
    axes.set(xlabel=r"inverse temperature $\beta$", ylabel="Entropy production per\nattempted update (nats)")
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    axes.legend(loc="upper left")
    spins = f"{n_unit} spins, sequential Glauber dynamics. " if n_unit else ""
    text = f"{spins}Bands: 95% intervals over independent runs; model: mean over the same samples."
    if any(hollow):
        text += " Hollow: spins with fewer than 100 effective held-out flips carry a tenth of the value or more."
        if "mtur" in summary["estimator"].values:
            text += " MTUR is not examined for this: its markers are never hollow."
    style.caption(figure, text)
    return figure


@style.styled
def spin_couplings(theta: np.ndarray, couplings: np.ndarray, beta: float, estimator: str = "maxent") -> Figure:
    """Draw theta_ij - theta_ji against beta (J_ij - J_ji) with the line of identity.

    Parameters
    ----------
    theta
        Parameters (unit, source).
    couplings
        J (target, source).
    beta
        Inverse temperature.
    estimator
        Which estimator theta is of.

    Examples
    --------
    >>> couplings = np.random.default_rng(0).normal(size=(5, 5))
    >>> spin_couplings(2 * couplings, couplings, 2.0).get_label()[:40]
    '10 pairs of 5 spins at β = 2; MaxEnt. Co'
    """
    if theta.shape != couplings.shape or theta.ndim != 2 or theta.shape[0] != theta.shape[1]:
        raise NeqError(f"expected theta and couplings (unit, source); found {theta.shape} and {couplings.shape}")
    pair = np.triu_indices(len(theta), 1)
    fitted, true = (theta - theta.T)[pair], beta * (couplings - couplings.T)[pair]
    figure = Figure(figsize=(style.COLUMN, style.COLUMN), layout="constrained")
    axes = figure.subplots()
    reach = 1.05 * max(np.abs(fitted).max(), np.abs(true).max(), 1e-9)
    axes.plot([-reach, reach], [-reach, reach], color="black", linewidth=0.8, zorder=1, gid="identity")
    dots: dict[str, Any] = {"linestyle": "none", "markersize": 2.5, "markeredgewidth": 0.0, "alpha": 0.5}
    axes.plot(true, fitted, marker="o", color=LOOKS.get(estimator, LOOKS["maxent"])["color"], gid="pairs", **dots)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel=r"$\beta\,(J_{ij} - J_{ji})$", ylabel=r"$\theta_{ij} - \theta_{ji}$")
    note = _note(true, fitted)
    axes.text(0.04, 0.96, note.replace(", ", "\n"), transform=axes.transAxes, va="top", gid="note")
    style.fit_height(figure)
    name = NAMES.get(estimator, estimator)
    told = f"{note[:1].upper()}{note[1:]}" if note else "No line: no pair differs"
    style.caption(figure, f"{len(true):,} pairs of {len(theta)} spins at β = {beta:g}; {name}. {told}.")
    return figure


def _present(summary: xr.Dataset) -> list[str]:
    """Return the estimators of a summary in the order of the legend, those of other names last."""
    there = [str(name) for name in summary["estimator"].values]
    return [*(name for name in NAMES if name in there), *(name for name in there if name not in NAMES)]


def _draw_exact(axes: Axes, summary: xr.Dataset) -> None:
    beta, exact = summary["beta"].values, summary["exact_entropy_production"].values
    axes.plot(beta, exact, color="black", zorder=2, label="model", gid="line:exact")
    if "exact_standard_error" in summary:
        error = 1.96 * summary["exact_standard_error"].values
        axes.fill_between(beta, exact - error, exact + error, color="black", alpha=0.2, linewidth=0, gid="band:exact")


def _draw_estimator(axes: Axes, line: xr.Dataset, name: str) -> bool:
    """Draw one estimator with its band; return whether a marker is hollow."""
    look = LOOKS.get(name, {"color": style.GREY, "marker": "o"})
    beta, value = line["beta"].values, line["entropy_production"].values
    axes.plot(beta, value, color=look["color"], zorder=3, gid=f"line:{name}")
    if "interval_low" in line:
        low, high = line["interval_low"].values, line["interval_high"].values
        axes.fill_between(beta, low, high, color=look["color"], alpha=0.2, linewidth=0, zorder=2, gid=f"band:{name}")
    share = line["share_tail_limited"].values if "share_tail_limited" in line else np.zeros(len(beta))
    hollow = share >= HALF
    dots: dict[str, Any] = {**look, "linestyle": "none", "markersize": 3.5, "zorder": 4}
    axes.plot(beta[~hollow], value[~hollow], gid=f"filled:{name}", **dots)
    axes.plot(beta[hollow], value[hollow], markerfacecolor="white", gid=f"hollow:{name}", **dots)
    key: dict[str, Any] = {**look, "markersize": 3.5}
    axes.plot([], [], label=NAMES.get(name, name), **key)
    return bool(hollow.any())


def _note(true: np.ndarray, fitted: np.ndarray) -> str:
    """Return correlation and slope as text; empty where there is no line."""
    if len(true) < 2 or not np.ptp(true) or not np.ptp(fitted):
        return ""
    line = stats.linregress(true, fitted)
    return f"correlation {line.rvalue:.3f}, slope {line.slope:.2f}"
