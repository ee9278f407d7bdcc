"""The crossed bootstrap against plain resampling, and the fast way against the slow one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.faithfulness import Sample, measures
from relp_sae.faithfulness.agreement import pair_values
from relp_sae.faithfulness.alignment import align
from relp_sae.faithfulness.crossed import crossed_interval, draw_features, feature_index
from relp_sae.faithfulness.measures import value_or_reason
from relp_sae.faithfulness.moments import OfMoments
from relp_sae.faithfulness.resampling import draw_pairs, resample
from relp_sae.records import WHOLE_NODE

pearson = measures["pearson"]


def test_every_resample_has_as_many_features_as_the_data():
    draws = draw_features(40, 300, seed=0)
    assert draws.shape == (300, 40)
    assert (draws.sum(axis=1) == 40).all()
    # 4 standard errors of 300 binomials(40, 1/40)
    assert np.abs(draws.mean(axis=0) - 1).max() < 4 * np.sqrt(39 / 40 / 300)
    assert np.array_equal(draws, draw_features(40, 300, seed=0))
    assert not np.array_equal(draws, draw_features(40, 300, seed=1))


def test_a_feature_is_the_same_one_in_every_pair_and_position(study):
    units = replace(study["relp"].units, pos=np.arange(222))
    index = feature_index(units)
    assert len(np.unique(index)) == 50  # the largest pair has features 0 to 49
    for feature in (0, 7, 49):
        assert len(np.unique(index[units.feature == feature])) == 1


def test_a_whole_node_is_its_site_and_position(study):
    units = replace(
        study["relp"].units,
        feature=np.full(222, WHOLE_NODE),
        pos=np.arange(222) % 3,
        site=np.where(np.arange(222) % 2 == 1, "resid_pre.1", "mlp_out.1"),
    )
    assert len(np.unique(feature_index(units))) == 6


@pytest.mark.parametrize("name", ["pearson", "spearman", "top-10-overlap"])
def test_it_is_plain_resampling_of_pairs_and_features(study, name):
    measure, draws = measures[name], draw_pairs(8, 100, seed=3)
    first, second = (align(study[label], study["denoise"]) for label in ("relp", "gradient"))
    values = [pair_values(measure, side)[0] for side in (first, second)]
    found = crossed_interval(measure, first, second, values[0] - values[1], draws, seed=3)
    index = np.split(feature_index(first.units), np.cumsum(first.features)[:-1])

    def one(sample: Sample, times: np.ndarray) -> float:
        rows = np.repeat(np.arange(len(times)), times)
        again = sample.chosen(rows)
        return value_or_reason(measure(again), np.ones(len(rows)))[0]

    def mean(pair_times: np.ndarray, times: np.ndarray) -> float:
        differences = [
            one(mine, times[at]) - one(other, times[at])
            for mine, other, at in zip(first.by_pair(), second.by_pair(), index, strict=True)
        ]
        return float(np.nanmean(np.repeat(differences, pair_times)))

    features = draw_features(50, 100, seed=3)
    expected = [mean(*drawn) for drawn in zip(draws, features, strict=True)]
    assert found.value == pytest.approx(np.nanmean(values[0] - values[1]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])))


def test_new_features_make_the_interval_wider(study):
    draws = draw_pairs(8, 1000, seed=0)
    first, second = (align(study[label], study["denoise"]) for label in ("relp-ah", "gradient"))
    differences = pair_values(pearson, first)[0] - pair_values(pearson, second)[0]
    crossed = crossed_interval(pearson, first, second, differences, draws, seed=0)
    ends = np.percentile(draws @ differences / 8, [2.5, 97.5])
    assert crossed.high - crossed.low > ends[1] - ends[0]


def test_pairs_without_a_value_stay_out(record):
    truth = record("denoise", [[1, 2, 3, 5], [1, 2, 3, 4], [3, 1, 2, 9]], kind="truth")
    relp = align(record("relp", [[1, 2, 4, 3], [5, 5, 5, 5], [1, 2, 3, 5]]), truth)
    gradient = align(record("gradient", [[3, 2, 1, 1], [1, 2, 3, 4], [3, 1, 2, 1]]), truth)
    differences = pair_values(pearson, relp)[0] - pair_values(pearson, gradient)[0]
    found = crossed_interval(pearson, relp, gradient, differences, draw_pairs(3, 200, 0), seed=0)
    assert found.value == pytest.approx(np.nanmean(differences))
    assert "of 400 resampled pairs left out: " in found.note
    assert "fewer than 3 units" not in found.note


def test_one_pair_has_no_interval(record):
    truth = record("denoise", [[1, 2, 3, 5]], kind="truth")
    first, second = (align(record(n, [[1, 2, k, 3]]), truth) for n, k in (("a", 3), ("b", 9)))
    differences = pair_values(pearson, first)[0] - pair_values(pearson, second)[0]
    found = crossed_interval(pearson, first, second, differences, draw_pairs(1, 100, 0), seed=0)
    assert np.isfinite(found.value)
    assert np.isnan([found.low, found.high]).all()
    assert "only one usable pair" in found.note


# --- many resamples at once ----------------------------------------------------------------------

fast = [
    name for name, one in measures.items() if isinstance(one(Sample(*np.ones((4, 5)))), OfMoments)
]

rows = st.lists(
    st.tuples(
        st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-2, 0, 1]), st.integers(0, 5)
    ),
    min_size=1,
    max_size=30,
)


def test_all_measures_made_of_moments_are_fast():
    assert len(fast) == 6


@pytest.mark.parametrize("name", fast)
@settings(max_examples=60, deadline=None)
@given(drawn=rows, seed=st.integers(0, 99))
def test_many_resamples_at_once_are_each_of_them(name, drawn, seed):
    estimate, truth, delta, group = (np.array(column) for column in zip(*drawn, strict=True))
    sample = Sample(estimate / 7, truth + 1000.0, delta * 1.0, np.abs(delta) / 10)
    measured, draws = measures[name](sample), draw_pairs(6, 100, seed)
    values, reasons = resample(measured, draws, group)
    for times, value, reason in zip(draws, values, reasons, strict=True):
        one, why = value_or_reason(measured, times[group].astype(float))
        assert str(reason) == why
        assert value == pytest.approx(one, rel=1e-7, abs=1e-9, nan_ok=True)
