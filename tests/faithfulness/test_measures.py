"""Each measure against scipy and by hand, and what every registered measure must satisfy."""

import importlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from relp_sae.faithfulness import Sample, Undefined, measures
from relp_sae.faithfulness.measures import value_or_reason
from relp_sae.faithfulness.measures.spearman import mid_ranks
from relp_sae.registry import Registry

CORRELATIONS = [
    *("pearson", "spearman", "kendall-tau-b", "pearson-asinh"),
    *("lin-concordance", "r2", "slope"),
]
"""Measures without a value where a side does not vary."""

quick = settings(max_examples=60, deadline=None)
every_measure = pytest.mark.parametrize("name", list(measures))

# Estimate, truth, delta, counts: small whole numbers make ties and constants common, sums exact.
rows = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-3, 3), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)
distinct = st.lists(
    st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)),
    min_size=3,
    max_size=40,
    unique_by=(lambda row: row[0], lambda row: row[1]),
)


def sample(estimate, truth, delta=None) -> Sample:
    """Units whose step is a tenth of the activation for a delta of 1."""
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    delta = np.ones(len(truth)) if delta is None else np.asarray(delta, float)
    return Sample(estimate, truth, delta, np.abs(delta) / 10)


def of(name: str, estimate, truth, counts=None, delta=None) -> float:
    measured = measures[name](sample(estimate, truth, delta))
    return measured(np.ones(len(truth)) if counts is None else counts)


def answer(name: str, estimate, truth, delta=None, counts=None) -> tuple[float, str]:
    counts = np.ones(len(truth)) if counts is None else counts
    return value_or_reason(measures[name](sample(estimate, truth, delta)), counts)


def near(value: float):
    return pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


def columns(drawn) -> list[np.ndarray]:
    return [np.array(column, float) for column in zip(*drawn, strict=True)]


def test_the_room_offers_the_registry_and_not_its_package():
    room = importlib.import_module("relp_sae.faithfulness")
    assert isinstance(room.measures, Registry)
    assert set(room.measures) >= {"pearson", "spearman", "sign", "top-10-overlap"}
    assert isinstance(room.measures, Registry)  # still, now that the files are imported


# --- every measure -------------------------------------------------------------------------------


@every_measure
@quick
@given(drawn=rows)
def test_counts_are_repetitions(name, drawn):
    *scores, counts = columns(drawn)
    value, reason = answer(name, *scores, counts)
    plain, plain_reason = answer(name, *(np.repeat(one, counts.astype(int)) for one in scores))
    assert reason == plain_reason
    assert value == near(plain)


@every_measure
@quick
@given(drawn=rows, data=st.data())
def test_the_order_of_units_does_not_matter(name, drawn, data):
    shuffled = columns(data.draw(st.permutations(drawn)))
    value, reason = answer(name, *columns(drawn))
    moved, moved_reason = answer(name, *shuffled)
    assert reason == moved_reason
    assert moved == near(value)


@pytest.mark.parametrize("name", [name for name, one in measures.items() if not one.sees_size])
@quick
@given(drawn=rows, estimate_scale=st.integers(1, 99), truth_scale=st.integers(1, 99))
def test_the_size_of_the_estimate_does_not_matter(name, drawn, estimate_scale, truth_scale):
    estimate, truth, *rest = columns(drawn)
    value, reason = answer(name, estimate, truth, *rest)
    scaled, scaled_reason = answer(name, estimate_scale * estimate, truth_scale * truth, *rest)
    assert reason == scaled_reason
    assert scaled == near(value)


@pytest.mark.parametrize("name", [name for name, one in measures.items() if one.sees_size])
def test_the_size_of_the_estimate_matters(name):
    truth = np.random.default_rng(0).normal(size=50) / 20
    assert of(name, 3 * truth, truth) != pytest.approx(of(name, truth, truth), abs=1e-3)


@every_measure
@quick
@given(drawn=rows)
def test_nothing_agrees_better_than_the_truth_itself(name, drawn):
    estimate, truth, *rest = columns(drawn)
    value, _ = answer(name, estimate, truth, *rest)
    perfect, reason = answer(name, truth, truth, *rest)
    if measures[name].better == "lower":
        assert reason or np.isnan(value) or perfect <= value + 1e-9
        return
    assert reason or perfect == near(1)
    assert np.isnan(value) or measures[name].better == "nearest 1" or value <= 1
    assert np.isnan(value) or not measures[name].bounded or value >= -1


@every_measure
def test_no_units_is_a_reason_and_not_a_crash(name):
    value, reason = answer(name, np.empty(0), np.empty(0))
    assert np.isnan(value)
    assert reason


# --- pearson and spearman ------------------------------------------------------------------------


