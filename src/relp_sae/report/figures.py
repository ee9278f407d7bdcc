"""All figures of a run, drawn from its records."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from relp_sae.records import FeatureScores
from relp_sae.report import style
from relp_sae.report.bars import Panel, agreement_figure
from relp_sae.report.blocks import Picture
from relp_sae.report.contents import Records, Truth
from relp_sae.report.curve_figure import curve_figure
from relp_sae.report.curve_lines import curve_grid
from relp_sae.report.regime_figure import regime_figure
from relp_sae.report.regimes import map_points
from relp_sae.report.scatter import scatter_figure
from relp_sae.report.tables import headline
from relp_sae.report.wording import is_baseline, label, listed, measure_words, number

MEASURE = "pearson"


@dataclass(frozen=True)
class Drawn:
    """A figure with its name and caption."""

    picture: Picture
    figure: Figure


def save_figures(folder: Path, records: Records) -> list[Picture]:
    """Draw and save every figure as PNG and SVG; the pictures in the order of the report.

    Raises:
        InputError: ``folder`` cannot be made or written.
    """
    pictures = []
    with style.styled():
        for draw in drawers(records).values():
            drawn = draw()
            if drawn is not None:
                style.save(drawn.figure, folder, drawn.picture.name)
                pictures.append(drawn.picture)
    return pictures


def drawers(records: Records) -> dict[str, Callable[[], Drawn | None]]:
    """Name -> what draws that figure, in ``style.styled()``; None if the run has nothing for it."""
    return {
        "agreement": partial(_bars, records),
        **{f"scatter-{one.name}": partial(_scatter, one, records) for one in records.measured},
        "regimes": partial(_regimes, records),
        "curves": partial(_curves, records),
    }


def _bars(records: Records) -> Drawn | None:
    grid = [
        [_panel(records, truth, part) for truth in records.truths] for part in records.main_parts
    ]
    if not any(panel.ranking for row in grid for panel in row):
        return None
    panels = [panel for row in grid for panel in row]
    dashed = any(panel.ceiling < 1 for panel in panels)
    caption = (
        f"{measure_words(MEASURE)} of each estimate with "
        f"{listed([truth.name for truth in records.truths])}: mean over pairs, with its 95 % "
        "bootstrap interval. Baselines are grey."
        + (" The dashed line is what a perfect estimate would reach." if dashed else "")
    )
    return Drawn(Picture("agreement", caption), agreement_figure(grid))


def _panel(records: Records, truth: Truth, part: str) -> Panel:
    ceiling = records.ceiling(truth.name, part)
    return Panel(
        truth.name,
        part,
        headline(records.findings.agreements, truth, MEASURE, part),
        math.nan if ceiling is None else ceiling.sampling.value,
    )


def _scatter(truth: FeatureScores, records: Records) -> Drawn | None:
    asked = Truth(truth.name, truth.base)
    made_for = {one.label: one for one in records.scores if one.kind == "estimate"}
    ranking = {
        label(one.estimate, one.base): one.mean.value
        for one in headline(records.findings.agreements, asked, MEASURE)
        if not is_baseline(one.estimate)
    }
    if not ranking:
        return None
    titles = {name: f"{measure_words(MEASURE)} {number(mean)}" for name, mean in ranking.items()}
    drawn = [made_for[name] for name in ranking]
    compared = (
        "Nodes of all kinds of site are drawn, and correlated, together."
        if records.nodes
        else "The correlation is that of the features alone."
    )
    caption = (
        f"Each point is one unit of one pair: its {truth.name} effect against its estimate, both "
        "in the metric's unit. Both rows show the same units on linear axes; the box above is the "
        "panel below. On the dashed line the estimate equals the truth. "
        f"{compared} Baselines are left out."
    )
    figure = scatter_figure(truth, drawn, titles, records.words.one)
    return Drawn(Picture(f"scatter-{truth.name}", caption), figure)


def _regimes(records: Records) -> Drawn | None:
    points = map_points(records)
    if not points:
        return None
    caption = (
        f"Pearson with {points[0].truth} along each axis, mean over pairs, with its 95 % bootstrap "
        "interval. The points of a level stand beside one another to keep their intervals apart."
    )
    return Drawn(Picture("regimes", caption), regime_figure(points))


def _curves(records: Records) -> Drawn | None:
    grid = curve_grid(records)
    if not grid:
        return None
    caption = (
        "F(k) of rankings by size over the share of units patched together, mean over pairs, with "
        "its 95 % bootstrap interval as a band. Estimates with slopes from one run are those from "
        "the corrupted run at the left and from the clean run at the right. Dark dashed lines are "
        "rankings by a truth."
    )
    return Drawn(Picture("curves", caption), curve_figure(grid))
