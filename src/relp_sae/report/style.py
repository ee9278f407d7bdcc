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
    "gradient-mean": "#6cb8e6",
    "relp": "#d55e00",
    "relp-mean": "#f2a07b",
    "relp-ah": "#c9a400",
    "secant": "#009e73",
    "integrated-gradients": "#b5579a",
}
"""Okabe and Ito's hues, which colour-blind readers can tell apart; the mean over both runs is the
light shade of its method."""

SPARE = ("#56b4e9", "#7a5195", "#8c6d31", "#3b7a57", "#c44e52", "#4c4c9d")

MARKERS = {
    "gradient": "o",
    "gradient-mean": "o",
    "relp": "s",
    "relp-mean": "s",
    "relp-ah": "^",
    "secant": "D",
    "integrated-gradients": "v",
}

BASELINE_DASHES = {"delta-norm": (5, 2), "direct": (4, 1.5, 1, 1.5), "random": (1, 1.5)}

DPI = 160

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

    A variant with n steps, such as ``secant:4``, has a darker shade of its method's.
    """
    spare = cycle(SPARE)
    chosen: dict[str, str] = {}
    for name in sorted(set(names)):
        stem, _, count = name.partition(":")
        own = QUIET if is_baseline(name) else COLOURS.get(stem)
        chosen[name] = _darker(own, _steps(count)) if own else next(spare)
    return chosen


def dashes(name: str) -> Any:
    """The line of a method: solid; dotted for a variant with n steps; baselines by their dashes."""
    if name in BASELINE_DASHES:
        return (0, BASELINE_DASHES[name])
    return (0, (1.2, 1.2)) if ":" in name else "-"


def marker(name: str) -> str:
    """The marker of a method's points: its own where it has one, a dot for any other."""
    return MARKERS.get(name.partition(":")[0], "o")


def _steps(count: str) -> int:
    return int(count) if count.isdecimal() else 1


def _darker(colour: str, steps: int) -> str:
    """Towards black with the number of steps, by less than half.

    >>> _darker("#009e73", 1), _darker("#009e73", 2)
    ('#009e73', '#006f51')
    """
    share = 0.0 if colour == QUIET else 0.6 * (1 - 1 / max(steps, 1))
    parts = (int(int(colour[i : i + 2], 16) * (1 - share) + 0.5) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)


def mark_zero(axes: Axes) -> None:
    """Thin lines through the origin, behind everything."""
    axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=0)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.svg``, undated: equal figures are equal files."""
    _lay_out(figure)
    write_atomically(folder / f"{name}.png", lambda path: figure.savefig(path, dpi=DPI))
    undated = {"Date": None}
    write_atomically(
        folder / f"{name}.svg", lambda path: figure.savefig(path, dpi=DPI, metadata=undated)
    )


def _lay_out(figure: Figure) -> None:
    """Find the layout once and keep it, rounded.

    Its solver's last digits differ from one time to the next, and an SVG's names are made of them.
    """
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        x, y, width, height = (round(end, 4) for end in axes.get_position().bounds)
        axes.set_position((x, y, width, height))
