"""The bootstrap over pairs: what is drawn, and whether its interval holds what it promises."""

import numpy as np
import pytest

from relp_sae.faithfulness.resampling import draw_pairs, left_out, mean_interval


def test_every_resample_has_as_many_pairs_as_the_data():
    draws = draw_pairs(7, 500, seed=0)
    assert draws.shape == (500, 7)
    assert (draws.sum(axis=1) == 7).all()
    # Each pair is drawn once on average; 4 standard errors of 500 binomials(7, 1/7)
    assert np.abs(draws.mean(axis=0) - 1).max() < 4 * np.sqrt(6 / 7 / 500)


def test_the_interval_is_that_of_resampled_means():
    values = np.array([0.1, 0.9, np.nan, 0.4])
    draws = draw_pairs(4, 300, seed=1)
    plain = [np.nanmean(np.repeat(values, drawn)) for drawn in draws if drawn[[0, 1, 3]].any()]
    interval = mean_interval(values, draws, "why")
    assert interval.value == pytest.approx(1.4 / 3)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(plain, [2.5, 97.5])))
    assert interval.note == "why"


def test_one_usable_pair_has_no_interval():
    interval = mean_interval(np.array([0.3, np.nan]), draw_pairs(2, 100, seed=0), "why")
    assert interval.value == 0.3
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.note == "why; no interval: only one usable pair"


def test_the_interval_covers_the_true_mean():
    generator = np.random.default_rng(0)
    studies = 300
    covered = 0
    for seed in range(studies):
        interval = mean_interval(generator.normal(0.5, 0.2, 30), draw_pairs(30, 400, seed), "")
        covered += interval.low <= 0.5 <= interval.high
    # Nominal 95 %; the percentile interval of 30 values really covers about 93 %.
    assert 0.89 <= covered / studies <= 0.97


def test_reasons_are_counted_the_most_common_first():
    assert left_out(["", "b", "a", "", "a"], of="pairs") == "3 of 5 pairs left out: a (2), b (1)"
    assert left_out(["", ""], of="pairs") == ""
