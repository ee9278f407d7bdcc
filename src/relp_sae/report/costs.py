"""What the estimates and truths cost, and whether the estimates add up."""

from collections.abc import Mapping, Sequence

import numpy as np

from relp_sae.faithfulness.declared import REFERENCE
from relp_sae.records.manifest import Completeness, Stage
from relp_sae.report.blocks import Section, Table
from relp_sae.report.contents import MOST_PARTS, Records
from relp_sae.report.wording import Cell, number, relative, table


def costs_section(records: Records) -> Section:
    """Time and passes, then completeness."""
    manifest = records.manifest
    truths = {one.name: len(one.units) for one in records.measured}
    text = (
        "An estimate runs a few prompts forward and backward for a pair, whatever the number of "
        "units; a truth runs the model once or more for every unit. The times are wall-clock on "
        "the machine of this run, and those of a stage that was killed and gone on with hold its "
        "last try alone."
    )
    blocks: list[str | Table] = [text, cost_table(records), truth_cost_table(truths, records)]
    if manifest.completeness:
        blocks += [
            "Do the scores of a site, error units included, add up to m(clean) - m(corrupted)? The "
            "gap is |sum of scores - whole effect| over the size of the whole effect, pair by "
            "pair; asked at the sites through which everything passes.",
            completeness_table(manifest.completeness),
        ]
    return Section("What it costs, and whether it adds up", tuple(blocks))


def cost_table(records: Records) -> Table:
    """Per estimate: prompts run for a pair, seconds for all pairs, and these over gradient's."""
    stages = records.manifest.stages
    labels = [one.label for one in records.scores if one.kind == "estimate"]
    timed = {name: stages[name] for name in labels if name in stages}
    yardstick = reference(timed)
    rows = [
        (
            name,
            _count(stage.forwards),
            _count(stage.backwards),
            number(stage.seconds, 2),
            _over(stage.seconds, timed[yardstick].seconds) if yardstick else "-",
        )
        for name, stage in timed.items()
    ]
    header = (
        "estimate",
        "forward a pair",
        "backward a pair",
        "seconds",
        f"over {yardstick}" if yardstick else "relative",
    )
    return table("Estimates: prompts run for each pair, and time for all pairs", header, rows)


def reference(stages: Mapping[str, Stage]) -> str:
    """The estimate that the times are compared with; empty where there is no gradient.

    >>> reference({"relp@clean": Stage(status="done"), "gradient@clean": Stage(status="done")})
    'gradient@clean'
    """
    first = f"{REFERENCE}@corrupted"
    known = [name for name in stages if name.partition("@")[0] == REFERENCE]
    return first if first in stages else next(iter(known), "")


def truth_cost_table(units: Mapping[str, int], records: Records) -> Table:
    """Per truth: its units over all pairs, seconds, and units in a second."""
    stages = records.manifest.stages
    rows = [
        (name, count, number(stages[name].seconds, 1), _over(float(count), stages[name].seconds, 1))
        for name, count in units.items()
        if name in stages
    ]
    header = ("truth", "units", "seconds", "units per second")
    return table("Truths: units measured, and time", header, rows)


def completeness_table(found: Mapping[str, Mapping[str, Completeness]]) -> Table:
    """The gap of each estimate at each site, or over all sites where they are many."""
    rows: list[tuple[Cell, ...]] = []
    for estimate, sites in found.items():
        if len(sites) > MOST_PARTS:
            rows.append((estimate, f"{len(sites)} sites", *_over_sites([*sites.values()])))
            continue
        for site, one in sites.items():
            rows.append((estimate, site, relative(one.median), relative(one.largest)))
    header = ("estimate", "at", "median gap", "largest gap")
    return table("Completeness: relative gap between sum and effect", header, rows, labels=2)


def _over_sites(gaps: Sequence[Completeness]) -> tuple[str, str]:
    """The middle of the sites' medians, and the largest of their largest."""
    median = float(np.median([one.median for one in gaps]))
    return relative(median), relative(max(one.largest for one in gaps))


def _count(passes: int | None) -> str:
    return "-" if passes is None else str(passes)


def _over(value: float, other: float, digits: int = 2) -> str:
    """The quotient; nothing where nothing is divided by."""
    return number(value / other, digits) if other else "-"
