"""Estimate against truth, unit by unit.

The scores are heavy-tailed: a few units carry the correlation and thousands sit near zero. A
logarithmic axis would hide the first fact and a linear one the second, so that each estimate gets
two linear panels: all units, and the middle of the same cloud magnified.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from relp_sae.records import FeatureScores
from relp_sae.report import style

MIDDLE = 95.0
"""The magnified panel reaches to this percentile of |score| on either axis."""

COLUMNS = 4

Span = tuple[float, float]
Points = tuple[np.ndarray, np.ndarray]


def scatter_figure(
    truth: FeatureScores,
    estimates: Sequence[FeatureScores],
    pearson: Mapping[str, str],
    unit: str = "feature",
) -> Figure:
    """Two panels for each estimate; ``pearson`` maps its label to the words of its title.

    ``unit`` is what the legend calls a unit that is no error unit.
    """
    bands = math.ceil(len(estimates) / COLUMNS)
    columns = math.ceil(len(estimates) / bands)
    size = (max(4.2, 0.8 + 2.4 * columns), 0.7 + 4.5 * bands)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    palette = style.colours(one.name for one in estimates)
    for i, estimate in enumerate(estimates):
        band, column = divmod(i, columns)
        top, bottom = grid[2 * band, column], grid[2 * band + 1, column]
        _draw_both(top, bottom, truth, estimate, palette[estimate.name])
        top.set_title(f"{estimate.label}\n{pearson[estimate.label]}")
        if column == 0:
            top.set_ylabel("estimate (all units)")
            bottom.set_ylabel("estimate (the middle)")
    figure.supxlabel(f"{truth.name} effect of the unit, by intervention", fontsize=9)
    with_errors = bool(truth.units.is_error.any())
    figure.legend(
        handles=_legend(unit, with_errors), loc="outside upper right", ncols=3, fontsize=8
    )
    return figure


def _draw_both(
    top: Axes, bottom: Axes, truth: FeatureScores, estimate: FeatureScores, colour: str
) -> None:
    x, y = truth.score, estimate.score
    wide = _span(x), _span(np.concatenate([x, y]))
    reach_x, reach_y = _reach(x), max(_reach(x), _reach(y))
    near = (-reach_x, reach_x), (-reach_y, reach_y)
    for axes, (x_span, y_span), crowd in ((top, wide, 1), (bottom, near, len(x))):
        axes.set_axis_on()
        axes.set(xlim=x_span, ylim=y_span)
        axes.locator_params(nbins=4)
        style.mark_zero(axes)
        axes.axline((0, 0), slope=1, color=style.QUIET, linewidth=0.9, dashes=(4, 3), zorder=4)
        _draw_units(axes, (x, y), ~truth.units.is_error, colour, crowd)
    corner, width, height = (-reach_x, -reach_y), 2 * reach_x, 2 * reach_y
    frame = Rectangle(corner, width, height, fill=False, edgecolor=style.QUIET, linewidth=0.6)
    top.add_patch(frame)


def _draw_units(axes: Axes, xy: Points, is_feature: np.ndarray, colour: str, crowd: int) -> None:
    """``crowd`` is how many units share the middle: in a crowd each is drawn smaller and paler."""
    room = float(np.clip(20 / math.sqrt(crowd), 0.15, 1.0))
    size = max(room, 0.4)
    x, y = xy
    axes.scatter(
        x[is_feature],
        y[is_feature],
        s=9 * size,
        c=colour,
        alpha=0.7 * room,
        linewidths=0,
        rasterized=True,
        zorder=2,
    )
    axes.scatter(
        x[~is_feature],
        y[~is_feature],
        s=16 * size,
        marker="D",
        facecolors="none",
        edgecolors=style.INK,
        linewidths=0.7 * size,
        alpha=0.4 + 0.4 * room,
        rasterized=True,
        zorder=3,
    )


def _legend(unit: str, with_errors: bool) -> list[Line2D]:
    dot = Line2D([], [], linestyle="none", color=style.INK, marker="o", markersize=4)
    diamond = Line2D([], [], linestyle="none", color=style.INK, marker="D", markersize=4)
    diamond.set_fillstyle("none")
    line = Line2D([], [], color=style.QUIET, linewidth=0.8, dashes=(4, 3))
    handles = {unit: dot, "error unit": diamond, "estimate = truth": line}
    if not with_errors:
        del handles["error unit"]
    for words, handle in handles.items():
        handle.set_label(words)
    return list(handles.values())


def _span(values: np.ndarray) -> Span:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _reach(values: np.ndarray) -> float:
    return float(np.percentile(np.abs(values), MIDDLE)) or float(np.abs(values).max()) or 1.0
