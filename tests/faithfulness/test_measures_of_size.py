"""Measures for which size matters, and their relations: slope, R2, Lin, asinh, per unit of step."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, pearsonr

from relp_sae.faithfulness import Sample, Undefined, measures

quick = settings(max_examples=100, deadline=None)

number = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))
twosomes = st.lists(st.tuples(number, number), min_size=3, max_size=30)


def sample(estimate, truth, delta=None, relative_step=None) -> Sample:
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    delta = np.ones(len(truth)) if delta is None else np.asarray(delta, float)
    step = np.ones(len(truth)) if relative_step is None else np.asarray(relative_step, float)
    return Sample(estimate, truth, delta, step)


def of(name: str, *columns) -> float:
    looked = sample(*columns)
    return measures[name](looked)(np.ones(len(looked.truth)))


def varying(drawn) -> tuple[np.ndarray, np.ndarray]:
    estimate, truth = (np.array(side) for side in zip(*drawn, strict=True))
    assume(np.ptp(estimate) > 0)
    assume(np.ptp(truth) > 0)
    return estimate, truth


@quick
@given(twosomes)
def test_slope_equals_scipy_with_the_truth_on_the_x_axis(drawn):
    estimate, truth = varying(drawn)
    assert of("slope", estimate, truth) == pytest.approx(linregress(truth, estimate)[0], abs=1e-9)


@quick
@given(twosomes, st.floats(0.1, 10), st.floats(-5, 5))
def test_slope_says_how_much_larger_the_estimate_is(drawn, factor, offset):
    _, truth = varying(drawn)
    assert of("slope", factor * truth + offset, truth) == pytest.approx(factor)


@quick
@given(twosomes)
def test_r2_by_its_definition(drawn):
    estimate, truth = varying(drawn)
    errors, spread = ((truth - estimate) ** 2).sum(), ((truth - truth.mean()) ** 2).sum()
    assert of("r2", estimate, truth) == pytest.approx(1 - errors / spread, rel=1e-9, abs=1e-9)


@quick
@given(twosomes)
def test_r2_is_at_most_the_squared_correlation(drawn):
    estimate, truth = varying(drawn)
    assert of("r2", estimate, truth) <= of("pearson", estimate, truth) ** 2 + 1e-9


@quick
@given(twosomes)
def test_the_best_line_reaches_the_squared_correlation(drawn):
    estimate, truth = varying(drawn)
    slope = of("slope", truth, estimate)  # turned round: the best line from the estimate
    fitted = truth.mean() + slope * (estimate - estimate.mean())
    assume(np.ptp(fitted) > 1e-6)
    squared = of("pearson", estimate, truth) ** 2
    assert of("r2", fitted, truth) == pytest.approx(squared, abs=1e-6)


@quick
@given(twosomes)
def test_lin_by_its_definition_and_below_pearson(drawn):
    estimate, truth = varying(drawn)
    apart = (estimate.mean() - truth.mean()) ** 2
    cov = np.cov(estimate, truth, ddof=0)[0, 1]
    expected = 2 * cov / (estimate.var() + truth.var() + apart)
    lin = of("lin-concordance", estimate, truth)
    assert lin == pytest.approx(expected, abs=1e-9)
    assert abs(lin) <= abs(of("pearson", estimate, truth)) + 1e-9
    assert of("lin-concordance", truth, estimate) == pytest.approx(lin, abs=1e-9)


@quick
@given(twosomes)
def test_lin_is_one_only_where_both_sides_are_equal(drawn):
    estimate, truth = varying(drawn)
    assert of("lin-concordance", truth, truth) == pytest.approx(1)
    # 1 - lin is sum (estimate - truth)^2 over the same denominator
    far = np.abs(estimate - truth).max() > 0.01 * np.abs([estimate, truth]).max()
    assert not far or of("lin-concordance", estimate, truth) < 1 - 1e-7


@pytest.mark.parametrize("name", ["slope", "r2", "lin-concordance"])
@quick
@given(drawn=twosomes, scale=st.floats(1e-3, 1e3))
def test_a_common_scale_does_not_matter(name, drawn, scale):
    estimate, truth = varying(drawn)
    expected = of(name, estimate, truth)
    assert of(name, scale * estimate, scale * truth) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@quick
@given(twosomes)
def test_asinh_pearson_is_pearson_of_what_is_bent_at_a_hundredth(drawn):
    estimate, truth = varying(drawn)
    expected = pearsonr(np.arcsinh(100 * estimate), np.arcsinh(100 * truth))[0]
    assert of("pearson-asinh", estimate, truth) == pytest.approx(expected, abs=1e-9)


def test_asinh_hears_small_units_beside_a_giant():
    truth = np.array([50.0, 0.1, -0.1, 0.2, -0.2, 0.3])
    deaf = np.array([50.0, -0.1, 0.1, -0.2, 0.2, -0.3])  # right about the giant alone
    assert of("pearson", deaf, truth) > 0.999
    assert of("pearson-asinh", deaf, truth) < 0.5


# --- per unit of step ----------------------------------------------------------------------------


@quick
@given(twosomes, st.data())
def test_per_step_is_pearson_of_the_slopes(drawn, data):
    slopes, true_slopes = varying(drawn)
    n = len(slopes)
    delta = np.array(data.draw(st.lists(st.sampled_from([-4, -0.5, 2, 8]), min_size=n, max_size=n)))
    found = of("pearson-per-step", slopes * delta, true_slopes * delta, delta)
    assert found == pytest.approx(of("pearson", slopes, true_slopes), abs=1e-9)


def test_large_steps_alone_do_not_make_agreement_per_step():
    generator = np.random.default_rng(0)
    delta = np.exp(2 * generator.normal(size=500))
    estimate, truth = (delta * (1 + 0.3 * generator.normal(size=500)) for _ in range(2))
    assert of("pearson", estimate, truth) > 0.8
    assert abs(of("pearson-per-step", estimate, truth, delta)) < 0.15


def test_tiny_steps_are_left_out():
    estimate, truth = np.arange(1.0, 6), np.array([1.0, 2, 3, 4, -9])
    steps = np.array([0.1, 0.1, 0.1, 0.1, 1e-4])
    assert of("pearson-per-step", estimate, truth, np.ones(5), steps) == pytest.approx(1)
    assert of("pearson-per-step", estimate, truth, np.ones(5), np.ones(5)) < 0


@pytest.mark.parametrize("delta", [[0, 0, 0, 0], [1, 1, 0, 0], [np.nan, np.inf, 1, 1]])
def test_steps_of_zero_or_nan_leave_nothing(delta):
    with pytest.raises(Undefined, match=r"fewer than 3 units with a step of 0\.1 % or more"):
        of("pearson-per-step", [1, 2, 3, 4], [1, 2, 3, 5], delta)


def test_unknown_relative_steps_leave_nothing():
    with pytest.raises(Undefined, match="fewer than 3 units with a step"):
        of("pearson-per-step", [1, 2, 3], [1, 2, 3], [1, 1, 1], [np.nan] * 3)
