"""Each measure against scipy and by hand, and what every registered measure must satisfy."""

import importlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from relp_sae.faithfulness import Undefined, measures
from relp_sae.faithfulness.agreement import value_or_reason
from relp_sae.faithfulness.measures.spearman import mid_ranks
from relp_sae.registry import Registry

quick = settings(max_examples=60, deadline=None)
every_measure = pytest.mark.parametrize("name", list(measures))

# Small whole numbers make ties and constants common, and sums exact.
rows = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 3)), min_size=1, max_size=40
)
distinct = st.lists(
    st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)),
    min_size=3,
    max_size=40,
    unique_by=(lambda row: row[0], lambda row: row[1]),
)


def of(name: str, estimate, truth, counts=None) -> float:
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    return measures[name](estimate, truth)(np.ones(len(truth)) if counts is None else counts)


def answer(name: str, estimate, truth, counts=None) -> tuple[float, str]:
    counts = np.ones(len(truth)) if counts is None else counts
    return value_or_reason(measures[name](estimate, truth), counts)


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
    estimate, truth, counts = columns(drawn)
    repeats = counts.astype(int)
    value, reason = answer(name, estimate, truth, counts)
    plain, plain_reason = answer(name, np.repeat(estimate, repeats), np.repeat(truth, repeats))
    assert reason == plain_reason
    assert value == pytest.approx(plain, abs=1e-12, nan_ok=True)


@every_measure
@quick
@given(drawn=rows, data=st.data())
def test_the_order_of_units_does_not_matter(name, drawn, data):
    estimate, truth, counts = columns(drawn)
    order = np.array(data.draw(st.permutations(range(len(drawn)))))
    value, reason = answer(name, estimate, truth, counts)
    moved, moved_reason = answer(name, estimate[order], truth[order], counts[order])
    assert reason == moved_reason
    assert moved == pytest.approx(value, abs=1e-12, nan_ok=True)


@every_measure
@quick
@given(drawn=rows, estimate_scale=st.integers(1, 99), truth_scale=st.integers(1, 99))
def test_the_unit_of_the_metric_does_not_matter(name, drawn, estimate_scale, truth_scale):
    estimate, truth, counts = columns(drawn)
    value, reason = answer(name, estimate, truth, counts)
    scaled, scaled_reason = answer(name, estimate_scale * estimate, truth_scale * truth, counts)
    assert reason == scaled_reason
    assert scaled == pytest.approx(value, abs=1e-12, nan_ok=True)


@every_measure
@quick
@given(drawn=rows)
def test_nothing_agrees_better_than_the_truth_itself(name, drawn):
    estimate, truth, counts = columns(drawn)
    value, _ = answer(name, estimate, truth, counts)
    perfect, reason = answer(name, truth, truth, counts)
    assert reason or perfect == pytest.approx(1, abs=1e-12)
    assert np.isnan(value) or -1 <= value <= 1


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
    estimate, truth, _ = columns(drawn)
    assume(len(drawn) >= 3)
    assume(np.ptp(estimate) > 0)
    assume(np.ptp(truth) > 0)
    assert of("spearman", estimate, truth) == pytest.approx(
        spearmanr(estimate, truth)[0], abs=1e-12
    )


def test_mid_ranks_equal_scipy():
    scores = np.array([3.0, -1.0, 3.0, 0.0, 0.0, 0.0, 9.0])
    assert mid_ranks(scores)(np.ones(7)).tolist() == rankdata(scores).tolist()


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@quick
@given(drawn=rows)
def test_correlations_are_symmetric_and_odd(name, drawn):
    estimate, truth, counts = columns(drawn)
    value, _ = answer(name, estimate, truth, counts)
    assert answer(name, truth, estimate, counts)[0] == pytest.approx(value, abs=1e-12, nan_ok=True)
    assert answer(name, -estimate, truth, counts)[0] == pytest.approx(
        -value, abs=1e-12, nan_ok=True
    )


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


@pytest.mark.parametrize("name", ["pearson", "spearman"])
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
