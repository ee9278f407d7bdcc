"""All figures of a run, drawn from its records."""

import math
from pathlib import Path

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


def save_figures(folder: Path, records: Records) -> list[Picture]:
    """Draw and save every figure as PNG and SVG; the pictures in the order of the report.

    Raises:
        InputError: ``folder`` cannot be made or written.
    """
    with style.styled():
        found = [
            _save_bars(folder, records),
            *(_save_scatter(folder, truth, records) for truth in records.measured),
            _save_regimes(folder, records),
            _save_curves(folder, records),
        ]
    return [picture for picture in found if picture is not None]


def _save_bars(folder: Path, records: Records) -> Picture | None:
    grid = [
        [_panel(records, truth, part) for truth in records.truths] for part in records.main_parts
    ]
    if not any(panel.ranking for row in grid for panel in row):
        return None
    style.save(agreement_figure(grid), folder, "agreement")
    panels = [panel for row in grid for panel in row]
    dashed = any(panel.ceiling < 1 for panel in panels)
    return Picture(
        "agreement",
        f"{measure_words(MEASURE)} of each estimate with "
        f"{listed([truth.name for truth in records.truths])}: mean over pairs, with its 95 % "
        "bootstrap interval. Baselines are grey."
        + (" The dashed line is what a perfect estimate would reach." if dashed else ""),
    )


def _panel(records: Records, truth: Truth, part: str) -> Panel:
    ceiling = records.ceiling(truth.name, part)
    return Panel(
        truth.name,
        part,
        headline(records.findings.agreements, truth, MEASURE, part),
        math.nan if ceiling is None else ceiling.sampling.value,
    )


def _save_scatter(folder: Path, truth: FeatureScores, records: Records) -> Picture | None:
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
    figure = scatter_figure(truth, drawn, titles, records.words.one)
    style.save(figure, folder, f"scatter-{truth.name}")
    compared = (
        "Nodes of all kinds of site are drawn, and correlated, together."
        if records.nodes
        else "The correlation is that of the features alone."
    )
    return Picture(
        f"scatter-{truth.name}",
        f"Each point is one unit of one pair: its {truth.name} effect against its estimate, both "
        "in the metric's unit. Both rows show the same units on linear axes; the box above is the "
        "panel below. On the dashed line the estimate equals the truth. "
        f"{compared} Baselines are left out.",
    )


def _save_regimes(folder: Path, records: Records) -> Picture | None:
    points = map_points(records)
    if not points:
        return None
    style.save(regime_figure(points), folder, "regimes")
    return Picture(
        "regimes",
        f"Pearson with {points[0].truth} along each axis, mean over pairs, with its 95 % bootstrap "
        "interval. The points of a level stand beside one another to keep their intervals apart.",
    )


def _save_curves(folder: Path, records: Records) -> Picture | None:
    grid = curve_grid(records)
    if not grid:
        return None
    style.save(curve_figure(grid), folder, "curves")
    return Picture(
        "curves",
        "F(k) of rankings by size over the share of units patched together, mean over pairs, with "
        "its 95 % bootstrap interval as a band. Estimates with slopes from one run are those from "
        "the corrupted run at the left and from the clean run at the right. Dark dashed lines are "
        "rankings by a truth.",
    )
