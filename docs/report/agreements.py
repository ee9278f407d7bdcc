"""How well the scores agree with the truths: the report's tables and the sentences above them."""

from collections.abc import Iterator, Sequence

from study import Run, Study

from relp_sae.records import EVERYWHERE, Agreement, Contrast
from relp_sae.report.blocks import Table
from relp_sae.report.contents import Truth
from relp_sae.report.curves import NATURAL, area_table, natural, shown_sites
from relp_sae.report.regimes import (
    MOST_LEVELS,
    levels_of,
    map_points,
    regime_sentence,
    regime_table,
    regimes_of,
)
from relp_sae.report.tables import agreement_table, headline
from relp_sae.report.verdict import ALPHA, best_sentence, ceiling_sentence
from relp_sae.report.wording import (
    Cell,
    interval,
    label,
    listed,
    number,
    p_value,
    percent,
    table,
)

SEED = ("gradient", "integrated-gradients", "relp", "secant")
"""The three methods that the question was about, and the secant."""

SEED_MEASURES = ("pearson", "spearman", "top-10-overlap", "slope")
SHORT_STEP = 0.1
"""Relative to the activation at its position."""


def of_seed(name: str) -> bool:
    """Whether an estimate is one of the four, integrated gradients in any number of steps.

    >>> of_seed("integrated-gradients:20"), of_seed("secant:2"), of_seed("relp")
    (True, False, True)
    """
    return name in SEED or name.startswith("integrated-gradients:")


def seed_rows(
    run: Run, truth: Truth, measure: str = "pearson", part: str = EVERYWHERE
) -> list[Agreement]:
    """The agreements of the four methods with a truth, best first."""
    found = headline(run.records.findings.agreements, truth, measure, part)
    return [one for one in found if of_seed(one.estimate)]


def seed_tables(run: Run) -> list[Table]:
    """For each truth the four methods: size and order, and whether each differs from gradient."""
    return [_seed_table(run, truth) for truth in run.records.truths]


def _seed_table(run: Run, truth: Truth) -> Table:
    measured = {
        (one.estimate, one.base, one.measure): one
        for one in run.records.findings.agreements
        if one.truth == truth.name and one.part == EVERYWHERE
    }
    rows: list[tuple[Cell, ...]] = []
    for row in seed_rows(run, truth):
        found = [measured[row.estimate, row.base, name] for name in SEED_MEASURES]
        pearson, *others = [one.mean for one in found]
        name, pooled = label(row.estimate, row.base), row.pooled.value
        rows.append((name, pearson, pooled, *others, *against_gradient(run, row, truth)))
    header = ("scores", "Pearson", "pooled", "Spearman", "top-10 overlap", "slope")
    caption = f"{run.sae}, {truth.name}: mean over pairs [95 % interval]"
    return table(caption, (*header, "minus gradient", "p (Holm)"), rows)


def against_gradient(run: Run, row: Agreement, truth: Truth) -> tuple[Cell, Cell]:
    """The contrast with the gradient at the same run, or at the corrupted one; - for itself."""
    base = next(one for one in (truth.base, row.base, "corrupted") if one != "both")
    for one in run.records.findings.contrasts:
        asked = (one.first, one.second, one.truth, one.base, one.part)
        if asked == (row.estimate, "gradient", truth.name, base, EVERYWHERE):
            return one.difference, p_value(one.p if one.primary else one.p_holm)
    return "-", "-"


def primary(run: Run) -> Contrast:
    """The contrast that was declared before the run."""
    return next(one for one in run.records.findings.contrasts if one.primary)


def decided(run: Run) -> str:
    """The primary contrast in one sentence."""
    one = primary(run)
    if one.p < ALPHA:
        better = one.first if one.difference.value > 0 else one.second
        verdict = f"`{better}` agrees better"
    else:
        verdict = "this does not decide between them"
    return (
        f"`{one.first}` minus `{one.second}`, the contrast declared before the run: "
        f"{interval(one.difference)}, p {p_value(one.p)}; {verdict}."
    )


def values(rows: Sequence[Agreement]) -> str:
    """Each estimate with its value: ``gradient@corrupted`` 0.96, ..."""
    return listed([f"`{label(one.estimate, one.base)}` {number(one.mean.value)}" for one in rows])


