"""Mean agreement of each estimate with each truth, with its interval."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relp_sae.records import Agreement, Interval
from relp_sae.report import style
from relp_sae.report.wording import UNDEFINED, label, measure_words, number


def agreement_figure(ranks: Mapping[str, Sequence[Agreement]]) -> Figure:
    """One panel per truth; ``ranks`` gives its estimates, best first."""
    longest = max(len(ranking) for ranking in ranks.values())
    size = (1.2 + 4.6 * len(ranks), 1.0 + 0.34 * longest)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(ranks), squeeze=False, sharex=True)[0]
    palette = style.colours(one.estimate for ranking in ranks.values() for one in ranking)
    for axes, (truth, ranking) in zip(panels, ranks.items(), strict=True):
        _draw(axes, ranking, palette)
        axes.set_title(truth, loc="left", fontweight="bold")
        axes.set_ylim(longest - 0.4, -0.6)
    measure = next(iter(ranks.values()))[0].measure
    figure.supxlabel(f"{measure_words(measure)} with the truth, mean over pairs", fontsize=9)
    return figure


def _draw(axes: Axes, ranking: Sequence[Agreement], palette: Mapping[str, str]) -> None:
    axes.axvline(0, color=style.QUIET, linewidth=0.6)
    for row, one in enumerate(ranking):
        if math.isnan(one.mean.value):
            axes.annotate(
                UNDEFINED, (0, row), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
            continue
        axes.barh(row, one.mean.value, height=0.62, color=palette[one.estimate], linewidth=0)
        _draw_interval(axes, row, one.mean)
    labels = [label(one.estimate, one.base) for one in ranking]
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
    )
