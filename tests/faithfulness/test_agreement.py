"""compare: which units count, how they are summarised, and what is said where nothing can be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from relp_sae.errors import InputError
from relp_sae.faithfulness import Measure, Sample, compare, measures
from relp_sae.faithfulness.agreement import TOO_COSTLY, pooled_interval
from relp_sae.faithfulness.alignment import align
from relp_sae.faithfulness.measures import value_or_reason
from relp_sae.faithfulness.resampling import draw_pairs
from relp_sae.records import Agreement, FeatureScores, Units


def by_measure(agreements: list[Agreement]) -> dict[str, Agreement]:
    return {one.measure: one for one in agreements}


def reordered(scores: FeatureScores, rows) -> FeatureScores:
    return scores.chosen(np.array(rows))


def with_error_units(scores: FeatureScores, pairs: list[int], score: float) -> FeatureScores:
    """One error unit more for each of ``pairs``."""
    units, n = scores.units, len(pairs)
    more = Units(
        pair=np.append(units.pair, pairs),
        site=np.append(units.site, ["resid_pre.2"] * n),
        pos=np.append(units.pos, [7] * n),
        feature=np.append(units.feature, [-1] * n),
        delta=np.append(units.delta, [1.0] * n),
        relative_step=np.append(units.relative_step, [0.1] * n),
    )
    longer = np.append(scores.score, [score] * n)
    return replace(scores, units=more, score=longer, stderr=np.zeros(len(longer)))


# --- values --------------------------------------------------------------------------------------


def test_every_measure_is_reported_with_its_names(study):
    agreements = compare(study["relp"], study["denoise"], bootstrap=100)
    assert [one.measure for one in agreements] == list(measures)
    assert {(one.estimate, one.base, one.truth) for one in agreements} == {
        ("relp", "corrupted", "denoise")
    }


@pytest.mark.parametrize(("name", "scipy_s"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_values_equal_scipy(study, name, scipy_s):
    estimate, truth = study["relp"], study["denoise"]
    agreement = by_measure(compare(estimate, truth, bootstrap=100))[name]
    pairs = [truth.units.pair == pair for pair in range(8)]
    expected = [scipy_s(estimate.score[pair], truth.score[pair])[0] for pair in pairs]
    assert agreement.per_pair == pytest.approx(expected)
    assert agreement.mean.value == pytest.approx(np.mean(expected))
    assert agreement.pooled.value == pytest.approx(scipy_s(estimate.score, truth.score)[0])


def test_a_new_measure_joins_by_being_registered(study, monkeypatch):
    count = Measure(lambda _sample: lambda counts: float(counts.sum()), "count")
    monkeypatch.setitem(measures._entries, "count", count)
    agreement = by_measure(compare(study["relp"], study["denoise"], bootstrap=100))["count"]
    assert agreement.per_pair == (12, 40, 25, 33, 18, 50, 15, 29)


# --- the bootstrap -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, one in measures.items() if not one.costly])
def test_the_pooled_bootstrap_is_plain_resampling(study, name):
    rounded = replace(study["relp"], score=np.round(study["relp"].score))  # with ties
    aligned = align(rounded, study["denoise"])
    draws = draw_pairs(8, 100, seed=3)
    pairs = list(aligned.by_pair())

    def plain(drawn: np.ndarray) -> float:
        chosen = [pair for pair, times in zip(pairs, drawn, strict=True) for _ in range(times)]
        sides = ("estimate", "truth", "delta", "relative_step")
        together = Sample(*(np.concatenate([getattr(one, s) for one in chosen]) for s in sides))
        value, _ = value_or_reason(measures[name](together), np.ones(len(together.truth)))
        return value

    expected = np.percentile([plain(drawn) for drawn in draws], [2.5, 97.5])
    pooled = pooled_interval(measures[name], aligned, draws)
    assert (pooled.low, pooled.high) == pytest.approx(tuple(expected), abs=1e-10)
    assert pooled.low < pooled.value < pooled.high


@pytest.mark.parametrize("name", [name for name, one in measures.items() if one.costly])
def test_costly_measures_have_a_pooled_value_and_say_that_it_has_no_interval(study, name):
    agreement = by_measure(compare(study["relp"], study["denoise"], bootstrap=100))[name]
    assert np.isfinite([agreement.pooled.value, agreement.mean.low, agreement.mean.high]).all()
    assert np.isnan([agreement.pooled.low, agreement.pooled.high]).all()
    assert agreement.pooled.note == TOO_COSTLY


def test_the_same_seed_gives_the_same_interval(study):
    first, again, other = (
        repr(compare(study["relp"], study["denoise"], bootstrap=100, seed=seed))  # NaN != NaN
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_one_pair_has_values_but_no_intervals(record):
    truth = record("denoise", [np.arange(14.0)], kind="truth")
    estimate = record("relp", [np.arange(14.0) ** 2])
    for agreement in compare(estimate, truth, bootstrap=100):
        for interval in (agreement.mean, agreement.pooled):
            assert np.isfinite(interval.value)
            assert np.isnan([interval.low, interval.high]).all()
            assert interval.note in ("no interval: only one usable pair", TOO_COSTLY)


def test_too_few_resamples_are_refused(study):
    with pytest.raises(InputError, match="at least 100 resamples, got 10"):
        compare(study["relp"], study["denoise"], bootstrap=10)


# --- undefined values ----------------------------------------------------------------------------


def test_undefined_pairs_are_left_out_and_counted(record):
    truth = record("denoise", [[1, 2, 3], [4, 4, 4], [1, 2], [3, 1, 2]], kind="truth")
    estimate = record("relp", [[1, 2, 3], [1, 2, 3], [1, 2], [3, 2, 1]])
    pearson = by_measure(compare(estimate, truth, bootstrap=100))["pearson"]
    assert pearson.per_pair == pytest.approx((1, np.nan, np.nan, 0.5), nan_ok=True)
    assert pearson.mean.value == pytest.approx(0.75)
    assert (pearson.mean.low, pearson.mean.high) == pytest.approx((0.5, 1))
    assert pearson.mean.note == (
        "2 of 4 pairs left out: constant truth (1), fewer than 3 units (1)"
    )


def test_undefined_resamples_are_left_out_and_counted(record):
    # A resample that draws the second pair twice, one in four, has a constant truth.
    truth = record("denoise", [[1, 2, 3], [4, 4, 4]], kind="truth")
    estimate = record("relp", [[1, 2, 3], [1, 2, 3]])
    pooled = by_measure(compare(estimate, truth, bootstrap=100, seed=0))["pearson"].pooled
    constant = np.count_nonzero(draw_pairs(2, 100, seed=0)[:, 1] == 2)
    assert constant > 0
    assert pooled.note == f"{constant} of 100 resamples left out: constant truth ({constant})"
    assert np.isfinite([pooled.low, pooled.high]).all()


def test_a_truth_of_zeros_is_undefined_throughout(record):
    truth = record("denoise", [np.zeros(12)] * 3, kind="truth")
    estimate = record("relp", [np.arange(12.0)] * 3)
    for agreement in compare(estimate, truth, bootstrap=100):
        pattern = agreement.measure in ("sign", "top-10-overlap", "verified-recall-cost")
        reason = "every truth is zero" if pattern else "constant truth"
        if "top-10" in agreement.measure and "without" in agreement.measure:
            reason = "fewer than 3 units beside the top 10"  # there are 12
            assert agreement.pooled.note == "constant truth"
            continue
        assert np.isnan(agreement.per_pair).all()
        assert np.isnan([agreement.mean.value, agreement.mean.low, agreement.pooled.value]).all()
        assert agreement.mean.note == f"3 of 3 pairs left out: {reason} (3)"
        assert agreement.pooled.note == reason


# --- which units ---------------------------------------------------------------------------------


def test_units_in_another_order_are_aligned(study):
    shuffled = reordered(study["relp"], np.random.default_rng(5).permutation(222))
    expected = compare(study["relp"], study["denoise"], bootstrap=100)
    assert repr(compare(shuffled, study["denoise"], bootstrap=100)) == repr(expected)


def test_error_units_do_not_count(study):
    estimate = with_error_units(study["relp"], [0, 3], score=np.nan)
    truth = with_error_units(study["denoise"], [5], score=1e9)
    expected = compare(study["relp"], study["denoise"], bootstrap=100)
    assert repr(compare(estimate, truth, bootstrap=100)) == repr(expected)


def test_a_pair_of_error_units_alone_is_shown_as_left_out(study):
    truth = with_error_units(study["denoise"], [8], score=1.0)
    pearson = by_measure(compare(study["relp"], truth, bootstrap=100))["pearson"]
    assert len(pearson.per_pair) == 9
    assert pearson.mean.note == "1 of 9 pairs left out: fewer than 3 units (1)"


def test_other_units_are_refused_and_counted(study):
    fewer = reordered(study["relp"], np.arange(3, 222))
    more_truth = reordered(study["denoise"], np.arange(0, 221))
    with pytest.raises(InputError, match=r"3 of 'denoise' are missing in 'relp@corrupted', and 1"):
        compare(fewer, more_truth)


@pytest.mark.parametrize("field", ["pair", "site", "pos", "feature"])
def test_units_must_match_in_every_field(study, field):
    units = study["relp"].units
    changed = getattr(units, field).copy()
    changed[-1] = "resid_pre.9" if field == "site" else 99
    estimate = replace(study["relp"], units=replace(units, **{field: changed}))
    with pytest.raises(InputError, match=r"1 of 'denoise' are missing .*, and 1 of"):
        compare(estimate, study["denoise"])


def test_a_unit_listed_twice_is_refused(study):
    twice = reordered(study["relp"], [*range(222), 0])
    with pytest.raises(InputError, match=r"lists 1 units more than once .*pair 0, resid_pre.2"):
        compare(twice, study["denoise"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e150])
@pytest.mark.parametrize("side", ["relp", "denoise"])
def test_scores_that_are_not_finite_are_refused(study, bad, side):
    score = study[side].score.copy()
    score[1] = bad
    broken = study | {side: replace(study[side], score=score)}
    named = rf"'{broken[side].label}' has 1 of 222 .* pair 0, resid_pre.2, position 7, feature 1\)"
    with pytest.raises(InputError, match=named):
        compare(broken["relp"], broken["denoise"])


def test_no_features_at_all_are_refused(record):
    with pytest.raises(InputError, match="scores no SAE feature"):
        compare(record("relp", [[]]), record("denoise", [[]], kind="truth"))
