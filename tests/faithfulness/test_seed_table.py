"""The seed table, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.faithfulness import TopFeature, seed_table
from relp_sae.records import FeatureScores, Units

# Pair, position, feature; feature 4 occurs at two positions of pair 0, feature -1 is an error unit.
ROWS = [(0, 5, 4), (0, 6, 4), (0, 5, 8), (1, 5, 4), (1, 5, 9), (1, 5, -1)]


def scores(name: str, score: list[float], kind: str = "estimate") -> FeatureScores:
    pair, pos, feature = (np.array(column) for column in zip(*ROWS, strict=True))
    units = Units(pair, np.full(6, "resid_pre.2"), pos, feature, np.ones(6), np.ones(6))
    return FeatureScores(kind, name, "corrupted", units, np.array(score, float), np.zeros(6))


TRUTH = scores("denoise", [1, 2, -5, 3, 0, 99], kind="truth")


def test_features_are_summed_over_positions_and_averaged_over_pairs():
    (row,) = seed_table([TRUTH], "denoise")
    assert row.top == (
        TopFeature("resid_pre.2", 4, (1 + 2 + 3) / 2),
        TopFeature("resid_pre.2", 8, -5 / 2),
    )  # feature 9 has no effect and is not listed


def test_a_row_by_hand():
    relp = scores("relp", [0, 0, 2, 0, -4, 1e6])
    truth_row, row = seed_table([relp, TRUTH], "denoise")
    features = np.array([0, 0, 2, 0, -4])
    assert row.label == "relp@corrupted"
    assert row.std == pytest.approx(features.std())
    assert row.largest == 4
    assert row.pearson == pytest.approx(np.corrcoef(features, [1, 2, -5, 3, 0])[0, 1])
    assert [one.feature for one in row.top] == [9, 8]
    assert row.shared == {"denoise": 1, "relp@corrupted": 2}
    assert truth_row.label == "denoise"
    assert truth_row.pearson == pytest.approx(1)
    assert truth_row.shared == {"denoise": 2, "relp@corrupted": 1}


def test_only_the_top_counts_as_shared():
    relp = scores("relp", [0, 0, 2, 0, -4, 0])
    (truth_row, row) = seed_table([TRUTH, relp], "denoise", top=1)
    assert [one.feature for one in row.top] == [9]
    assert row.shared["denoise"] == 0
    assert truth_row.shared["denoise"] == 1


def test_an_estimate_of_zeros_has_no_top_and_says_why_it_has_no_correlation():
    _, row = seed_table([TRUTH, scores("zero", [0] * 6)], "denoise")
    assert (row.std, row.largest, row.top) == (0, 0, ())
    assert np.isnan(row.pearson)
    assert row.note == "constant estimate"
    assert row.shared == {"denoise": 0, "zero@corrupted": 0}


def test_other_truths_have_no_row():
    noise = replace(TRUTH, name="noise", base="clean")
    assert [row.label for row in seed_table([noise, TRUTH], "denoise")] == ["denoise"]


def test_an_unknown_truth_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"no truth 'shapley' .* Known: denoise"):
        seed_table([scores("shapley", [1] * 6), TRUTH], "shapley")
