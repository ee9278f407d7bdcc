"""Contrasts: which are declared, what they are worth, and what is said where nothing can be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from relp_sae.errors import InputError
from relp_sae.faithfulness import Comparison, contrasts, declared_contrasts
from relp_sae.faithfulness.contrast import fisher_z
from relp_sae.faithfulness.resampling import draw_pairs
from relp_sae.faithfulness.sign_flip import holm, sign_flip_p
from relp_sae.records import PrimaryContrast

primary = PrimaryContrast()


def per_pair(estimate, truth) -> np.ndarray:
    pairs = [truth.units.pair == pair for pair in np.unique(truth.units.pair)]
    return np.array([pearsonr(estimate.score[pair], truth.score[pair])[0] for pair in pairs])


# --- which ---------------------------------------------------------------------------------------


def test_each_truth_is_compared_at_its_own_base(record):
    def one(name, kind="estimate", base="corrupted"):
        return record(name, [[1, 2, 3]], kind=kind, base=base)

    scores = [
        one("gradient"),
        one("relp-ah"),
        one("relp"),
        one("gradient", base="clean"),
        one("relp", base="clean"),
        one("integrated-gradients:20", base="both"),
        one("delta-norm", base="both"),
        one("direct", base="both"),
        one("random:7", base="both"),
        one("denoise", kind="truth"),
        one("noise", kind="truth", base="clean"),
        one("shapley", kind="truth", base="both"),
    ]
    assert declared_contrasts(scores, primary) == [
        Comparison("relp", "gradient", "corrupted", "denoise"),
        Comparison("relp-ah", "gradient", "corrupted", "denoise"),
        Comparison("integrated-gradients:20", "gradient", "corrupted", "denoise"),
        Comparison("relp", "gradient", "clean", "noise"),
        Comparison("integrated-gradients:20", "gradient", "clean", "noise"),
    ]


def test_the_primary_contrast_may_be_any(study):
    asked = PrimaryContrast(first="integrated-gradients:20", second="random")
    made = contrasts(list(study.values()), asked, bootstrap=100)
    assert (made[0].first, made[0].second) == ("integrated-gradients:20", "random")
    assert [one.primary for one in made] == [True, False, False, False]


# --- what they are worth -------------------------------------------------------------------------


def test_the_difference_is_that_of_mean_per_pair_agreement(study):
    first = contrasts(list(study.values()), primary, bootstrap=200, seed=4)[0]
    differences = per_pair(study["relp"], study["denoise"]) - per_pair(
        study["gradient"], study["denoise"]
    )
    resampled = draw_pairs(8, 200, seed=4) @ differences / 8
    assert first.difference.value == pytest.approx(differences.mean())
    assert (first.difference.low, first.difference.high) == pytest.approx(
        tuple(np.percentile(resampled, [2.5, 97.5]))
    )
    assert first.difference.high < 0  # relp is off by five times as much


def test_p_is_the_sign_flip_of_fisher_z_and_holm_takes_all(study):
    made = contrasts(list(study.values()), primary, bootstrap=100)
    names = ("relp", "relp-ah", "integrated-gradients", "gradient")
    z = {name: np.arctanh(per_pair(study[name], study["denoise"])) for name in names}
    expected = [sign_flip_p(z[name] - z["gradient"], seed=0) for name in names[:3]]
    assert [one.p for one in made] == expected
    assert made[0].p == 2 / 2**8  # relp is worse in every pair
    assert 0.1 < made[2].p < 1  # integrated gradients is not, so here the sizes of z matter
    assert [one.p_holm for one in made] == holm(expected)
    assert made[0].p_holm > made[0].p


def test_equal_methods_do_not_differ(study):
    same = replace(study["gradient"], name="relp")
    made = contrasts([same, study["gradient"], study["denoise"]], primary, bootstrap=100)
    assert [one.difference.value for one in made] == [0]
    assert (made[0].difference.low, made[0].difference.high) == (0, 0)
    assert made[0].p == 1


def test_perfect_agreement_keeps_z_finite(study):
    perfect = replace(study["denoise"], kind="estimate", name="relp")
    made = contrasts([perfect, study["gradient"], study["denoise"]], primary, bootstrap=100)
    assert made[0].difference.value > 0
    assert made[0].p == 2 / 2**8
    bound = np.arctanh(1 - 1e-6)
    assert fisher_z(np.array([1, -1, 0.5])) == pytest.approx([bound, -bound, np.arctanh(0.5)])


def test_another_measure_is_taken_from_the_declaration(study):
    by_sign = PrimaryContrast(measure="sign")
    made = contrasts(list(study.values()), by_sign, bootstrap=100)
    assert {one.measure for one in made} == {"sign"}
    assert made[0].difference.value != contrasts(list(study.values()), primary)[0].difference.value


# --- where nothing can be said -------------------------------------------------------------------


def test_a_contrast_that_was_not_run_is_named(study):
    made = contrasts([study["gradient"], study["denoise"]], primary, bootstrap=100)
    assert len(made) == 1
    assert made[0].primary
    assert made[0].difference.note == "not among the scores: relp@corrupted"
    assert np.isnan([made[0].difference.value, made[0].p, made[0].p_holm]).all()


def test_one_pair_has_a_difference_but_no_test(record):
    truth = record("denoise", [[1, 2, 3, 4]], kind="truth")
    relp, gradient = record("relp", [[1, 2, 4, 3]]), record("gradient", [[4, 3, 2, 1]])
    one = contrasts([relp, gradient, truth], primary, bootstrap=100)[0]
    assert one.difference.value == pytest.approx(0.8 + 1)
    assert np.isnan([one.difference.low, one.difference.high, one.p, one.p_holm]).all()
    assert one.difference.note == "no interval: only one usable pair"


def test_pairs_without_both_values_are_left_out_and_named(record):
    truth = record("denoise", [[1, 2, 3], [1, 2, 3], [2, 1, 3]], kind="truth")
    relp = record("relp", [[1, 2, 3], [5, 5, 5], [1, 2, 3]])
    gradient = record("gradient", [[3, 2, 1], [1, 2, 3], [3, 1, 2]])
    one = contrasts([relp, gradient, truth], primary, bootstrap=100)[0]
    assert one.difference.value == pytest.approx(((1 - -1) + (0.5 - 0.5)) / 2)
    assert one.difference.note == "relp@corrupted: 1 of 3 pairs left out: constant estimate (1)"
    # Two usable pairs, one of them equal: every pattern is as extreme as the observed one.
    assert one.p == 1


def test_an_unknown_measure_gets_a_suggestion(study):
    with pytest.raises(InputError, match="Did you mean 'pearson'"):
        contrasts(list(study.values()), PrimaryContrast(measure="person"))
