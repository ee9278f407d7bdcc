"""The paired tests against enumeration and scipy; Holm against written-out examples."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, wilcoxon

from relp_sae.faithfulness.sign_flip import holm, sign_flip_p
from relp_sae.faithfulness.wilcoxon import wilcoxon_p

nan = float("nan")


def enumerated(differences: np.ndarray) -> float:
    observed = abs(differences.mean()) - 1e-12
    patterns = list(product((1, -1), repeat=len(differences)))
    return np.mean([abs((differences * signs).mean()) >= observed for signs in patterns])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=7))
def test_few_pairs_are_enumerated(differences):
    array = np.array(differences, float)
    assert sign_flip_p(array, seed=0) == enumerated(array)


@pytest.mark.parametrize("n", [2, 6, 10, 12])
def test_it_equals_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    expected = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=2**n, vectorized=False
    )
    assert sign_flip_p(differences, seed=0) == pytest.approx(expected.pvalue)


def test_by_hand():
    # Of the 8 patterns of 1, 2, 3 only +++ and --- reach |sum| = 6.
    assert sign_flip_p(np.array([1.0, 2.0, 3.0]), seed=0) == 2 / 8


def test_no_difference_is_no_evidence():
    assert sign_flip_p(np.zeros(5), seed=0) == 1
    assert sign_flip_p(np.zeros(20), seed=0) == 1


def test_it_does_not_care_which_method_comes_first():
    for n in (9, 30):
        differences = np.random.default_rng(n).normal(0.2, 1, n)
        assert sign_flip_p(differences, seed=0) == sign_flip_p(-differences, seed=0)


def test_many_pairs_are_sampled_close_to_the_exact_value():
    differences = np.random.default_rng(0).normal(0.5, 1, 14)
    signs = np.array(list(product((1, -1), repeat=14)))
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert 0.02 < exact < 0.5
    four_errors = 4 * np.sqrt(exact * (1 - exact) / 10_000)
    assert sign_flip_p(differences, seed=0) == pytest.approx(exact, abs=four_errors)


def test_a_sampled_p_value_is_never_zero():
    # No sampled pattern reaches the sum of 40 ones: (0 + 1) / (10,000 + 1).
    assert sign_flip_p(np.ones(40), seed=0) == pytest.approx(1 / 10_001)


def test_it_keeps_its_level_under_the_null():
    generator = np.random.default_rng(0)
    p_values = [sign_flip_p(generator.standard_t(2, 8), seed=0) for _ in range(600)]
    # 12 of 256 patterns: the largest attainable level below 5 % is 4.7 %; 4 standard errors
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(12 / 256, abs=0.035)


# --- wilcoxon ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=9))
def test_wilcoxon_answers_any_differences(differences):
    array = np.array(differences, float)
    p = wilcoxon_p(array)
    assert 0 < p <= 1
    assert wilcoxon_p(-array) == pytest.approx(p)


@pytest.mark.parametrize("n", [5, 12, 32, 80])
def test_wilcoxon_equals_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    assert wilcoxon_p(differences) == wilcoxon(differences).pvalue


def test_wilcoxon_by_hand():
    # Ranks 1, 2, 3 all with one sign: 2 of the 8 patterns.
    assert wilcoxon_p(np.array([0.1, 5.0, 2.0])) == 2 / 8
    assert wilcoxon_p(np.zeros(6)) == 1


# --- holm ----------------------------------------------------------------------------------------


def test_holm_by_hand():
    # In order: 4 * .005 = .02, 3 * .01 = .03, 2 * .03 = .06, 1 * .04 raised to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_equals_r():
    # p.adjust(c(.05, .01, .04, .02, .03), "holm")
    assert holm([0.05, 0.01, 0.04, 0.02, 0.03]) == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])


def test_holm_stays_below_one_and_skips_tests_that_were_not_made():
    assert holm([0.9, nan, 0.6]) == pytest.approx([1, nan, 1], nan_ok=True)
    assert holm([0.01, nan, 0.03]) == pytest.approx([0.02, nan, 0.03], nan_ok=True)
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_value_and_bonferroni(p_values):
    adjusted = np.array(holm(p_values))
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, len(p_values) * np.array(p_values))).all()
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= 0).all()
