"""The table that this project started from, with both sides in one unit."""

from collections.abc import Sequence

from relp_sae.faithfulness import SeedRow, TopFeature, seed_table
from relp_sae.records import FeatureScores, Interval
from relp_sae.report.blocks import Section, Table
from relp_sae.report.contents import Records, Truth
from relp_sae.report.wording import number, table

TOP = 5

STORY = (
    "The question of this report was first put by the project Ryukijano/RelP-SAE. For GPT-2 small "
    "at resid_pre 6 it reported a Pearson with the truth of -0.02 for RelP-SAE, 0.25 for the "
    "gradient and -0.05 for integrated gradients, and no common top features. Those figures "
    "compared different quantities: scores that left out how much the feature changes, a truth by "
    "zero-ablation of 50 features with zeros entered for the rest, one prompt, and a logit on one "
    "side against a logit difference on the other. This is the same table done right: every "
    "number is in the metric's unit, over all SAE features that differ in the pairs of this run. "
    "The Pearson here is pooled over pairs, as the seed's was; the headline is the mean over pairs."
)


def seed_section(records: Records) -> Section:
    """Scale, pooled correlation and strongest features of each estimate, for each truth."""
    blocks = [
        made
        for truth in records.measured
        for made in seed_tables(truth.name, seed_table(_made_for(truth, records), truth.name, TOP))
    ]
    return Section("The seed's table", (STORY, *blocks))


def seed_tables(truth: str, found: Sequence[SeedRow]) -> list[Table]:
    """The table itself, and how many of the strongest features each two rows share."""
    several = len({top.site for row in found for top in row.top}) > 1
    rows = [
        (
            row.label,
            ", ".join(_feature(top, several) for top in row.top),
            number(row.std, 4),
            number(row.largest, 4),
            _pearson(row),
        )
        for row in found
    ]
    labels = [row.label for row in found]
    shared = [(row.label, *(row.shared[other] for other in labels)) for row in found]
    return [
        table(
            f"Scale and strongest features, {truth}",
            ("scores", f"top {TOP} features", "standard deviation", "largest", "pooled Pearson"),
            rows,
            labels=2,
        ),
        table(f"Common features among the top {TOP}, {truth}", ("", *labels), shared),
    ]


def _made_for(truth: FeatureScores, records: Records) -> list[FeatureScores]:
    asked = Truth(truth.name, truth.base)
    estimates = [one for one in records.scores if one.kind == "estimate"]
    return [truth, *(one for one in estimates if asked.answered_from(one.base))]


def _pearson(row: SeedRow) -> Interval | str:
    """A number, or an undefined one that takes its note along."""
    if row.note:
        return Interval(row.pearson, row.pearson, row.pearson, row.note)
    return number(row.pearson)


def _feature(top: TopFeature, several: bool) -> str:
    where = f"{top.site} " if several else ""
    return f"{where}#{top.feature} ({top.score:+.3f})"