@quick
@given(drawn=distinct)
def test_correlations_equal_scipy(drawn):
    estimate, truth = columns(drawn)
    assert of("pearson", estimate, truth) == pytest.approx(pearsonr(estimate, truth)[0], abs=1e-12)
    assert of("spearman", estimate, truth) == pytest.approx(
        spearmanr(estimate, truth)[0], abs=1e-12
    )


@quick
@given(drawn=rows)
def test_spearman_equals_scipy_with_ties(drawn):
    estimate, truth, *_ = columns(drawn)
    assume(len(drawn) >= 3)
    assume(np.ptp(estimate) > 0)
    assume(np.ptp(truth) > 0)
    assert of("spearman", estimate, truth) == pytest.approx(
        spearmanr(estimate, truth)[0], abs=1e-12
    )


def test_mid_ranks_equal_scipy():
    scores = np.array([3.0, -1.0, 3.0, 0.0, 0.0, 0.0, 9.0])
    assert mid_ranks(scores)(np.ones(7)).tolist() == rankdata(scores).tolist()


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall-tau-b", "pearson-asinh"])
@quick
@given(drawn=rows)
def test_correlations_are_symmetric_and_odd(name, drawn):
    estimate, truth, *rest = columns(drawn)
    value, _ = answer(name, estimate, truth, *rest)
    assert answer(name, truth, estimate, *rest)[0] == near(value)
    assert answer(name, -estimate, truth, *rest)[0] == near(-value)


@quick
@given(drawn=distinct, slope=st.floats(0.01, 100), offset=st.integers(-1000, 1000))
def test_pearson_is_blind_to_increasing_lines(drawn, slope, offset):
    estimate, truth = columns(drawn)
    expected = of("pearson", estimate, truth)
    assert of("pearson", slope * estimate + offset, truth) == pytest.approx(expected, abs=1e-9)


@quick
@given(drawn=distinct)
def test_spearman_is_blind_to_increasing_maps(drawn):
    estimate, truth = columns(drawn)
    assert of("spearman", estimate**3 + 5, np.exp(truth / 50)) == of("spearman", estimate, truth)


def test_pearson_by_hand():
    # centred: (-1, 0, 1) and (-1, 1, 0); products 1; norms 2 and 2
    assert of("pearson", [1, 2, 3], [0, 2, 1]) == pytest.approx(0.5)


@pytest.mark.parametrize("name", CORRELATIONS)
@pytest.mark.parametrize(
    ("estimate", "truth", "reason"),
    [
        ([1, 2], [1, 2], "fewer than 3 units"),
        ([0, 0, 0, 0], [1, 2, 3, 4], "constant estimate"),
        ([1, 2, 3], [5, 5, 5], "constant truth"),
        # 0.1 is not exact: its mean over 7 is off by rounding, which is no variation
        ([0.1] * 7, [1, 2, 3, 4, 5, 6, 7], "constant estimate"),
    ],
)
def test_correlations_say_why_they_are_undefined(name, estimate, truth, reason):
    with pytest.raises(Undefined, match=reason):
        of(name, estimate, truth)


def test_a_unit_that_is_not_there_cannot_make_a_side_vary():
    with pytest.raises(Undefined, match="constant estimate"):
        of("pearson", [1, 1, 1, 9], [1, 2, 3, 4], counts=np.array([1.0, 1, 1, 0]))


# --- sign ----------------------------------------------------------------------------------------


def test_sign_by_hand():
    # threshold 1 % of 10 = 0.1: the third unit is not judged; the second is wrong
    assert of("sign", [1, 2, -9, 4], [10, -5, 0.1, 0.11]) == pytest.approx(2 / 3)


def test_a_zero_estimate_has_the_wrong_sign():
    assert of("sign", [0, 0, 2], [1, -1, 1]) == pytest.approx(1 / 3)


def test_the_sign_threshold_follows_the_units_at_hand():
    estimate, truth = [1, 1, -1], [1000, 1, 1]
    assert of("sign", estimate, truth) == 1
    assert of("sign", estimate, truth, counts=np.array([0.0, 1, 1])) == 0.5


def test_sign_of_a_truth_of_zeros_is_undefined():
    with pytest.raises(Undefined, match="every truth is zero"):
        of("sign", [1, 2, 3], [0, 0, 0])


# --- top-10 overlap ------------------------------------------------------------------------------


def test_top_overlap_by_hand():
    truth = np.arange(1.0, 16.0)  # its top 10 are units 5..14
    estimate = -truth
    assert of("top-10-overlap", estimate, truth) == 1  # by size, whatever the sign
    estimate[[0, 1, 2]] = 99  # three strangers push out units 5, 6, 7
    assert of("top-10-overlap", estimate, truth) == pytest.approx(0.7)


