"""The answer in sentences, made from the numbers: what they show, and what they do not."""

import math
from collections.abc import Iterator, Sequence

from relp_sae.records import EVERYWHERE, Agreement, Ceiling, Contrast
from relp_sae.report.contents import Records, Truth
from relp_sae.report.curves import curve_sentences
from relp_sae.report.tables import headline
from relp_sae.report.wording import (
    interval,
    is_baseline,
    label,
    listed,
    measure_words,
    number,
    p_value,
    place,
    runs,
)

ALPHA = 0.05
NEXT = 3
"""How many estimates are named behind the best one."""


def answer(records: Records) -> list[str]:
    """A paragraph for each truth, one for the contrasts, one for the circuit curves if measured."""
    agreements, contrasts = records.findings.agreements, records.findings.contrasts
    measure = next((one.measure for one in contrasts if one.primary), "pearson")
    parts = records.main_parts if records.nodes else [EVERYWHERE]
    best = [
        " ".join(
            best_sentence(agreements, truth, measure, part)
            + ceiling_sentence(records.ceiling(truth.name, part), measure)
            for part in parts
        )
        for truth in records.truths
    ]
    primary = [primary_sentence(one) for one in contrasts if one.primary]
    decided = " ".join([*primary, *others_sentence(contrasts)])
    return [told for told in (*best, decided, " ".join(curve_sentences(records))) if told]


def best_sentence(
    agreements: Sequence[Agreement], truth: Truth, measure: str, part: str = EVERYWHERE
) -> str:
    """Who agrees best with ``truth``, who comes next, and whether a baseline does better."""
    ranking = headline(agreements, truth, measure, part)
    defined = [one for one in ranking if not math.isnan(one.mean.value)]
    methods = [one for one in defined if not is_baseline(one.estimate)]
    against = f"Against **{truth.name}**{place(part)}"
    if not methods:
        return f"{against}, no estimate has a defined {measure_words(measure)}."
    first, rest = methods[0], methods[1:]
    text = (
        f"{against}, {_named(first)} agrees best: {measure_words(measure)} "
        f"{interval(first.mean)} on average over the pairs"
    )
    if rest:
        text += f", then {listed([*map(_valued, rest[:NEXT])])}"
    if len(rest) > NEXT:
        text += f"; last of {len(methods)} is {_valued(rest[-1])}"
    above = [
        one for one in defined if is_baseline(one.estimate) and one.mean.value >= first.mean.value
    ]
    if above:
        text += f"; yet the baseline {_named(above[0])} reaches {number(above[0].mean.value)}"
    return text + "."


def ceiling_sentence(ceiling: Ceiling | None, measure: str) -> str:
    """What a perfect estimate would reach, where the truth is sampled; else nothing."""
    if ceiling is None or ceiling.sampling.value == 1 or measure != "pearson":
        return ""
    if math.isnan(ceiling.sampling.value):
        return (
            " These effects are sampled, and their noise is so large that no ceiling can be given: "
            "measure them with more permutations."
        )
    return (
        " These effects are sampled: with the noise that is left in them a perfect estimate would "
        f"reach about {interval(ceiling.sampling)}."
    )


def primary_sentence(contrast: Contrast) -> str:
    """Whether the one comparison declared before the run is decided, and which way."""
    difference = contrast.difference
    what = (
        f"The primary contrast, declared before the run, is `{contrast.first}` minus "
        f"`{contrast.second}` in {measure_words(contrast.measure)} with {contrast.truth}"
        f"{place(contrast.part)} (slopes from {runs(contrast.base)})"
    )
    if math.isnan(difference.value) or math.isnan(contrast.p):
        reason = f" ({difference.note})" if difference.note else ""
        return f"{what}: it is undefined{reason}, so that this run does not decide between them."
    found = f"{what}: {interval(difference)}, p {_equals(contrast.p)}."
    if contrast.p >= ALPHA:
        return f"{found} {_undecided(contrast.pairs)}"
    better = contrast.first if difference.value > 0 else contrast.second
    text = f"{found} The difference is significant at the 5 % level: `{better}` agrees better."
    if difference.low <= 0 <= difference.high:
        text += (
            " Its interval includes zero all the same: the test weighs the pairs by Fisher's z and "
            "the interval does not, so take it with caution."
        )
    elif contrast.generalising.low <= 0 <= contrast.generalising.high:
        text += (
            " That is about new prompts. With other units as well the interval is "
            f"{interval(contrast.generalising)} and includes zero."
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
    return [
        f"Significant after Holm's correction are {len(decided)} of the other {len(others)} "
        f"contrasts. {' '.join(_decisions(decided, others))}"
    ]


def _decisions(decided: Sequence[Contrast], all_others: Sequence[Contrast]) -> Iterator[str]:
    """A sentence for each truth and part: which estimates agree better, or worse, than which."""
    for truth, part in dict.fromkeys((one.truth, one.part) for one in decided):
        bases = {one.base for one in all_others if one.truth == truth} - {"both"}
        groups: dict[tuple[str, str], list[str]] = {}
        for one in decided:
            if (one.truth, one.part) == (truth, part):
                base = one.base if len(bases) > 1 else "both"
                verdict = "better" if one.difference.value > 0 else "worse"
                group = groups.setdefault((verdict, label(one.second, base)), [])
                group.append(f"`{one.first}`")
        told = [
            f"{verdict} than `{second}`: {listed(firsts)}"
            for (verdict, second), firsts in groups.items()
        ]
        yield f"Agreement with {truth}{place(part)} is {'; '.join(told)}."


def _undecided(pairs: int) -> str:
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


def _valued(one: Agreement) -> str:
    return f"{_named(one)} ({number(one.mean.value)})"


def _named(one: Agreement) -> str:
    return f"`{label(one.estimate, one.base)}`"


def _equals(p: float) -> str:
    words = p_value(p)
    return words if words.startswith("<") else f"= {words}"
