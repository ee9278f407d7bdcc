"""The regime map: agreement along each axis, one line for each method."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relp_sae.records import RegimePoint
from relp_sae.report import style
from relp_sae.report.lines import Line, add_legend, draw_pointed, finite, spread
from relp_sae.report.regimes import is_layered, regimes_of
from relp_sae.report.wording import label

COLUMNS = 2
MOST_TICKS = 10
MOST_LETTERS = 45
"""Labels of an axis that have more letters together are slanted."""

LOG_FROM = 8.0
"""An axis but that of layers is logarithmic if its last level is so many times its first."""

SIDESTEP = 0.012
"""How far the lines stand beside one another, as a share of the axis, to keep intervals apart; less
where the levels are so many that a line would come nearer to the next level."""


def regime_figure(points: Sequence[RegimePoint]) -> Figure:
    """A panel for each axis of the map."""
    regimes = regimes_of(points)
    rows = math.ceil(len(regimes) / COLUMNS)
    columns = min(COLUMNS, len(regimes))
    figure = Figure(figsize=(2.0 + 3.9 * columns, 0.5 + 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    names = {one.estimate: label(one.estimate, one.base) for one in points}
    palette = style.colours(names)
    for axes in grid.flat[len(regimes) :]:
        axes.set_axis_off()
    for axes, regime in zip(grid.flat, regimes, strict=False):
        here = [one for one in points if one.regime == regime]
        _draw(axes, here, palette)
        axes.set_title(f"by {regime}", loc="left", fontweight="bold")
    figure.supylabel(f"Pearson with {points[0].truth}, mean over pairs", fontsize=9)
    add_legend(figure, names, markers=True)
    return figure


def _draw(axes: Axes, points: Sequence[RegimePoint], palette: dict[str, str]) -> None:
    levels = sorted({one.at: one.level for one in points}.items())
    first, last = levels[0][0], levels[-1][0]
    logarithmic = not is_layered(points[0].regime) and 0 < LOG_FROM * first <= last
    if logarithmic:
        axes.set_xscale("log")
    names = list(dict.fromkeys(one.estimate for one in points))
    step_aside = min(SIDESTEP, 0.7 / max(len(levels) - 1, 1) / len(names))
    for place, name in enumerate(names):
        own = sorted((one for one in points if one.estimate == name), key=lambda one: one.at)
        aside = step_aside * (place - (len(names) - 1) / 2)
        x = _moved([one.at for one in own], aside, levels, logarithmic)
        draw_pointed(axes, Line(name, name, x, [one.pearson for one in own]), palette[name])
    ends = finite(end for one in points for end in (one.pearson.low, one.pearson.high))
    means = finite(one.pearson.value for one in points)
    axes.set_ylim(*spread(min([0.0, *ends, *means]), max([1.0, *ends, *means])))
    axes.axhline(0, color=style.FAINT, linewidth=0.6, zorder=0)
    step = math.ceil(len(levels) / MOST_TICKS)
    axes.set_xticks([at for at, _ in levels[::step]], [words for _, words in levels[::step]])
    if sum(len(words) for _, words in levels[::step]) > MOST_LETTERS:
        axes.tick_params(axis="x", labelrotation=30)
    axes.minorticks_off()


def _moved(
    at: Sequence[float], aside: float, levels: Sequence[tuple[float, str]], logarithmic: bool
) -> list[float]:
    """The places of a line's points, all moved aside by a share of the axis."""
    first, last = levels[0][0], levels[-1][0]
    if logarithmic:
        return [one * (last / first) ** aside for one in at]
    return [one + aside * ((last - first) or 1.0) for one in at]
