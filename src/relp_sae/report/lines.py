"""Lines with intervals, one for each method: what curves and the regime map are drawn with."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relp_sae.records import Interval
from relp_sae.report import style

TRUTH_DASHES = ((6, 2), (2.5, 1.5), (6, 1.5, 1.5, 1.5))
"""One pattern for each truth, in the order of the records."""


@dataclass(frozen=True)
class Line:
    """The values of one method along an axis; ``words`` is what the legend says."""

    name: str
    words: str
    x: Sequence[float]
    y: Sequence[Interval]

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, low and high end as arrays; NaN where undefined."""
        value, low, high = zip(*((one.value, one.low, one.high) for one in self.y), strict=True)
        return np.array(value), np.array(low), np.array(high)


def draw_banded(axes: Axes, line: Line, colour: str) -> None:
    """A line with the interval as a pale band."""
    value, low, high = line.ends
    axes.fill_between(line.x, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(line.x, value, color=colour, linewidth=1.5, linestyle=style.dashes(line.name))


def draw_truth(axes: Axes, line: Line, place: int) -> None:
    """The line of a truth: dark and dashed, without a band."""
    pattern = TRUTH_DASHES[place % len(TRUTH_DASHES)]
    axes.plot(line.x, line.ends[0], color=style.INK, linewidth=1.2, dashes=pattern, zorder=5)


def draw_pointed(axes: Axes, line: Line, colour: str) -> None:
    """A line through points, each with its interval as a bar."""
    value, low, high = line.ends
    axes.vlines(line.x, low, high, color=colour, linewidth=1.0, alpha=0.6)
    axes.plot(
        line.x,
        value,
        color=colour,
        linewidth=1.2,
        linestyle=style.dashes(line.name),
        marker=style.marker(line.name),
        markersize=4,
        markeredgewidth=0,
    )


def add_legend(
    figure: Figure, names: Mapping[str, str], truths: Iterable[str] = (), markers: bool = False
) -> None:
    """To the right of all panels; ``names`` maps a method to the words of its line."""
    palette = style.colours(names)
    handles = [
        Line2D(
            [],
            [],
            color=palette[name],
            linewidth=1.5,
            linestyle=style.dashes(name),
            marker=style.marker(name) if markers else "",
            markersize=4,
            label=words,
        )
        for name, words in names.items()
    ]
    for place, truth in enumerate(truths):
        handles.append(Line2D([], [], color=style.INK, dashes=TRUTH_DASHES[place % 3], label=truth))
    figure.legend(handles=handles, loc="outside right center", fontsize=8, handlelength=3)


def spread(low: float, high: float) -> tuple[float, float]:
    """Limits with a little air."""
    air = 0.04 * (high - low) or 0.05
    return low - air, high + air


def finite(values: Iterable[float]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if math.isfinite(value)]