def best(run: Run, truth: str, part: str = EVERYWHERE) -> str:
    """Who of all methods agrees best with a truth, and what a perfect estimate would reach."""
    records = run.records
    asked = records.truth(truth)
    found = best_sentence(records.findings.agreements, asked, "pearson", part)
    return found + ceiling_sentence(records.ceiling(truth, part), "pearson")


def same_order(study: Study) -> Iterator[str]:
    """For each truth, whether all SAEs put the four methods in one order."""
    for truth in study.features[0].records.truths:
        orders = {
            run.sae: [f"`{label(one.estimate, one.base)}`" for one in seed_rows(run, truth)]
            for run in study.features
        }
        first = next(iter(orders.values()))
        if all(order == first for order in orders.values()):
            yield f"With **{truth.name}** every SAE has the same order: {', '.join(first)}."
        else:
            told = [f"{', '.join(order)} (`{sae}`)" for sae, order in orders.items()]
            yield f"With **{truth.name}** the order depends on the SAE: {'; '.join(told)}."


def node_tables(run: Run) -> list[Table]:
    """For each kind of node and truth: agreement and size, and without the largest nodes."""
    records = run.records
    made = {one.measure for one in records.findings.agreements}
    wanted = ["pearson", "slope", "spearman", "pearson-without-top-1", "pearson-without-top-5"]
    measures = [name for name in wanted if name in made]
    return [
        agreement_table(
            f"Whole nodes, {truth.name}: mean over pairs [95 % interval]",
            records,
            truth,
            measures,
            records.main_parts,
        )
        for truth in records.truths
    ]


def best_by_question(study: Study) -> list[str]:
    """Which of the four methods agrees best, question by question."""
    told = []
    for run in study.features:
        found = [
            f"`{label(rows[0].estimate, rows[0].base)}` with {truth.name}"
            for truth in run.records.truths
            if (rows := seed_rows(run, truth))
        ]
        told.append(f"single features of `{run.sae}`: {listed(found)}")
    nodes = study.nodes.records
    found = [
        f"`{label(rows[0].estimate, rows[0].base)}` at `{part}`"
        for part in nodes.main_parts
        if (rows := seed_rows(study.nodes, nodes.truth("denoise"), part=part))
    ]
    return [*told, f"whole nodes with denoise: {listed(found)}"]


def error_shares(study: Study) -> str:
    """Which share of the summed absolute effects error units carry, from the least to the most."""
    shares = [
        share
        for run in study.features
        for one in run.records.manifest.sae_quality.values()
        for share in one.error_share.values()
    ]
    return f"{percent(min(shares))} to {percent(max(shares))}"


def node_lines(run: Run, truth: str) -> list[str]:
    """The four methods at each kind of node."""
    asked = run.records.truth(truth)
    return [
        f"`{part}`: {values(seed_rows(run, asked, part=part))}" for part in run.records.main_parts
    ]


def node_caution(run: Run, truth: str, measure: str = "pearson-without-top-5") -> list[str]:
    """The same without each pair's five largest nodes."""
    asked = run.records.truth(truth)
    return [
        f"`{part}`: {values(seed_rows(run, asked, measure, part))}"
        for part in run.records.main_parts
    ]


def short_steps(run: Run) -> str:
    """Which share of the units has a short step."""
    points = [one for one in map_points(run.records) if one.regime == "relative step"]
    own = [one for one in points if one.estimate == points[0].estimate]
    below = sum(one.units for one in own if one.at < SHORT_STEP)
    return f"{number(100 * below / sum(one.units for one in own), 1)} %"


def regime_words(run: Run) -> list[str]:
    """Which method agrees best from where to where, along each axis."""
    points = map_points(run.records)
    return [regime_sentence(points, regime) for regime in regimes_of(points)]


def regime_tables(run: Run) -> list[Table]:
    """The axes of few levels."""
    points = map_points(run.records)
    short = [one for one in regimes_of(points) if len(levels_of(points, one)) <= MOST_LEVELS]
    return [regime_table(points, one) for one in short]


def curve_tables(run: Run) -> list[Table]:
    """The areas of the estimates at the base that fits, and of the truths."""
    found = run.records.findings.curves
    return [
        area_table(natural(found, direction, run.records), direction, shown_sites(found))
        for direction in NATURAL
    ]
