"""Mean agreement of each estimate with each truth, with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relp_sae.records import EVERYWHERE, Agreement, Interval
from relp_sae.report import style
from relp_sae.report.wording import UNDEFINED, label, measure_words, number


@dataclass(frozen=True)
class Panel:
    """The estimates of one truth in one part, best first, and what a perfect one would reach."""

    truth: str
    part: str
    ranking: Sequence[Agreement]
    ceiling: float = math.nan


def agreement_figure(grid: Sequence[Sequence[Panel]]) -> Figure:
    """A row of panels for each part, with a panel for each truth."""
    longest = [max(len(panel.ranking) for panel in row) for row in grid]
    columns = len(grid[0])
    size = (1.2 + 4.6 * columns, 0.7 + 0.55 * len(grid) + 0.27 * sum(longest))
    figure = Figure(figsize=size, layout="constrained")
    heights = [rows + 1.2 for rows in longest]
    axes = figure.subplots(len(grid), columns, squeeze=False, sharex=True, height_ratios=heights)
    shown = [one for row in grid for panel in row for one in panel.ranking]
    palette = style.colours(one.estimate for one in shown)
    for row, (panels, rows) in enumerate(zip(grid, longest, strict=True)):
        for column, panel in enumerate(panels):
            here = axes[row, column]
            _draw(here, panel, palette)
            where = "" if panel.part == EVERYWHERE and len(grid) == 1 else f", {panel.part}"
            here.set_title(panel.truth + where, loc="left", fontweight="bold")
            here.set_ylim(rows - 0.4, -0.6)
    figure.supxlabel(
        f"{measure_words(shown[0].measure)} with the truth, mean over pairs", fontsize=9
    )
    return figure


def _draw(axes: Axes, panel: Panel, palette: Mapping[str, str]) -> None:
    axes.axvline(0, color=style.QUIET, linewidth=0.6)
    for row, one in enumerate(panel.ranking):
        if math.isnan(one.mean.value):
            axes.annotate(
                UNDEFINED, (0, row), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
            continue
        axes.barh(row, one.mean.value, height=0.62, color=palette[one.estimate], linewidth=0)
        _draw_interval(axes, row, one.mean)
    if not math.isnan(panel.ceiling) and panel.ceiling < 1:
        axes.axvline(panel.ceiling, color=style.INK, linewidth=0.9, dashes=(2, 2), zorder=0)
    labels = [label(one.estimate, one.base) for one in panel.ranking]
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _draw_interval(axes: Axes, row: int, mean: Interval) -> None:
    end = mean.value
    if not (math.isnan(mean.low) or math.isnan(mean.high)):
        axes.plot([mean.low, mean.high], [row, row], color=style.INK, linewidth=1.1)
        end = mean.high
    axes.annotate(
        number(mean.value),
        (max(end, 0.0), row),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )
