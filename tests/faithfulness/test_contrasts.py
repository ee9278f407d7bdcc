"""Contrasts: which are declared, what they are worth, and what is said where nothing can be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, wilcoxon

from relp_sae.errors import InputError
from relp_sae.faithfulness import Comparison, contrasts, declared_contrasts
from relp_sae.faithfulness.contrast import fisher_z
from relp_sae.faithfulness.dependent import dependent_tests
from relp_sae.faithfulness.resampling import draw_pairs
from relp_sae.faithfulness.sign_flip import holm, sign_flip_p
from relp_sae.records import EVERYWHERE, FeatureScores, PrimaryContrast

primary = PrimaryContrast()


def on_two_sites(scores: FeatureScores) -> FeatureScores:
    """Odd features at another site."""
    site = np.where(scores.units.feature % 2 == 1, "resid_pre.15", "resid_pre.2")
    return replace(scores, units=replace(scores.units, site=site))


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
        # A truth of both runs is compared with the estimates of every base.
        Comparison("relp-ah", "gradient", "corrupted", "shapley"),
        Comparison("relp", "gradient", "corrupted", "shapley"),
        Comparison("integrated-gradients:20", "gradient", "corrupted", "shapley"),
        Comparison("relp", "gradient", "clean", "shapley"),
        Comparison("integrated-gradients:20", "gradient", "clean", "shapley"),
    ]


def test_methods_that_use_both_runs_are_compared_with_one_another(record):
    def one(name, kind="estimate", base="corrupted"):
        return record(name, [[1, 2, 3]], kind=kind, base=base)

    scores = [
        *(one("gradient", base=base) for base in ("corrupted", "clean")),
        *(one("relp", base=base) for base in ("corrupted", "clean")),
        *(one(name, base="both") for name in ("secant:4", "relp-mean", "gradient-mean")),
    ]
    denoise = declared_contrasts([*scores, one("denoise", kind="truth")], primary)
    assert denoise == [
        Comparison("relp", "gradient", "corrupted", "denoise"),
        Comparison("secant:4", "gradient", "corrupted", "denoise"),
        Comparison("relp-mean", "gradient", "corrupted", "denoise"),
        Comparison("gradient-mean", "gradient", "corrupted", "denoise"),
        Comparison("secant:4", "relp", "corrupted", "denoise"),
        Comparison("relp-mean", "gradient-mean", "both", "denoise"),
    ]
    shapley = declared_contrasts([*scores, one("shapley", kind="truth", base="both")], primary)
    assert shapley[0].truth == "denoise"  # the primary one, whatever was run
    bases = [one.base for one in shapley[1:] if (one.first, one.second) == ("secant:4", "relp")]
    assert bases == ["corrupted", "clean"]
    means = [one for one in shapley if one.second == "gradient-mean"]
    assert means == [Comparison("relp-mean", "gradient-mean", "both", "shapley")]


def test_in_parts_only_the_main_questions_are_declared(record):
    scores = [
        on_two_sites(record(name, [[1, 2, 3, 4]], kind=kind, base=base))
        for name, kind, base in [
            ("gradient", "estimate", "corrupted"),
            ("relp", "estimate", "corrupted"),
            ("relp-ah", "estimate", "corrupted"),
            ("secant", "estimate", "both"),
            ("denoise", "truth", "corrupted"),
        ]
    ]
    in_parts = [one for one in declared_contrasts(scores, primary) if one.part != EVERYWHERE]
    assert [(one.first, one.second, one.part) for one in in_parts] == [
        ("relp", "gradient", "resid_pre.2"),
        ("secant", "relp", "resid_pre.2"),
        ("relp", "gradient", "resid_pre.15"),
        ("secant", "relp", "resid_pre.15"),
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
    assert made[2].p_wilcoxon == wilcoxon(z["integrated-gradients"] - z["gradient"])[1]


def test_a_contrast_in_a_part_looks_at_its_units_alone(study):
    apart = [on_two_sites(one) for one in study.values()]
    odd = [one.chosen(one.units.feature % 2 == 1) for one in study.values()]
    made = contrasts(apart, primary, bootstrap=100)
    [found] = [one for one in made if one.part == "resid_pre.15"]
    alone = contrasts(odd, primary, bootstrap=100)[0]
    alone = replace(alone, part="resid_pre.15", primary=False, p_holm=found.p_holm)
    assert repr(found) == repr(alone)
    assert len(made) == 5  # three everywhere, one in each part
    assert [one.p_holm for one in made] == holm([one.p for one in made])


def test_the_tests_over_units_are_on_the_pooled_pearson(study):
    relp, gradient, truth = (study[name].score for name in ("relp", "gradient", "denoise"))
    r = np.corrcoef([truth, relp, gradient])
    expected = dependent_tests(r[0, 1], r[0, 2], r[1, 2], len(truth))
    found = contrasts(list(study.values()), primary, bootstrap=100)[0].descriptive
    assert [one.test for one in found] == [one.test for one in expected]
    assert [one.value for one in found] == pytest.approx(
        [one.value for one in expected], nan_ok=True
    )


def test_pairs_are_counted_and_the_crossed_interval_has_the_same_value(study):
    for one in contrasts(list(study.values()), primary, bootstrap=100):
        assert one.pairs == 8
        assert one.generalising.value == pytest.approx(one.difference.value)
        assert one.generalising.low < one.generalising.value < one.generalising.high


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


def test_a_part_that_is_not_there_is_named(study):
    asked = PrimaryContrast(part="resid_pre.9")
    first = contrasts(list(study.values()), asked, bootstrap=100)[0]
    assert np.isnan([first.difference.value, first.p, first.generalising.value]).all()
    assert first.difference.note == "no part 'resid_pre.9' in this run (it has all sites)"


def test_an_unbounded_measure_is_compared_without_fishers_z(study):
    first = contrasts(list(study.values()), PrimaryContrast(measure="r2"), bootstrap=100)[0]
    assert first.difference.low < first.difference.high < 0
    assert first.p == 2 / 2**8


@pytest.mark.parametrize("measure", ["slope", "verified-recall-cost"])
def test_a_measure_of_which_more_is_not_better_cannot_say_who_is_better(study, measure):
    with pytest.raises(InputError, match=rf"of '{measure}' more is not better.*Use one of: pear"):
        contrasts(list(study.values()), PrimaryContrast(measure=measure))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("flat", ["relp", "gradient", "denoise"])
def test_a_constant_side_leaves_nothing_to_test(study, flat):
    broken = study | {flat: replace(study[flat], score=np.ones(222))}
    first = contrasts(list(broken.values()), primary, bootstrap=100)[0]
    assert first.pairs == 0
    assert "constant" in first.difference.note
    assert np.isnan([first.difference.value, first.generalising.value]).all()
    assert np.isnan([first.p, first.p_wilcoxon]).all()
    assert {one.note for one in first.descriptive} == {"a correlation is undefined"}


def test_an_unknown_measure_gets_a_suggestion(study):
    with pytest.raises(InputError, match="Did you mean 'pearson'"):
        contrasts(list(study.values()), PrimaryContrast(measure="person"))
