"""Circuit curves as a figure: sufficiency at the left, necessity at the right, a row for a site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from relp_sae.report import style
from relp_sae.report.lines import Line, add_legend, draw_banded, draw_truth, finite, spread


@dataclass(frozen=True)
class Panel:
    """The curves of one site in one direction: over the share of units, F."""

    site: str
    direction: str
    estimates: Sequence[Line]
    truths: Sequence[Line]


def curve_figure(grid: Sequence[Sequence[Panel]]) -> Figure:
    """A row of panels for each site, with a panel for each direction."""
    size = (2.0 + 3.9 * len(grid[0]), 0.6 + 2.9 * len(grid))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(grid), len(grid[0]), squeeze=False, sharex=True)
    panels = [panel for row in grid for panel in row]
    names = {line.name: line.words for panel in panels for line in panel.estimates}
    truths = list(dict.fromkeys(line.name for panel in panels for line in panel.truths))
    palette = style.colours(names)
    for here, panel in zip(axes.flat, panels, strict=True):
        _draw(here, panel, palette, truths)
    figure.supxlabel("share of the site's units, largest |score| first", fontsize=9)
    figure.supylabel("F: share of the site's effect", fontsize=9)
    add_legend(figure, names, truths)
    return figure


def _draw(axes: Axes, panel: Panel, palette: Mapping[str, str], truths: Sequence[str]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    for whole in (0, 1):
        axes.axhline(whole, color=style.FAINT, linewidth=0.6, zorder=0)
    for line in panel.estimates:
        draw_banded(axes, line, palette[line.name])
    for line in panel.truths:
        draw_truth(axes, line, truths.index(line.name))
    lines = [*panel.estimates, *panel.truths]
    values = finite(one.value for line in lines for one in line.y)
    axes.set_ylim(*spread(min([0.0, *values]), max([1.0, *values])))
    axes.set_title(f"{panel.site}: {panel.direction}", loc="left", fontweight="bold")
