"""Scaled steps and random sets of units."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch

from relp_sae.models import at_sites
from relp_sae.patching import engines, patch
from relp_sae.patching.sets import UnitSets
from relp_sae.patching.sweep import (
    random_sets,
    scaled_effects,
    set_effects,
    site_set_effects,
)
from relp_sae.records import Site

SITES = Site(1, "resid_pre"), Site(2, "mlp_out")


def scaled(run, pair, *scales):
    rows = np.flatnonzero(run.units.pair == pair)
    return scaled_effects(run, rows, scales, engines["packed"]())


def test_scale_one_is_the_denoising_effect(tiny_run, family):
    run = tiny_run(family, *SITES)
    measured = patch(run, "denoise")
    for pair in run.kept:
        frame = scaled(run, pair, 0.5, 1.0)
        assert frame.columns.tolist() == ["pair", "site", "pos", "feature", "scale", "effect"]
        one, here = frame[frame.scale == 1], measured.units.pair == pair
        largest = np.abs(measured.score).max()
        np.testing.assert_allclose(one.effect, measured.score[here], rtol=0, atol=1e-5 * largest)
        for column in ("pair", "site", "pos", "feature"):
            expected = getattr(measured.units, column)[here]
            assert one[column].tolist() == expected.tolist()
            assert frame[frame.scale == 0.5][column].tolist() == expected.tolist()


@torch.no_grad()
def test_a_scaled_effect_is_that_of_a_full_forward(tiny_run):
    run = tiny_run("gpt2", SITES[0], dtype="float64", pairs=((5, (2,)),))
    (steps,), scales = run.steps(0), (0.1, 2.5, -1.0)
    frame = scaled(run, 0, *scales)
    ids = torch.tensor([run.pairs[0].corrupted_ids])
    for scale in scales:
        expected = []
        for pos, vector in zip(steps.pos.tolist(), steps.vector, strict=True):
            added = torch.zeros(5, run.model.d_model, dtype=torch.float64)
            added[pos] = scale * vector
            with at_sites(run.model, {SITES[0]: lambda _x, added=added: added}):
                expected.append(run.metric_of(0, run.model.last_logits(ids)).item())
        expected = np.array(expected) - run.activations[0].corrupted_metric
        found = frame[frame.scale == scale].effect
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_small_steps_are_linear(tiny_run):
    run = tiny_run("gpt2", SITES[0], dtype="float64")
    frame = scaled(run, 1, 1e-4, 2e-4)
    small, double = (part.effect.to_numpy() for _, part in frame.groupby("scale"))
    np.testing.assert_allclose(double, 2 * small, rtol=0, atol=1e-2 * np.abs(double).max())


@pytest.mark.parametrize(
    ("units", "size", "count"),
    [(3, 1, 32), (40, 1, 32), (33, 1, 32), (6, 2, 32), (300, 16, 32), (5, 5, 32), (0, 0, 32)],
)
def test_sets_are_different_and_of_their_size(units, size, count):
    sets = random_sets(units, size, count, np.random.default_rng(0))
    there = len(list(combinations(range(units), size))) if units < 50 else count + 1
    assert sets.shape == (min(count, there), units)
    assert (sets.sum(1) == size).all()
    assert len({tuple(one) for one in sets.tolist()}) == len(sets)


def test_sets_larger_than_the_site_are_none():
    assert random_sets(3, 4, 32, np.random.default_rng(0)).shape == (0, 3)


def test_every_unit_is_as_likely_in_a_set():
    sets = random_sets(20, 4, 3000, np.random.default_rng(0))
    np.testing.assert_allclose(sets.mean(0), 0.2, atol=0.04)


def estimates_of(run, pair, *labels):
    draw = np.random.default_rng(7)
    return {label: draw.normal(size=len(run.units_of(pair))) for label in labels}


def drawn_sets(run, pair, estimates, sizes=(1, 4, 0), seed=0):
    return set_effects(run, pair, estimates, sizes, seed, engines["packed"]())


def test_one_row_for_each_set_and_estimate(tiny_run):
    run = tiny_run("gpt2", *SITES)
    frame = drawn_sets(run, 1, estimates_of(run, 1, "relp", "secant"), (1, 4, 10_000, 0))
    assert frame.columns.tolist() == [
        *("pair", "site", "size", "set", "effect", "estimate", "predicted")
    ]
    assert (frame.pair == 1).all()
    counts = frame.groupby(["site", "estimate", "size"]).size()
    assert set(counts.index.get_level_values("size")) == {0, 1, 4}  # no site has 10 000 units
    assert counts.xs(0, level="size").eq(1).all()
    assert counts.xs(4, level="size").eq(32).all()
    assert not frame.duplicated(["site", "size", "set", "estimate"]).any()
    assert frame.groupby(["site", "size", "set"]).effect.nunique().eq(1).all()


def test_sets_of_one_unit_are_the_denoising_effects(tiny_run):
    run = tiny_run("gpt2", *SITES, dtype="float64", pairs=((5, (3,)),))
    truth = patch(run, "denoise")
    frame = drawn_sets(run, 0, {"denoise": truth.score}, sizes=(1,))
    assert len(frame) > 30
    largest = np.abs(truth.score).max()
    np.testing.assert_allclose(frame.effect, frame.predicted, rtol=0, atol=1e-10 * largest)


def test_a_set_is_that_of_a_spliced_full_forward(tiny_run, spliced_metric):
    """Powers of two as estimates tell which units a set has."""
    run = tiny_run("gpt2", SITES[0], dtype="float64", pairs=((5, (3,)),))
    units = len(run.units_of(0))
    assert units < 50
    frame = drawn_sets(run, 0, {"bits": 2.0 ** np.arange(units)}, sizes=(1, 4, 16, 0))
    bits = frame.predicted.to_numpy(np.int64)
    members = (bits[:, None] >> np.arange(units) & 1).astype(bool)
    assert (members.sum(1) == frame["size"].replace(0, units)).all()
    expected = spliced_metric(run, 0, SITES[0], members) - run.activations[0].corrupted_metric
    np.testing.assert_allclose(frame.effect, expected, rtol=0, atol=1e-9)


def test_all_units_of_the_stream_are_the_whole_effect_and_shapley_adds_up(tiny_run):
    run = tiny_run("gpt2", SITES[0])
    truth = patch(run, "shapley", permutations=4)
    for pair in run.kept:
        shapley = truth.score[truth.units.pair == pair]
        (row,) = drawn_sets(run, pair, {"shapley": shapley}, sizes=(0,)).to_dict("records")
        seen = run.activations[pair]
        whole = seen.clean_metric - seen.corrupted_metric
        assert row["effect"] == pytest.approx(whole, abs=1e-4)
        assert row["predicted"] == pytest.approx(whole, abs=1e-4)


def test_the_sets_are_drawn_by_seed_pair_site_and_size(tiny_run):
    run = tiny_run("gpt2", *SITES, pairs=((5, (3,)),) * 2)
    estimates = estimates_of(run, 0, "any")
    first, again = (drawn_sets(run, 0, estimates, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    fours = first[first["size"] == 4]
    alone = drawn_sets(run, 0, estimates, (4,), seed=1)  # other sizes do not matter
    assert alone.predicted.tolist() == fours.predicted.tolist()
    other = drawn_sets(run, 0, estimates, (4,), seed=2)
    assert alone.predicted.tolist() != other.predicted.tolist()


def test_the_count_of_sets_can_be_chosen(tiny_run):
    run = tiny_run("gpt2", SITES[0])
    sets = UnitSets(run, 1, SITES[0], engines["packed"]())
    estimate = {"any": np.ones(len(sets))}
    frame = site_set_effects(sets, estimate, (4,), seed=0, count=7)
    assert frame["set"].tolist() == list(range(7))
    assert (frame.predicted == 4).all()


def test_the_model_is_left_as_it_was(tiny_run, state_of, family):
    run = tiny_run(family, *SITES)
    before = state_of(run.model)
    scaled(run, 0, 0.1, 4.0)
    drawn_sets(run, 0, estimates_of(run, 0, "any"))
    assert state_of(run.model) == before
