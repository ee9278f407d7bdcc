"""Who agrees with which truth, as tables."""

import math
from collections.abc import Iterable, Sequence

from relp_sae.records import EVERYWHERE, Agreement, Interval
from relp_sae.report.blocks import Table
from relp_sae.report.contents import MOST_PARTS, Records, Truth
from relp_sae.report.wording import (
    THEMES,
    Cell,
    has_size,
    is_baseline,
    label,
    measure_words,
    table,
)

ABSENT = "-"


def ranked(
    agreements: Iterable[Agreement], truth: str, measure: str, part: str = EVERYWHERE
) -> list[Agreement]:
    """Best mean first, undefined ones after them, baselines last."""
    asked = (truth, measure, part)
    wanted = [one for one in agreements if (one.truth, one.measure, one.part) == asked]
    return sorted(wanted, key=_rank)


def headline(
    agreements: Iterable[Agreement], truth: Truth, measure: str, part: str = EVERYWHERE
) -> list[Agreement]:
    """As ``ranked``, only estimates that were made for the truth."""
    found = ranked(agreements, truth.name, measure, part)
    return [one for one in found if truth.answered_from(one.base)]


def headline_table(records: Records, truth: Truth, parts: Sequence[str] = ()) -> Table:
    """The main measures of the estimates made for ``truth``: mean over pairs [low, high].

    One block of rows for each of ``parts`` (else the main ones), and below it what a perfect
    estimate would reach where the truth carries noise.
    """
    made = _measures(records.findings.agreements, truth.name)
    wanted = [name for name in records.words.measures if name in made]
    caption = f"Agreement with {truth.name}: mean over pairs [95 % interval]"
    return agreement_table(caption, records, truth, wanted, parts or records.main_parts)


def site_tables(records: Records, truth: Truth) -> list[Table]:
    """Where the sites are too many for the headline: one small table for each."""
    own = [part for part in records.parts if part != EVERYWHERE]
    if len(own) <= MOST_PARTS or records.nodes:
        return []
    made = _measures(records.findings.agreements, truth.name)
    wanted = [name for name in ("pearson", "slope") if name in made]
    caption = f"Agreement with {truth.name}, site by site"
    return [agreement_table(caption, records, truth, wanted, own)]


def full_tables(records: Records, truth: Truth) -> list[Table]:
    """All measures, a few to a table, of the estimates of every base, in the whole run as well."""
    made = _measures(records.findings.agreements, truth.name)
    grouped = {name for names in THEMES.values() for name in names}
    themes = THEMES | {"other measures": tuple(name for name in made if name not in grouped)}
    every = Truth(truth.name, "both")
    parts = list(dict.fromkeys([*records.main_parts, EVERYWHERE]))
    return [
        agreement_table(
            f"Agreement with {truth.name}, estimates of every base: {theme}",
            records,
            every,
            wanted,
            parts,
        )
        for theme, names in themes.items()
        if (wanted := [name for name in names if name in made])
    ]


def agreement_table(
    caption: str, records: Records, truth: Truth, measures: Sequence[str], parts: Sequence[str]
) -> Table:
    """One block of rows for each part, ranked by the first measure; baselines are last."""
    agreements = records.findings.agreements
    means = {
        (one.part, one.estimate, one.base, one.measure): one.mean
        for one in agreements
        if one.truth == truth.name
    }

    def cell(row: Agreement, measure: str) -> Cell:
        mean = means[row.part, row.estimate, row.base, measure]
        return mean if has_size(row.estimate, measure) else ABSENT

    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        block = [
            (label(row.estimate, row.base), *(cell(row, name) for name in measures))
            for row in headline(agreements, truth, measures[0], part)
        ]
        block += ceiling_rows(records, truth, part, measures)
        rows += [(part if i == 0 else "", *row) for i, row in enumerate(block)]
    header = ("at", "estimate", *map(measure_words, measures))
    if list(parts) == [EVERYWHERE]:
        return table(caption, header[1:], [row[1:] for row in rows])
    return table(caption, header, rows, labels=2)


def ceiling_rows(
    records: Records, truth: Truth, part: str, measures: Sequence[str]
) -> list[tuple[Cell, ...]]:
    """What a perfect estimate would reach, where the truth is not exact: only of Pearson."""
    found = records.ceiling(truth.name, part)
    if found is None or found.sampling.value == 1 or "pearson" not in measures:
        return []
    shown = (found.sampling if name == "pearson" else ABSENT for name in measures)
    return [("sampling ceiling", *shown)]


def ceiling_table(records: Records) -> Table:
    """Both ceilings of every truth, in the main parts."""
    rows = [
        (one.truth, one.part, _sampling(one.sampling), one.split_half)
        for one in records.findings.ceilings
        if one.part in (EVERYWHERE, *records.main_parts)
    ]
    header = ("truth", "at", "sampling ceiling", "split-half ceiling")
    return table("Ceilings [95 % interval]", header, rows, labels=2)


def _sampling(found: Interval) -> Cell:
    return "1 (exact)" if found.value == 1 else found


def _measures(agreements: Iterable[Agreement], truth: str) -> list[str]:
    """The measures made for ``truth``."""
    return list(dict.fromkeys(one.measure for one in agreements if one.truth == truth))


def _rank(one: Agreement) -> tuple[bool, bool, float]:
    value = one.mean.value
    undefined = math.isnan(value)
    return is_baseline(one.estimate), undefined, 0.0 if undefined else -value
