"""All figures of a run, drawn from its records."""

from collections.abc import Sequence
from pathlib import Path

from relp_sae.records import Agreement, FeatureScores
from relp_sae.report import style
from relp_sae.report.bars import agreement_figure
from relp_sae.report.blocks import Picture
from relp_sae.report.scatter import scatter_figure
from relp_sae.report.tables import headline, truths_of
from relp_sae.report.wording import answers, is_baseline, label, measure_words, number

MEASURE = "pearson"


def save_figures(
    folder: Path, scores: Sequence[FeatureScores], agreements: Sequence[Agreement]
) -> list[Picture]:
    """Draw and save every figure as PNG and SVG; the pictures in the order of the report.

    Raises:
        InputError: ``folder`` cannot be made or written.
    """
    with style.styled():
        bars = _save_bars(folder, agreements)
        scatters = [
            _save_scatter(folder, truth, scores, agreements)
            for truth in scores
            if truth.kind == "truth"
        ]
    return [picture for picture in [bars, *scatters] if picture is not None]


def _save_bars(folder: Path, agreements: Sequence[Agreement]) -> Picture | None:
    ranks = {truth: headline(agreements, truth, MEASURE) for truth in truths_of(agreements)}
    ranks = {truth: ranking for truth, ranking in ranks.items() if ranking}
    if not ranks:
        return None
    style.save(agreement_figure(ranks), folder, "agreement")
    return Picture(
        "agreement",
        f"{measure_words(MEASURE)} of each estimate with {' and with '.join(ranks)}: mean over "
        "pairs, with its 95 % bootstrap interval. Baselines are grey.",
    )


def _save_scatter(
    folder: Path,
    truth: FeatureScores,
    scores: Sequence[FeatureScores],
    agreements: Sequence[Agreement],
) -> Picture | None:
    made_for = {
        one.label: one
        for one in scores
        if one.kind == "estimate" and answers(one.base, truth.name) and not is_baseline(one.name)
    }
    ranking = {
        label(one.estimate, one.base): one.mean.value
        for one in headline(agreements, truth.name, MEASURE)
        if not is_baseline(one.estimate)
    }
    if not ranking:
        return None
    titles = {name: f"{measure_words(MEASURE)} {number(mean)}" for name, mean in ranking.items()}
    drawn = [made_for[name] for name in ranking]
    style.save(scatter_figure(truth, drawn, titles), folder, f"scatter-{truth.name}")
    return Picture(
        f"scatter-{truth.name}",
        f"Each point is one unit of one pair: its {truth.name} effect against its estimate, both "
        "in the metric's unit. Both rows show the same units on linear axes; the box above is the "
        "panel below. On the dashed line the estimate equals the truth. The correlation is that "
        "of the features alone. Baselines are left out.",
    )
