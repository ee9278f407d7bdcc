"""The answer says what the numbers show, and no more."""

import math

import pytest

from relp_sae.records import Agreement, Contrast, Interval
from relp_sae.report.verdict import (
    answer,
    best_sentence,
    others_sentence,
    primary_sentence,
)


def contrast(difference: Interval, p: float, primary: bool = True, first: str = "relp") -> Contrast:
    return Contrast(
        first=first,
        second="gradient",
        base="corrupted",
        truth="denoise",
        measure="pearson",
        difference=difference,
        p=p,
        p_holm=p,
        primary=primary,
    )


def agreement(estimate: str, mean: float, pairs: int = 8, base: str = "corrupted") -> Agreement:
    value = Interval(mean, mean - 0.1, mean + 0.1)
    return Agreement(estimate, base, "denoise", "pearson", value, value, (mean,) * pairs)


BOTH = [agreement("relp", 0.5), agreement("gradient", 0.7)]


@pytest.mark.parametrize(
    ("difference", "winner"),
    [(Interval(0.2, 0.1, 0.3), "relp"), (Interval(-0.2, -0.3, -0.1), "gradient")],
)
def test_a_significant_difference_names_the_better_one(difference: Interval, winner: str) -> None:
    text = primary_sentence(contrast(difference, 0.01), BOTH)
    assert f"significant at the 5 % level: `{winner}` agrees better." in text
    assert f"{difference.value:.3f}" in text
    assert "p = 0.010" in text
    assert "caution" not in text


def test_a_significant_test_with_zero_in_the_interval_asks_for_caution() -> None:
    text = primary_sentence(contrast(Interval(-0.1, -0.3, 0.05), 0.04), BOTH)
    assert "caution" in text


def test_no_significance_is_not_called_equality() -> None:
    text = primary_sentence(contrast(Interval(0.1, -0.1, 0.3), 0.4), BOTH)
    assert "not significant" in text
    assert "does not show that they agree equally well" in text
    assert "agrees better." not in text


def test_too_few_pairs_for_any_significance_are_named() -> None:
    few = [agreement("relp", 0.5, pairs=5), agreement("gradient", 0.7, pairs=5)]
    text = primary_sentence(contrast(Interval(-0.2, -0.3, -0.1), 0.0625), few)
    assert "With 5 pairs the smallest p that this test can give is 0.062" in text
    six = [agreement("relp", 0.5, pairs=6), agreement("gradient", 0.7, pairs=6)]
    assert "smallest p" not in primary_sentence(contrast(Interval(-0.2, -0.3, -0.1), 0.06), six)


def test_an_undefined_contrast_decides_nothing_and_says_why() -> None:
    nan = Interval(math.nan, math.nan, math.nan, "no estimate 'relp' at base corrupted")
    text = primary_sentence(contrast(nan, math.nan), BOTH)
    assert "undefined (no estimate 'relp' at base corrupted)" in text
    assert "does not decide" in text
    assert "nan" not in text


def test_the_best_estimate_is_a_method_even_if_a_baseline_beats_it() -> None:
    text = best_sentence([*BOTH, agreement("delta-norm", 0.9, base="both")], "denoise", "pearson")
    assert "`gradient@corrupted` agrees best: Pearson 0.700 [0.600, 0.800]" in text
    assert "then `relp@corrupted` (0.500)" in text
    assert text.endswith("yet the baseline `delta-norm` reaches 0.900.")


def test_no_defined_estimate_is_said_in_words() -> None:
    text = best_sentence([agreement("relp", math.nan)], "denoise", "pearson")
    assert text == "Against **denoise**, no estimate has a defined Pearson."


def test_secondary_contrasts_are_read_by_their_corrected_p() -> None:
    low, high = Interval(-0.2, -0.3, -0.1), Interval(0.2, 0.1, 0.3)
    lost = contrast(low, 0.01, primary=False, first="relp-ah")
    won = contrast(high, 0.02, primary=False, first="secant")
    [text] = others_sentence([lost, won, contrast(low, 0.3, primary=False)])
    assert "2 of the other 3 contrasts" in text
    assert "`relp-ah` agrees worse with denoise than `gradient`" in text
    assert "`secant` agrees better with denoise than `gradient`" in text
    [none] = others_sentence([contrast(low, 0.3, primary=False)])
    assert "None of the other contrasts (1) is significant" in none


def test_the_answer_is_one_paragraph() -> None:
    text = answer(BOTH, [contrast(Interval(-0.2, -0.3, -0.1), 0.01)])
    assert text.startswith("Against **denoise**")
    assert "\n" not in text
