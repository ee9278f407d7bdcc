"""Circuit curves in words and tables: how much the top units of a ranking carry."""

import math
from collections.abc import Iterable, Sequence

from relp_sae.records import CurveArea
from relp_sae.report.blocks import Picture, Section, Table
from relp_sae.report.contents import MOST_PARTS, Records, some_of
from relp_sae.report.wording import interval, is_baseline, listed, table

NATURAL = {"sufficiency": "corrupted", "necessity": "clean"}
"""The run in which the top units are changed, and whose slopes speak of it."""

BY_SIZE = "size"


def curves_section(records: Records, pictures: Sequence[Picture]) -> list[Section]:
    """The figure and the areas; nothing where no curves were measured."""
    found = records.findings.curves
    if not found:
        return []
    text = (
        "Scores rank units, and a ranking can be asked for a circuit: patch the top k units of it "
        "together. F(k) is the share of the site's effect that they carry (**sufficiency**: "
        "clean values in the corrupted run) or destroy (**necessity**: corrupted values in the "
        "clean run). The area is that under F over log k, scaled to a width of 1; CPR is the area "
        "under F and CMD the area of |1 - F|, both over the share of units (MIB, arXiv "
        "2504.13151), so that a small CMD is good. F passes 1 where units that speak against the "
        "answer are still to come. The truths are ranked as well and show how far a "
        "ranking by measured effects of single units goes."
    )
    sites = shown_sites(found)
    rest = len({one.site for one in found}) - len(sites)
    left_out = [f"{rest} more sites are in agreement.json and curves.parquet."] if rest else []
    headlines = [
        area_table(natural(found, direction, records), direction, sites) for direction in NATURAL
    ]
    every = [
        area_table([one for one in found if one.direction == direction], direction, sites, True)
        for direction in NATURAL
    ]
    return [
        Section("Circuit curves", (text, *pictures, *headlines, *left_out)),
        Section("Circuit curves: every ranking, by size and by sign", tuple(every), folded=True),
    ]


def area_table(
    areas: Iterable[CurveArea], direction: str, sites: Sequence[str], with_order: bool = False
) -> Table:
    """Area, CPR and CMD of each ranking with their intervals, largest area first."""
    rows = [
        (one.site, one.ranking, one.order, one.area, one.cpr, one.cmd)
        for site in sites
        for one in sorted((a for a in areas if a.site == site), key=_rank)
        if one.direction == direction
    ]
    if not with_order:
        rows = [(site, ranking, *rest) for site, ranking, _, *rest in rows]
    labels = ("site", "ranking by") + (("order",) if with_order else ())
    caption = f"Circuit curves, {direction}: area over log k, CPR and CMD [95 % interval]"
    return table(caption, (*labels, "area", "CPR", "CMD"), rows, labels=len(labels))


def natural(areas: Iterable[CurveArea], direction: str, records: Records) -> list[CurveArea]:
    """Rankings by size of the estimates at the base that fits the direction, and of the truths."""
    chosen = natural_rankings([*areas], direction, records)
    return [
        one
        for one in areas
        if (one.direction, one.order) == (direction, BY_SIZE) and one.ranking in chosen
    ]


def natural_rankings(
    areas: Sequence[CurveArea], direction: str, records: Records
) -> dict[str, bool]:
    """Label -> whether it is a truth: of each estimate one base, that of the direction if it is
    there."""
    ranked = {one.ranking for one in areas if one.direction == direction}
    truths = {one.name: True for one in records.measured if one.name in ranked}
    estimates = {}
    for one in records.scores:
        fits = one.base in (NATURAL[direction], "both")
        if one.kind == "estimate" and one.label in ranked and (fits or one.name not in estimates):
            estimates[one.name] = one.label
    return dict.fromkeys(estimates.values(), False) | truths


def shown_sites(areas: Iterable[CurveArea]) -> list[str]:
    """Up to four sites, spread evenly over those there are."""
    return some_of(list(dict.fromkeys(one.site for one in areas)), MOST_PARTS)


def curve_sentences(records: Records) -> list[str]:
    """For each direction: whose ranking carries most, and what the truths' rankings reach."""
    sentences = []
    for direction in NATURAL:
        chosen = natural_rankings(records.findings.curves, direction, records)
        areas = natural(records.findings.curves, direction, records)
        for site in shown_sites(areas):
            here = sorted((one for one in areas if one.site == site), key=_rank)
            told = _site_sentence(here, chosen)
            if told:
                verb = "carry" if direction == "sufficiency" else "destroy"
                sentences.append(
                    f"As a circuit at `{site}` ({direction}), the units that {verb} most {told}"
                )
    return sentences


def _site_sentence(ranking: Sequence[CurveArea], truths: dict[str, bool]) -> str:
    methods = [one for one in ranking if not truths[one.ranking] and not is_baseline(one.ranking)]
    defined = [one for one in methods if not math.isnan(one.area.value)]
    if not defined:
        return ""
    best, *others = defined
    text = f"are those ranked by `{best.ranking}`: area {interval(best.area)}"
    close = [f"`{one.ranking}`" for one in others if one.area.high >= best.area.low]
    if close:
        text += f" (not clear of {listed(close)})"
    yardsticks = [
        f"{interval(one.area)} by {one.ranking}"
        for one in ranking
        if truths[one.ranking] and not math.isnan(one.area.value)
    ]
    if yardsticks:
        text += f"; ranking by a truth gives {listed(yardsticks)}"
    return text + "."


def _rank(one: CurveArea) -> tuple[bool, float]:
    undefined = math.isnan(one.area.value)
    return undefined, 0.0 if undefined else -one.area.value
