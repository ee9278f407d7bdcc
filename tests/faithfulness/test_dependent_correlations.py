"""The textbook tests against the R package cocor, and where their formulas have no value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.faithfulness.dependent import dependent_tests

NAMES = ["williams", "dunn-clark", "steiger", "meng-rosenthal-rubin", "hittner", "zou"]

# cocor's t or z of each test, and both ends of Zou's interval; inputs as cocor's examples give them
COCOR = [
    (0.2, 0.5, 0.1, 315, [-4.4950, -4.4412, -4.4152, -4.3899, -4.4077], (-0.4307, -0.1675)),
    (0.83, 0.16, 0.19, 30, [4.4727, 4.0314, 3.9080, 3.8176, 3.8243], (0.3199, 1.0418)),
    (0.8065821, 0.2383, 0.2255, 177, [9.3823, 8.7407, 8.5460, 8.3907, 8.3966], (0.4288, 0.7139)),
    (-0.1741, 0.2015, 0.3734, 646, [-9.0340, -8.7137, -8.6124, -8.5080, -8.6124],
     (-0.4568, -0.2921)),
    (0.9, 0.8, 0.85, 180, [5.5735, 5.4165, 5.3290, 5.3131, 5.2428], (0.0613, 0.1496)),
]  # fmt: skip

nan = float("nan")


def by_name(jk, jh, kh, n):
    return {one.test: one for one in dependent_tests(jk, jh, kh, n)}


@pytest.mark.parametrize(("jk", "jh", "kh", "n", "values", "ends"), COCOR)
def test_they_equal_cocor(jk, jh, kh, n, values, ends):
    found = dependent_tests(jk, jh, kh, n)
    assert [one.test for one in found] == NAMES
    # Inputs of 4 digits: 5e-5 in one of them moves a z of 646 units by about 1e-3.
    assert [one.value for one in found] == pytest.approx([*values, jk - jh], abs=1e-3, rel=2e-4)
    assert (found[-1].low, found[-1].high) == pytest.approx(ends, abs=1e-3)


def test_p_values_by_hand():
    found = by_name(0.2, 0.5, 0.1, 315)
    # Both tails beyond 4.4950 of t with 312 degrees of freedom, and beyond 4.4412 of the normal
    assert found["williams"].p == pytest.approx(9.79e-6, rel=1e-2)
    assert found["dunn-clark"].p == pytest.approx(8.95e-6, rel=1e-2)
    assert np.isnan([found["williams"].low, found["zou"].p]).all()


def test_a_formula_without_a_value_says_so_and_the_others_go_on():
    found = by_name(0.992, 0.195, 0.25, 180)
    assert np.isnan(found["hittner"].value)
    assert found["hittner"].note == (
        "the formula gives its two Z a correlation of 3.47, which is 1 or more"
    )
    assert np.isfinite([found[name].value for name in ("williams", "dunn-clark")]).all()


@pytest.mark.parametrize(
    ("jk", "jh", "kh", "n", "reason"),
    [
        (nan, 0.5, 0.5, 100, "a correlation is undefined"),
        (0.5, 0.5, nan, 100, "a correlation is undefined"),
        (0.5, 0.4, 0.3, 3, "3 units or fewer"),
        (1.0, 0.4, 0.4, 100, "a correlation with the truth is 1 or -1"),
        (0.5, -1.0, -0.5, 100, "a correlation with the truth is 1 or -1"),
        (0.5, 0.5, 1.0, 100, "the two estimates are perfectly correlated"),
        (0.9, -0.9, 0.9, 100, "these three correlations cannot occur together"),
    ],
)
def test_unusable_correlations_are_named(jk, jh, kh, n, reason):
    for one in dependent_tests(jk, jh, kh, n):
        assert np.isnan([one.value, one.p, one.low, one.high]).all()
        assert one.note == reason


correlation = st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0, 1 - 1e-13, 1 - 1e-9])


@settings(max_examples=300, deadline=None)
@given(correlation, correlation, correlation, st.integers(0, 10_000))
def test_every_input_has_a_number_or_a_reason(jk, jh, kh, n):
    for one in dependent_tests(jk, jh, kh, n):
        assert np.isfinite(one.value) or one.note
        assert np.isnan(one.p) or 0 <= one.p <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 500))
def test_swapping_the_methods_turns_the_sign(seed, n):
    x, y, truth = np.random.default_rng(seed).normal(size=(3, 6))
    jk, jh, kh = (float(np.corrcoef(a, b)[0, 1]) for a, b in ((x, truth), (y, truth), (x, y)))
    for one, other in zip(
        dependent_tests(jk, jh, kh, n), dependent_tests(jh, jk, kh, n), strict=True
    ):
        assert one.value == pytest.approx(-other.value, nan_ok=True)
        assert one.p == pytest.approx(other.p, nan_ok=True)
        assert one.low == pytest.approx(-other.high, nan_ok=True)


def test_equal_correlations_are_no_evidence():
    for one in dependent_tests(0.5, 0.5, 0.3, 100)[:-1]:
        assert one.value == pytest.approx(0, abs=1e-12)
        assert one.p == pytest.approx(1)
