"""One look for all figures: a colour per method, quiet axes, the same bytes every time."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relp_sae.records.atomic import write_atomically
from relp_sae.report.wording import is_baseline

INK = "#24292f"
QUIET = "#8c959f"
FAINT = "#d8dee4"

COLOURS = {
    "gradient": "#0072b2",
    "relp": "#d55e00",
    "relp-ah": "#e69f00",
    "secant": "#009e73",
    "integrated-gradients": "#b5579a",
}
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

SPARE = ("#56b4e9", "#7a5195", "#8c6d31", "#3b7a57", "#c44e52", "#4c4c9d")

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "relp-sae",
}


def styled() -> AbstractContextManager[None]:
    """The context to draw and to save in; nothing of it stays in the process."""
    return matplotlib.rc_context(RC)


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: grey for a baseline, its method's own, or the next spare one.

    A variant such as ``integrated-gradients:20`` has the colour of its method.
    """
    spare = cycle(SPARE)
    chosen: dict[str, str] = {}
    for name in sorted(set(names)):
        own = QUIET if is_baseline(name) else COLOURS.get(name.partition(":")[0])
        chosen[name] = own or next(spare)
    return chosen


def mark_zero(axes: Axes) -> None:
    """Thin lines through the origin, behind everything."""
    axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=0)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.svg``, undated: equal figures are equal files."""
    write_atomically(folder / f"{name}.png", lambda path: figure.savefig(path, dpi=160))
    undated = {"Date": None}
    write_atomically(
        folder / f"{name}.svg", lambda path: figure.savefig(path, dpi=160, metadata=undated)
    )
