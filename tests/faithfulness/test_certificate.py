"""The certificate: what is chosen, what the interval covers, and that the recall bound holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.errors import InputError
from relp_sae.faithfulness import certificate, plan
from relp_sae.faithfulness.certificate import inclusion
from relp_sae.records import ERROR_UNIT, FeatureScores, Units


def scores_of(score, step=None) -> FeatureScores:
    """One pair with a feature per score."""
    score = np.asarray(score, np.float64)
    n = len(score)
    step = np.full(n, 0.1) if step is None else step
    units = Units(
        np.zeros(n, np.int64),
        np.full(n, "resid_pre.2"),
        np.full(n, 7),
        np.arange(n),
        np.ones(n),
        step,
    )
    return FeatureScores("estimate", "relp", "corrupted", units, score, np.zeros(n))


def truth_with_steps(seed: int, n: int = 1500):
    """Heavy-tailed steps; what the estimate misses is curvature, which grows with the step."""
    generator = np.random.default_rng(seed)
    step = generator.lognormal(-3, 0.8, n)
    score = step * generator.standard_t(3, n)
    effect = score + 3 * step**2 * generator.standard_t(3, n)
    return scores_of(score, step), effect


@pytest.mark.parametrize(("budget", "top"), [(40, 20), (41, 21)])
def test_half_of_the_budget_goes_to_the_largest_scores(budget, top):
    estimate = scores_of(np.random.default_rng(0).normal(size=300))
    chosen = plan(estimate, budget, seed=1)
    largest = np.argsort(-np.abs(estimate.score))[:top]
    assert set(chosen.rows[:top]) == set(largest)
    assert (chosen.chance[:top] == 1).all()
    assert len(set(chosen.rows)) == budget == len(chosen.chance)


def test_the_choice_follows_the_seed():
    estimate = scores_of(np.random.default_rng(0).normal(size=300))
    assert plan(estimate, 40, 1).rows.tolist() == plan(estimate, 40, 1).rows.tolist()
    assert plan(estimate, 40, 1).rows.tolist() != plan(estimate, 40, 2).rows.tolist()


def test_error_units_are_never_chosen():
    estimate = scores_of(np.arange(1.0, 101.0))
    estimate.units.feature[90:] = ERROR_UNIT
    assert plan(estimate, 30, 0).rows.max() < 90


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1e3), min_size=3, max_size=60), st.integers(0, 10**6), st.floats(0.05, 1)
)
def test_chances_sum_to_the_number_drawn(steps, seed, share):
    count = max(1, int(share * (len(steps) - 1)))
    chance = inclusion(np.random.default_rng(seed).permutation(steps), count)
    assert chance.sum() == pytest.approx(count)
    assert (chance > 0).all()
    assert (chance <= 1 + 1e-12).all()


def test_units_are_drawn_with_their_chances():
    estimate = scores_of(np.linspace(1, 2, 60), np.linspace(0.1, 1, 60))
    repeats, drawn = 4000, np.zeros(60)
    for seed in range(repeats):
        chosen = plan(estimate, 20, seed)
        drawn[chosen.rows] += 1
    rest = np.argsort(-np.abs(estimate.score))[10:]
    expected = inclusion(estimate.units.relative_step[rest], 10)
    noise = np.sqrt(expected * (1 - expected) / repeats)
    assert np.abs(drawn[rest] / repeats - expected).max() < 5 * noise.max()


def test_all_units_patched_is_exact():
    estimate, effect = truth_with_steps(0, 80)
    for budget in (80, 1000):
        chosen = plan(estimate, budget, 0)
        found = certificate(estimate, "denoise", chosen, effect[chosen.rows])
        r = np.corrcoef(estimate.score, effect)[0, 1]
        assert found.pearson.value == pytest.approx(r)
        assert (found.pearson.low, found.pearson.high) == (found.pearson.value,) * 2
        assert found.patched == found.units == 80
        assert {one.at_least for one in found.recalls} == {1.0}


def test_the_interval_covers_where_misses_grow_with_the_step():
    hits = 0
    for population in range(40):
        estimate, effect = truth_with_steps(population)
        r = np.corrcoef(estimate.score, effect)[0, 1]
        for seed in range(5):
            chosen = plan(estimate, 200, seed)
            found = certificate(estimate, "denoise", chosen, effect[chosen.rows]).pearson
            hits += found.low <= r <= found.high
    assert hits >= 0.88 * 200  # 95 % is meant; the noise of 200 repeats is 1.5 %


def test_the_recall_bound_holds_and_is_not_idle():
    generator = np.random.default_rng(5)
    score = generator.standard_t(2, 1000)
    effect = score + 0.5 * generator.standard_t(2, 1000)
    estimate = scores_of(score)
    largest = np.argsort(-np.abs(effect))[:100]
    bounds, held = [], 0
    for seed in range(100):
        chosen = plan(estimate, 800, seed)
        found = certificate(estimate, "denoise", chosen, effect[chosen.rows])
        bound = next(one.at_least for one in found.recalls if one.k == 100)
        held += bound <= np.isin(largest, chosen.rows).mean()
        bounds.append(bound)
    assert held >= 95
    assert np.mean(bounds) > 0.5


def test_a_small_budget_guarantees_nothing_and_says_so():
    estimate, effect = truth_with_steps(0, 5000)
    chosen = plan(estimate, 64, 0)
    found = certificate(estimate, "denoise", chosen, effect[chosen.rows])
    assert next(one.at_least for one in found.recalls if one.k == 10) == 0


def test_constant_scores_have_no_agreement_but_a_reason():
    estimate = scores_of(np.ones(100))
    chosen = plan(estimate, 20, 0)
    found = certificate(estimate, "denoise", chosen, np.arange(20.0)).pearson
    assert np.isnan(found.value)
    assert found.note


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    estimate = scores_of(np.append(np.arange(50.0), value))
    with pytest.raises(InputError):
        plan(estimate, 20, 0)
    good = scores_of(np.arange(50.0))
    chosen = plan(good, 20, 0)
    with pytest.raises(InputError):
        certificate(good, "denoise", chosen, np.full(20, value))


def test_a_tiny_budget_is_refused():
    with pytest.raises(InputError):
        plan(scores_of(np.arange(50.0)), 3, 0)
