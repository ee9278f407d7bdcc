"""Ceilings: by hand where that can be done, and where the right answer is known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.faithfulness import ceilings
from relp_sae.records import FeatureScores


def noisy(truth: FeatureScores, stderr) -> FeatureScores:
    return replace(truth, stderr=np.broadcast_to(np.asarray(stderr, float), truth.score.shape))


# --- sampling ------------------------------------------------------------------------------------


def test_an_exact_truth_has_a_sampling_ceiling_of_one(study):
    [found] = ceilings(list(study.values()), bootstrap=100)
    assert (found.sampling.value, found.sampling.low, found.sampling.high) == (1, 1, 1)
    assert found.sampling.note == ""


def test_sampling_by_hand(record):
    truth = record("shapley", [[1, 2, 3], [0, 0, 6]], kind="truth", base="both")
    [found] = ceilings([noisy(truth, [0.5, 0.5, 0.5, 1, 2, 1])], bootstrap=100)
    # variances 2/3 and 8; mean squared errors 1/4 and 2
    expected = (np.sqrt(1 - 0.25 / (2 / 3)), np.sqrt(1 - 2 / 8))
    assert found.sampling.value == pytest.approx(np.mean(expected))
    assert (found.sampling.low, found.sampling.high) == pytest.approx(expected)


def test_sampling_is_how_well_the_real_effects_correlate_with_the_noisy_ones(record):
    generator = np.random.default_rng(0)
    real = [generator.normal(size=400) for _ in range(40)]
    measured = record("shapley", [one + 0.5 * generator.normal(size=400) for one in real], "truth")
    [found] = ceilings([noisy(measured, 0.5)], bootstrap=200)
    pairs = np.split(measured.score, 40)
    reached = np.mean([np.corrcoef(*both)[0, 1] for both in zip(real, pairs, strict=True)])
    assert found.sampling.value == pytest.approx(reached, abs=0.005)


def test_more_noise_than_variation_is_named(record):
    truth = record("shapley", [[1, 2, 3], [1, 2, 3], [5, 5, 5], [1, 2]], kind="truth", base="both")
    [found] = ceilings([noisy(truth, [9, 9, 9, *[0] * 8])], bootstrap=100)
    assert found.sampling.value == 1
    assert found.sampling.note.startswith("3 of 4 pairs left out: ")
    for reason in ("more noise than variation", "constant truth", "fewer than 3 units"):
        assert f"{reason} (1)" in found.sampling.note


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_a_bad_standard_error_is_refused(study, bad):
    with pytest.raises(InputError, match="'denoise' has a standard error that is NaN, infinite or"):
        ceilings([noisy(study["denoise"], [bad] * 222)], bootstrap=100)


# --- split half ----------------------------------------------------------------------------------


def test_effects_that_repeat_exactly_have_a_ceiling_of_one(record):
    [found] = ceilings([record("denoise", [[1, 5, 2, 8]] * 6, kind="truth")], bootstrap=100)
    assert found.split_half.value == pytest.approx(1)
    assert found.split_half.low > 0.999
    assert found.split_half.note == ""


def test_two_pairs_by_hand(record):
    # One split there is: r = 0.5 between the pairs, 2r / (1 + r) = 2/3.
    [found] = ceilings([record("denoise", [[1, 2, 3], [0, 2, 1]], kind="truth")], bootstrap=100)
    assert found.split_half.value == pytest.approx(np.sqrt(2 / 3))
    assert np.isnan([found.split_half.low, found.split_half.high]).all()
    assert found.split_half.note == "no interval: too few pairs to leave one out"


def test_positions_of_a_feature_are_averaged_and_absent_features_are_not_compared(record):
    truth = record("denoise", [[1, 2, 3, 7, 50], [0, 2, 1, 3]], kind="truth")
    # The fourth unit is the third feature at another position; the fifth feature is in one pair.
    feature = np.array([0, 1, 2, 2, 4, 0, 1, 2, 2])
    pos = np.array([7, 7, 7, 8, 7, 7, 7, 7, 8])
    truth = replace(truth, units=replace(truth.units, feature=feature, pos=pos))
    [found] = ceilings([truth], bootstrap=100)
    r = np.corrcoef([1, 2, 5], [0, 2, 2])[0, 1]
    assert found.split_half.value == pytest.approx(np.sqrt(2 * r / (1 + r)))


def repeating(generator, pairs: int, features: int, noise: float) -> list[np.ndarray]:
    """Each feature has its own effect, and another one beside it in each pair."""
    own = generator.normal(size=features)
    return [own + noise * generator.normal(size=features) for _ in range(pairs)]


def test_split_half_finds_the_reliability_that_was_put_in(record):
    generator = np.random.default_rng(0)
    truth = record("denoise", repeating(generator, 16, 4000, noise=4.0), kind="truth")
    [found] = ceilings([truth], bootstrap=100)
    # The mean of 16 pairs has variance 1 + 16 / 16: half of it repeats.
    assert found.split_half.value == pytest.approx(np.sqrt(1 / 2), abs=0.03)


def test_the_interval_holds_the_real_ceiling(record):
    generator = np.random.default_rng(1)
    studies, covered = 60, 0
    for _ in range(studies):
        truth = record("denoise", repeating(generator, 8, 60, noise=2.0), kind="truth")
        [found] = ceilings([truth], bootstrap=100)
        covered += found.split_half.low <= np.sqrt(1 / (1 + 4 / 8)) <= found.split_half.high
    # Features are drawn anew here while the interval is about pairs alone: somewhat below 95 %.
    assert covered / studies >= 0.8


@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        ([[1, 2, 3]], "fewer than 2 pairs"),
        ([[1, 2], [3, 4]], "no two halves of the pairs share 3 features with effects that vary"),
        ([[5, 5, 5]] * 4, "no two halves of the pairs share 3 features with effects that vary"),
        ([[1, 2, 3], [3, 2, 1]], "negative reliability: two halves of the pairs correlate -1.00"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(record, effects, reason):
    [found] = ceilings([record("denoise", effects, kind="truth")], bootstrap=100)
    values = (found.split_half.value, found.split_half.low, found.split_half.high)
    assert np.isnan(values).all()
    assert found.split_half.note == reason


def test_every_truth_has_one_and_estimates_have_none(study):
    noise = replace(study["denoise"], name="noise", base="clean")
    found = ceilings([*study.values(), noise], bootstrap=100)
    assert [one.truth for one in found] == ["denoise", "noise"]
    assert ceilings([study["relp"]], bootstrap=100) == []


def test_the_order_of_units_does_not_matter(study):
    truth = noisy(study["denoise"], np.arange(222) / 1000)
    shuffled = truth.chosen(np.random.default_rng(0).permutation(222))
    assert ceilings([truth], bootstrap=100) == ceilings([shuffled], bootstrap=100)
