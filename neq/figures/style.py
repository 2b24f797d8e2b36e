"""How figures of neq look: colours that colour-blind readers can tell apart, print sizes, no LaTeX."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without its yellow, which is too pale for lines; in the order of use."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#7F7F7F"

CONTRASTS: tuple[dict[str, Any], ...] = (
    {"color": "#CC79A7", "marker": "D"},
    {"color": "#000000", "marker": "v"},
    {"color": "#56B4E9", "marker": "P"},
    {"color": "#E69F00", "marker": "X"},
    {"color": "#009E73", "marker": "<"},
    {"color": "#7F7F7F", "marker": ">"},
)
"""Looks of differences of conditions, told apart from those of the conditions; no more than these are drawn."""

COLUMN = 3.4
"""Width of a figure of one printed column, inches."""
WIDE = 5.0
"""Width of a figure that a column is too narrow for, inches."""
PAGE = 7.0
"""Width of a figure across the page, inches."""

RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.0,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType, so that the text of a PDF stays text
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "neq",
    "text.usetex": False,
}

P = ParamSpec("P")


def colour(i: int) -> str:
    """Return the colour of the condition at position ``i``."""
    return COLOURS[i % len(COLOURS)]


def marker(i: int) -> str:
    """Return the marker of the condition at position ``i``."""
    return MARKERS[i % len(MARKERS)]


def null_line(i: int) -> tuple[float, tuple[float, ...]]:
    """Return the dashes of the null at position ``i``."""
    return ((0.0, (4.0, 2.0)), (0.0, (1.0, 1.5)), (0.0, (4.0, 1.5, 1.0, 1.5)))[i % 3]


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function use this style whatever the user's own settings are."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(RC)
            return draw(*args, **kwargs)

    return wrapper


def wrapped(text: str, n_character: int) -> str:
    """Break a label into lines of at most ``n_character``, at spaces.

    Examples
    --------
    >>> wrapped("entropy production per spike", 20).splitlines()
    ['entropy production', 'per spike']
    """
    return "\n".join(textwrap.wrap(text, n_character))


def fit_height(figure: Figure) -> None:
    """Cut the height of a figure with axes of fixed shape to what is drawn."""
    figure.draw_without_rendering()
    width, _ = figure.get_size_inches()
    figure.set_size_inches(width, figure.get_tightbbox().height + 0.08)


def caption(figure: Figure, text: str) -> None:
    """Write ``text`` at the foot of the figure and make room for it; reports show it as the figure's caption.

    Parameters
    ----------
    figure
        A figure with constrained layout.
    text
        Plain sentences; wrapped to the width of the figure.
    """
    width, height = figure.get_size_inches()
    size = RC["font.size"]
    n_character = int((width - 0.2) * 72 / (0.53 * size))  # 0.53 em is the mean width of DejaVu Sans, with a margin
    # "n = 3" stays in one line
    lines = [line.replace("\xa0", " ") for line in textwrap.wrap(text.replace(" = ", "\xa0=\xa0"), n_character)]
    room = len(lines) * 1.3 * size / 72 + 0.14
    figure.set_size_inches(width, height + room)
    foot = room / (height + room)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.0, foot, 1.0, 1.0 - foot))  # type: ignore[call-arg]
    corner = (0.1 / width, 0.04 / (height + room))
    note = figure.text(*corner, "\n".join(lines), va="bottom", color="#404040", fontsize=size, linespacing=1.3)
    note.set_gid("caption")
    note.set_in_layout(False)
    figure.set_label(text)


@styled
def message(title: str, text: str) -> Figure:
    """Return a figure that says why there is nothing to draw.

    Examples
    --------
    >>> message("coupling", "no finished cell").get_label()
    'No finished cell.'
    """
    figure = Figure(figsize=(COLUMN, 0.35), layout="constrained")
    figure.suptitle(title, x=0.03, ha="left", weight="bold", fontsize=RC["axes.titlesize"])
    caption(figure, f"{text[:1].upper()}{text[1:]}".rstrip(".") + ".")
    return figure
