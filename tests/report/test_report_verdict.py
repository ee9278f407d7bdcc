"""The answer says what the numbers show, and no more."""

import math
from dataclasses import replace

import pytest

from relp_sae.records import Agreement, Ceiling, Contrast, Interval
from relp_sae.report.contents import Records, Truth
from relp_sae.report.verdict import (
    answer,
    best_sentence,
    ceiling_sentence,
    others_sentence,
    primary_sentence,
)


def contrast(
    difference: Interval, p: float, primary: bool = True, first: str = "relp", pairs: int = 8
) -> Contrast:
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
        pairs=pairs,
    )


def agreement(estimate: str, mean: float, pairs: int = 8, base: str = "corrupted") -> Agreement:
    value = Interval(mean, mean - 0.1, mean + 0.1)
    return Agreement(estimate, base, "denoise", "pearson", value, value, (mean,) * pairs)


DENOISE = Truth("denoise", "corrupted")
BOTH = [agreement("relp", 0.5), agreement("gradient", 0.7)]


@pytest.mark.parametrize(
    ("difference", "winner"),
    [(Interval(0.2, 0.1, 0.3), "relp"), (Interval(-0.2, -0.3, -0.1), "gradient")],
)
def test_a_significant_difference_names_the_better_one(difference: Interval, winner: str) -> None:
    text = primary_sentence(contrast(difference, 0.01))
    assert f"significant at the 5 % level: `{winner}` agrees better." in text
    assert f"{difference.value:.3f}" in text
    assert "p = 0.010" in text
    assert "caution" not in text


def test_a_significant_test_with_zero_in_the_interval_asks_for_caution() -> None:
    text = primary_sentence(contrast(Interval(-0.1, -0.3, 0.05), 0.04))
    assert "caution" in text


def test_no_significance_is_not_called_equality() -> None:
    text = primary_sentence(contrast(Interval(0.1, -0.1, 0.3), 0.4))
    assert "not significant" in text
    assert "does not show that they agree equally well" in text
    assert "agrees better." not in text


def test_too_few_pairs_for_any_significance_are_named() -> None:
    low = Interval(-0.2, -0.3, -0.1)
    text = primary_sentence(contrast(low, 0.0625, pairs=5))
    assert "With 5 pairs the smallest p that this test can give is 0.062" in text
    assert "smallest p" not in primary_sentence(contrast(low, 0.06, pairs=6))


def test_an_undefined_contrast_decides_nothing_and_says_why() -> None:
    nan = Interval(math.nan, math.nan, math.nan, "no estimate 'relp' at base corrupted")
    text = primary_sentence(contrast(nan, math.nan))
    assert "undefined (no estimate 'relp' at base corrupted)" in text
    assert "does not decide" in text
    assert "nan" not in text


def test_the_best_estimate_is_a_method_even_if_a_baseline_beats_it() -> None:
    text = best_sentence([*BOTH, agreement("delta-norm", 0.9, base="both")], DENOISE, "pearson")
    assert "`gradient@corrupted` agrees best: Pearson 0.700 [0.600, 0.800]" in text
    assert "then `relp@corrupted` (0.500)" in text
    assert text.endswith("yet the baseline `delta-norm` reaches 0.900.")


def test_no_defined_estimate_is_said_in_words() -> None:
    text = best_sentence([agreement("relp", math.nan)], DENOISE, "pearson")
    assert text == "Against **denoise**, no estimate has a defined Pearson."


def test_a_win_that_other_features_could_undo_is_said_so() -> None:
    won = contrast(Interval(0.2, 0.1, 0.3), 0.01)
    wide = replace(won, generalising=Interval(0.2, -0.05, 0.4))
    assert "With other units as well the interval is 0.200 [-0.050, 0.400]" in (
        primary_sentence(wide)
    )
    sure = replace(won, generalising=Interval(0.2, 0.05, 0.4))
    assert "other units" not in primary_sentence(sure)
    assert "other units" not in primary_sentence(won)


def test_of_many_estimates_the_next_three_and_the_last_are_named() -> None:
    many = [agreement(f"m{i}", 0.9 - i / 10) for i in range(6)]
    text = best_sentence(many, DENOISE, "pearson")
    assert "then `m1@corrupted` (0.800), `m2@corrupted` (0.700) and `m3@corrupted` (0.600)" in text
    assert text.endswith("; last of 6 is `m5@corrupted` (0.400).")


def test_a_part_is_named_and_its_own_values_are_read() -> None:
    here = [replace(agreement("relp", 0.3), part="mlp_out"), *BOTH]
    text = best_sentence(here, DENOISE, "pearson", "mlp_out")
    assert text.startswith("Against **denoise** at mlp_out, `relp@corrupted` agrees best: Pearson")
    assert "gradient" not in text


def test_only_a_sampled_truth_has_a_ceiling_to_speak_of() -> None:
    half = Interval(0.5, 0.4, 0.6)

    def told(value: float) -> str:
        sampling = Interval(value, value - 0.01, value + 0.01)
        return ceiling_sentence(Ceiling("shapley", "all sites", sampling, half), "pearson")

    assert told(1.0) == ceiling_sentence(None, "pearson") == ""
    assert "would reach about 0.950 [0.940, 0.960]" in told(0.95)
    assert "no ceiling can be given" in told(math.nan)


def test_secondary_contrasts_are_read_by_their_corrected_p() -> None:
    low, high = Interval(-0.2, -0.3, -0.1), Interval(0.2, 0.1, 0.3)
    lost = contrast(low, 0.01, primary=False, first="relp-ah")
    won = contrast(high, 0.02, primary=False, first="secant")
    [text] = others_sentence([lost, won, contrast(low, 0.3, primary=False)])
    assert "2 of the other 3 contrasts" in text
    assert "Agreement with denoise is worse than `gradient`: `relp-ah`; " in text
    assert "better than `gradient`: `secant`." in text
    [none] = others_sentence([contrast(low, 0.3, primary=False)])
    assert "None of the other contrasts (1) is significant" in none


def test_contrasts_of_one_truth_at_two_bases_are_told_apart() -> None:
    won = contrast(Interval(0.2, 0.1, 0.3), 0.01, primary=False)
    [text] = others_sentence([won, replace(won, base="clean")])
    assert "better than `gradient@corrupted`: `relp`; better than `gradient@clean`: `relp`" in text


def test_the_answer_has_a_paragraph_for_each_truth_and_one_for_the_contrasts(
    node_records: Records,
) -> None:
    told = answer(node_records)
    assert [text.partition(" at ")[0] for text in told[:3]] == [
        f"Against **{name}**" for name in ("denoise", "noise", "shapley")
    ]
    assert all(text.count("agrees best") == 3 for text in told[:3])
    assert told[2].count("would reach about") == 3
    assert told[3].startswith("The primary contrast")
    assert len(told) == 4


def test_curves_get_a_sentence_for_each_site_and_direction(feature_records: Records) -> None:
    told = answer(feature_records)[-1]
    assert told.count("As a circuit at `resid_pre.2`") == 2
    assert "are those ranked by `" in told
    assert "ranking by a truth gives" in told
