"""The regime map against scipy, level by level."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, pearsonr

from relp_sae.errors import InputError
from relp_sae.faithfulness import regime_points


@pytest.fixture
def by_step(study):
    """The study with steps of two sizes in turn; estimates fail where the step is large."""
    units = study["denoise"].units
    step = np.where(np.arange(len(units)) % 2, 0.03, 0.3)
    return {
        name: replace(one, units=replace(units, relative_step=step)) for name, one in study.items()
    }


def scores(study):
    return [study["denoise"], study["gradient"], study["relp"]]


def expected(estimate, truth, rows):
    """Mean over pairs of Pearson and of the slope of the estimate on the truth."""
    pairs = np.unique(truth.units.pair[rows])
    chosen = [rows & (truth.units.pair == pair) for pair in pairs]
    r = [pearsonr(estimate.score[one], truth.score[one])[0] for one in chosen]
    slope = [linregress(truth.score[one], estimate.score[one])[0] for one in chosen]
    return np.mean(r), np.mean(slope)


def test_relative_steps(by_step):
    points = regime_points(scores(by_step), None, None, bootstrap=100)
    assert {(one.regime, one.level) for one in points} == {
        ("relative step", "0.02 to 0.05"),
        ("relative step", "0.2 to 0.5"),
    }
    truth = by_step["denoise"]
    for one in points:
        low = one.level.startswith("0.02")
        rows = (truth.units.relative_step < 0.1) == low
        r, slope = expected(by_step[one.estimate], truth, rows)
        assert one.pearson.value == pytest.approx(r)
        assert one.slope.value == pytest.approx(slope)
        assert one.pearson.low < one.pearson.value < one.pearson.high
        assert one.units == rows.sum()
        assert (0.02 < one.at < 0.05) == low


def test_sites(by_step):
    units = by_step["denoise"].units
    site = np.where(np.arange(len(units)) % 3 == 0, "resid_pre.10", "resid_pre.2")
    moved = [replace(one, units=replace(units, site=site)) for one in scores(by_step)]
    points = [
        one for one in regime_points(moved, None, None, bootstrap=100) if one.regime == "site"
    ]
    assert [one.level for one in points[:2]] == ["resid_pre.2", "resid_pre.10"]  # by depth
    assert [one.at for one in points[:2]] == [2, 10]
    for one in points:
        r, _ = expected(by_step[one.estimate], by_step["denoise"], site == one.level)
        assert one.pearson.value == pytest.approx(r)


def sweep_of(truth, scales, bend):
    """The effect of t steps is t * effect, bent by its square."""
    units = truth.units
    frames = [
        pd.DataFrame(
            {"pair": units.pair, "site": units.site, "pos": units.pos, "feature": units.feature}
            | {"scale": t, "effect": t * truth.score + bend * (t * truth.score) ** 2}
        )
        for t in scales
    ]
    return pd.concat(frames, ignore_index=True)


def test_the_scale_sweep_predicts_t_times_the_score(study):
    truth = study["denoise"]
    exact = replace(study["relp"], score=truth.score.copy())
    points = regime_points([truth, exact], sweep_of(truth, (0.1, 4.0), 0.1), None, bootstrap=100)
    small, large = (one for one in points if one.regime == "scale")
    assert (small.level, small.at, large.level, large.at) == ("0.1", 0.1, "4", 4.0)
    assert small.pearson.value > 0.99 > large.pearson.value
    assert abs(small.slope.value - 1) < abs(large.slope.value - 1)
    assert small.truth == "denoise"


def test_a_sweep_of_other_units_is_refused(study):
    sweep = sweep_of(study["denoise"], (1.0,), 0.0)
    with pytest.raises(InputError, match="not about the same units"):
        regime_points(scores(study), sweep.iloc[1:], None, bootstrap=100)


def test_sets(study):
    """Sets of 4 are judged within pairs; the one set of all units over pairs."""
    draw, rows = np.random.default_rng(0), []
    for pair in range(8):
        for size, count in ((4, 10), (0, 1)):
            for one in range(count):
                effect = draw.normal() + pair
                rows.append(
                    {"pair": pair, "site": "resid_pre.2", "size": size, "set": one}
                    | {"effect": effect, "estimate": "relp@corrupted"}
                    | {"predicted": 2 * effect + 0.1 * draw.normal()}
                )
    sets = pd.DataFrame(rows)
    points = [
        one
        for one in regime_points(scores(study), None, sets, bootstrap=100)
        if one.regime == "set size"
    ]
    four, everything = points
    assert (four.level, four.estimate, everything.level) == ("4", "relp", "all")
    assert everything.at > four.at
    within = sets[sets["size"] == 4]
    r = [pearsonr(p["predicted"], p["effect"])[0] for _, p in within.groupby("pair")]
    assert four.pearson.value == pytest.approx(np.mean(r))
    assert four.slope.value == pytest.approx(2, abs=0.2)
    once = sets[sets["size"] == 0]
    assert everything.pearson.value == pytest.approx(pearsonr(once["predicted"], once["effect"])[0])
    assert everything.units == 8


def test_too_few_units_and_constant_sides_have_a_reason(study):
    truth = replace(study["denoise"], score=np.ones(len(study["denoise"].units)))
    for one in regime_points([truth, study["relp"]], None, None, bootstrap=100):
        assert np.isnan(one.pearson.value)
        assert "8 of 8 pairs have fewer than 3 units or a constant side" in one.pearson.note
