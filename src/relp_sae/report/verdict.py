"""The answer in sentences, made from the numbers: what they show, and what they do not."""

import math
from collections.abc import Sequence

from relp_sae.records import Agreement, Contrast
from relp_sae.report.tables import headline, truths_of
from relp_sae.report.wording import (
    interval,
    is_baseline,
    label,
    listed,
    measure_words,
    number,
    p_value,
    runs,
)

ALPHA = 0.05


def answer(agreements: Sequence[Agreement], contrasts: Sequence[Contrast]) -> str:
    """One paragraph: the best estimate of each truth, the primary contrast, the other ones."""
    measure = next((one.measure for one in contrasts if one.primary), "pearson")
    best = [best_sentence(agreements, truth, measure) for truth in truths_of(agreements)]
    primary = [primary_sentence(one, agreements) for one in contrasts if one.primary]
    return " ".join([*best, *primary, *others_sentence(contrasts)])


def best_sentence(agreements: Sequence[Agreement], truth: str, measure: str) -> str:
    """Who agrees best with ``truth``, who comes next, and whether a baseline does better."""
    ranking = headline(agreements, truth, measure)
    defined = [one for one in ranking if not math.isnan(one.mean.value)]
    methods = [one for one in defined if not is_baseline(one.estimate)]
    if not methods:
        return f"Against **{truth}**, no estimate has a defined {measure_words(measure)}."
    first, rest = methods[0], methods[1:]
    text = (
        f"Against **{truth}**, {_named(first)} agrees best: {measure_words(measure)} "
        f"{interval(first.mean)} on average over the pairs"
    )
    if rest:
        text += ", then " + listed([f"{_named(one)} ({number(one.mean.value)})" for one in rest])
    above = [
        one for one in defined if is_baseline(one.estimate) and one.mean.value >= first.mean.value
    ]
    if above:
        text += f"; yet the baseline {_named(above[0])} reaches {number(above[0].mean.value)}"
    return text + "."


def primary_sentence(contrast: Contrast, agreements: Sequence[Agreement]) -> str:
    """Whether the one comparison declared before the run is decided, and which way."""
    difference = contrast.difference
    what = (
        f"The primary contrast, declared before the run, is `{contrast.first}` minus "
        f"`{contrast.second}` in {measure_words(contrast.measure)} with {contrast.truth} (slopes "
        f"from {runs(contrast.base)})"
    )
    if math.isnan(difference.value) or math.isnan(contrast.p):
        reason = f" ({difference.note})" if difference.note else ""
        return f"{what}: it is undefined{reason}, so that this run does not decide between them."
    found = f"{what}: {interval(difference)}, p {_equals(contrast.p)}."
    if contrast.p >= ALPHA:
        return f"{found} {_undecided(contrast, agreements)}"
    better = contrast.first if difference.value > 0 else contrast.second
    text = f"{found} The difference is significant at the 5 % level: `{better}` agrees better."
    if difference.low <= 0 <= difference.high:
        text += (
            " Its interval includes zero all the same: the test weighs the pairs by Fisher's z and "
            "the interval does not, so take it with caution."
        )
    return text


def others_sentence(contrasts: Sequence[Contrast]) -> list[str]:
    """Which secondary contrasts stay significant after Holm's correction, if there are any."""
    others = [one for one in contrasts if not one.primary]
    if not others:
        return []
    decided = [one for one in others if one.p_holm < ALPHA]
    if not decided:
        return [
            f"None of the other contrasts ({len(others)}) is significant after Holm's correction."
        ]
    findings = [
        f"`{one.first}` agrees {'better' if one.difference.value > 0 else 'worse'} with "
        f"{one.truth} than `{one.second}`"
        for one in decided
    ]
    return [
        f"Significant after Holm's correction are {len(decided)} of the other {len(others)} "
        f"contrasts: {listed(findings)}."
    ]


def _undecided(contrast: Contrast, agreements: Sequence[Agreement]) -> str:
    pairs = _pairs(contrast, agreements)
    smallest = 2.0 ** (1 - pairs)
    if smallest >= ALPHA:
        return (
            f"With {pairs} pairs the smallest p that this test can give is {p_value(smallest)}: "
            "it could not have been significant, whatever the difference. Use more pairs."
        )
    return (
        "That is not significant at the 5 % level: this run does not show which of the two agrees "
        "better, and it does not show that they agree equally well."
    )


def _pairs(contrast: Contrast, agreements: Sequence[Agreement]) -> int:
    """The pairs in which both sides have a value."""
    sides = [
        one.per_pair
        for one in agreements
        if one.estimate in (contrast.first, contrast.second)
        and one.base in (contrast.base, "both")
        and (one.truth, one.measure) == (contrast.truth, contrast.measure)
    ]
    return sum(not any(map(math.isnan, values)) for values in zip(*sides, strict=True))


def _named(one: Agreement) -> str:
    return f"`{label(one.estimate, one.base)}`"


def _equals(p: float) -> str:
    words = p_value(p)
    return words if words.startswith("<") else f"= {words}"