def test_ties_for_the_last_place_are_shared():
    truth = np.arange(20.0, 0.0, -1)  # its top 10 are units 0..9
    estimate = truth.copy()
    estimate[9:14] = 11  # five units compete for place 10; one of them deserves it
    assert of("top-10-overlap", estimate, truth) == pytest.approx(0.9 + 0.1 / 5)


def test_an_estimate_of_zeros_overlaps_by_chance():
    assert of("top-10-overlap", np.zeros(40), np.arange(40.0)) == pytest.approx(10 / 40)


def test_the_top_is_found_beyond_the_head():
    # Only the 12 smallest of 5000 units are at hand: place 10 is not among the first 500.
    scores = np.arange(5000.0, 0.0, -1)
    counts = np.zeros(5000)
    counts[-12:] = 1
    other = scores.copy()
    other[[-1, -2]] = 4000.5
    assert of("top-10-overlap", scores, scores, counts) == 1
    assert of("top-10-overlap", other, scores, counts) == pytest.approx(0.8)


def test_top_overlap_needs_more_than_ten_units():
    with pytest.raises(Undefined, match="10 units or fewer"):
        of("top-10-overlap", np.arange(10.0), np.arange(10.0))


# --- kendall -------------------------------------------------------------------------------------


@quick
@given(drawn=rows)
def test_tau_b_by_its_definition(drawn):
    estimate, truth, *_ = columns(drawn)
    assume(len(drawn) >= 3)
    assume(np.ptp(estimate) > 0)
    assume(np.ptp(truth) > 0)
    orders = [np.sign(np.subtract.outer(side, side)) for side in (estimate, truth)]
    ranked = [np.count_nonzero(order) for order in orders]
    expected = (orders[0] * orders[1]).sum() / np.sqrt(ranked[0] * ranked[1])
    assert of("kendall-tau-b", estimate, truth) == pytest.approx(expected)
    assert of("kendall-tau-b", estimate, truth) == pytest.approx(kendalltau(estimate, truth)[0])


# --- pearson without the top ---------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_without_top_is_pearson_of_the_others(k):
    generator = np.random.default_rng(k)
    truth = generator.standard_t(2, 40)
    estimate = truth + generator.normal(size=40)
    others = np.argsort(np.abs(truth))[:-k]
    expected = of("pearson", estimate[others], truth[others])
    assert of(f"pearson-without-top-{k}", estimate, truth) == pytest.approx(expected)


def test_one_giant_makes_pearson_and_nothing_is_left_without_it():
    generator = np.random.default_rng(0)
    truth, estimate = generator.normal(size=(2, 200))
    truth[7] = estimate[7] = 500
    assert of("pearson", estimate, truth) > 0.99
    assert abs(of("pearson-without-top-1", estimate, truth)) < 0.3


def test_units_tied_for_the_top_leave_in_equal_shares():
    estimate, truth = np.array([4.0, 0, 1, 2, 3]), np.array([5.0, -5, 1, 2, 3])
    weights = np.array([0.5, 0.5, 1, 1, 1])
    x, y = (side - (weights * side).sum() / 4 for side in (estimate, truth))
    expected = (weights * x * y).sum() / np.sqrt((weights * x * x).sum() * (weights * y * y).sum())
    assert of("pearson-without-top-1", estimate, truth) == pytest.approx(expected)


def test_without_top_needs_three_others():
    with pytest.raises(Undefined, match="fewer than 3 units beside the top 5"):
        of("pearson-without-top-5", np.arange(7.0), np.arange(7.0))


# --- cost of verified recall ---------------------------------------------------------------------


def test_a_perfect_order_costs_nine_patches():
    truth = np.arange(1.0, 31.0)
    assert of("verified-recall-cost", -truth, truth) == 9


def test_every_stranger_among_the_first_costs_a_patch():
    truth = np.arange(30.0, 0.0, -1)  # its top 10 are units 0..9
    estimate = truth.copy()
    estimate[[20, 21, 22]] = 99, 98, 97
    assert of("verified-recall-cost", estimate, truth) == 12
    estimate[8] = 0.5  # the ninth of the top comes last: the tenth must be found instead
    assert of("verified-recall-cost", estimate, truth) == 3 + 9
    estimate[9] = 0.25  # and now it is needed; it is the last but one
    assert of("verified-recall-cost", estimate, truth) == 29


def test_an_estimate_of_zeros_costs_nine_tenths_of_all():
    assert of("verified-recall-cost", np.zeros(40), np.arange(40.0)) == pytest.approx(36)


def test_the_others_say_that_every_truth_is_zero():
    for name in ("top-10-overlap", "verified-recall-cost"):
        with pytest.raises(Undefined, match="every truth is zero"):
            of(name, np.arange(12.0), np.zeros(12))
