"""Results as tables: who agrees with which truth, and who agrees better."""

import math
from collections.abc import Iterable, Sequence

from relp_sae.records import Agreement, Contrast
from relp_sae.report.blocks import Table
from relp_sae.report.wording import (
    MEASURES,
    answers,
    is_baseline,
    label,
    measure_words,
    p_value,
    table,
)


def truths_of(agreements: Iterable[Agreement]) -> list[str]:
    """The truths compared with, in the order of the records."""
    return list(dict.fromkeys(one.truth for one in agreements))


def ranked(agreements: Iterable[Agreement], truth: str, measure: str) -> list[Agreement]:
    """Best mean first, undefined ones after them, baselines last."""
    wanted = [one for one in agreements if (one.truth, one.measure) == (truth, measure)]
    return sorted(wanted, key=_rank)


def headline(agreements: Iterable[Agreement], truth: str, measure: str) -> list[Agreement]:
    """As ``ranked``, only estimates whose base is the truth's own."""
    return [one for one in ranked(agreements, truth, measure) if answers(one.base, truth)]


def headline_table(agreements: Sequence[Agreement], truth: str) -> Table:
    """One row per estimate made for ``truth``: mean over pairs [low, high] of the main measures."""
    measures = [name for name in _measures(agreements, truth) if name in MEASURES]
    rows = headline(agreements, truth, measures[0])
    caption = f"Agreement with {truth}: mean over pairs [95 % interval]"
    return _agreement_table(caption, rows, agreements, measures)


def full_table(agreements: Sequence[Agreement], truth: str) -> Table:
    """As ``headline_table``, with the estimates of every base and all measures."""
    measures = _measures(agreements, truth)
    rows = ranked(agreements, truth, measures[0])
    return _agreement_table(
        f"Agreement with {truth}: estimates of every base", rows, agreements, measures
    )


def _measures(agreements: Iterable[Agreement], truth: str) -> list[str]:
    """The measures made for ``truth``, the headline ones first."""
    made = dict.fromkeys(one.measure for one in agreements if one.truth == truth)
    return [name for name in MEASURES if name in made] + [
        name for name in made if name not in MEASURES
    ]


def _agreement_table(
    caption: str,
    rows: Iterable[Agreement],
    agreements: Iterable[Agreement],
    measures: Sequence[str],
) -> Table:
    means = {(one.estimate, one.base, one.truth, one.measure): one.mean for one in agreements}
    cells = [
        (
            label(row.estimate, row.base),
            *(means[row.estimate, row.base, row.truth, name] for name in measures),
        )
        for row in rows
    ]
    return table(caption, ("estimate", *map(measure_words, measures)), cells)


def contrast_table(contrasts: Iterable[Contrast]) -> Table:
    """Paired differences between two estimates, the declared primary one first."""
    rows = [
        (
            f"{one.first} - {one.second}" + (" (primary)" if one.primary else ""),
            f"{measure_words(one.measure)} with {one.truth}",
            one.base,
            one.difference,
            p_value(one.p),
            p_value(one.p_holm),
        )
        for one in sorted(contrasts, key=lambda one: not one.primary)
    ]
    header = ("contrast", "agreement", "slopes from", "difference", "p", "p (Holm)")
    return table("Differences of mean agreement [95 % interval]", header, rows, labels=3)


def _rank(one: Agreement) -> tuple[bool, bool, float]:
    value = one.mean.value
    undefined = math.isnan(value)
    return is_baseline(one.estimate), undefined, 0.0 if undefined else -value
