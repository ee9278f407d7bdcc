"""Which estimate agrees better than which: the declared contrasts as tables."""

import math
from collections.abc import Iterable, Sequence

from relp_sae.records import Contrast, DependentTest, Interval
from relp_sae.report.blocks import Section, Table
from relp_sae.report.wording import (
    Cell,
    UnitWords,
    measure_words,
    number,
    p_value,
    place,
    runs,
    table,
)


def contrasts_section(found: Sequence[Contrast], words: UnitWords) -> Section:
    """Who is better than whom."""
    return Section(
        "Which estimate agrees better?",
        (
            "Each line compares two estimates on the same pairs. The first interval is a bootstrap "
            f"over prompt pairs and speaks of **these {words.many}, new prompts**; the second "
            f"draws {words.many} anew as well and speaks of **new prompts and new {words.many}**. "
            "p is from a sign-flip permutation test of Fisher's z over the pairs, with Wilcoxon's "
            "signed-rank test beside it; Holm's correction of p is for all lines of the table. The "
            "primary contrast was declared before the run and stands on its own p; every other "
            "line is read by its corrected p.",
            wide_contrast_table(found, words),
        ),
    )


def contrast_table(contrasts: Iterable[Contrast]) -> Table:
    """Paired differences between two estimates, the declared primary one first."""
    rows = [
        (*_names(one), one.difference, p_value(one.p), p_value(one.p_holm))
        for one in _ordered(contrasts)
    ]
    header = ("contrast", "agreement", "slopes from", "difference", "p", "p (Holm)")
    return table("Differences of mean agreement [95 % interval]", header, rows, labels=3)


def wide_contrast_table(contrasts: Iterable[Contrast], words: UnitWords) -> Table:
    """As ``contrast_table``, with both intervals and both tests."""
    rows = [
        (
            *_names(one),
            one.pairs,
            one.difference,
            one.generalising,
            p_value(one.p),
            p_value(one.p_holm),
            p_value(one.p_wilcoxon),
        )
        for one in _ordered(contrasts)
    ]
    header = (
        "contrast",
        "agreement",
        "slopes from",
        "pairs",
        "difference [new prompts]",
        f"[new prompts and {words.many}]",
        "p",
        "p (Holm)",
        "p (Wilcoxon)",
    )
    return table("Differences of mean agreement [95 % intervals]", header, rows, labels=3)


def descriptive_sections(contrasts: Iterable[Contrast]) -> list[Section]:
    """The textbook tests of the primary contrast, for readers who know them."""
    return [
        Section(
            "Textbook tests of the primary contrast (descriptive only)",
            (
                f"`{one.first}` against `{one.second}` with {one.truth}{place(one.part)}, slopes "
                f"from {runs(one.base)}: tests of two dependent correlations over the units of all "
                "pairs. They take every unit for an independent draw. The units of one pair share "
                "one backward pass and features recur over pairs, so they are not, and these tests "
                "reject true nulls far too often (docs/results/nulls). Nothing in this report "
                "rests on them.",
                dependent_table(one.descriptive),
            ),
            folded=True,
        )
        for one in contrasts
        if one.primary and one.descriptive
    ]


def dependent_table(tests: Iterable[DependentTest]) -> Table:
    """One row per test."""
    rows = [(_test_words(one.test), *_values(one)) for one in tests]
    header = ("test", "statistic", "p", "95 % interval of the difference")
    return table("Dependent correlations that share the truth", header, rows)


def _values(one: DependentTest) -> tuple[Cell, ...]:
    """Statistic, p and interval; an interval without a p has its difference as the value."""
    if math.isnan(one.value):
        return Interval(math.nan, math.nan, math.nan, one.note), "-", "-"
    ends = "-" if math.isnan(one.low) else f"[{number(one.low)}, {number(one.high)}]"
    p = "-" if math.isnan(one.p) else p_value(one.p)
    return ("-" if p == "-" else number(one.value)), p, ends


def _ordered(contrasts: Iterable[Contrast]) -> list[Contrast]:
    return sorted(contrasts, key=lambda one: not one.primary)


def _names(one: Contrast) -> tuple[str, str, str]:
    """The contrast, the agreement it is about, and where the slopes come from."""
    return (
        f"{one.first} - {one.second}" + (" (primary)" if one.primary else ""),
        f"{measure_words(one.measure)} with {one.truth}{place(one.part)}",
        one.base,
    )


def _test_words(name: str) -> str:
    """
    >>> _test_words("meng-rosenthal-rubin")
    'Meng, Rosenthal, Rubin'
    """
    return ", ".join(word.capitalize() for word in name.split("-"))
