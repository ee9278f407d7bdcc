"""Shapley effects of models: against brute force by full forward passes, and what always holds."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.patching import Measuring, patch, shards, truths
from relp_sae.records import Site
from relp_sae.saes.whole_node import whole_nodes

ROUNDING = {"gpt2": 1e-9, "llama": 1e-4}
"""Allowed over the largest effect; Llama's norms are float32 in any dtype."""

LENGTHS = ((5, (3,)), (4, (1, 2)))


def brute_force(spliced_metric, run, pair, site):
    """The mean over all orders of a site's units of what each adds; float64 (units,)."""
    units = sum(len(steps.pos) for steps in run.steps(pair) if steps.site == site)
    sets = np.array(list(product((False, True), repeat=units)))
    values = spliced_metric(run, pair, site, sets)
    value = dict(zip(map(tuple, sets.tolist()), values, strict=True))
    total, count = np.zeros(units), 0
    for order in permutations(range(units)):
        members = [False] * units
        for unit in order:
            before = value[tuple(members)]
            members[unit] = True
            total[unit] += value[tuple(members)] - before
        count += 1
    return total / count


@pytest.mark.parametrize(
    "site", ["resid_pre.0", "resid_pre.2", "attn_out.1", "resid_mid.1", "mlp_out.0", "resid_post.2"]
)
def test_equals_brute_force(few_units_run, spliced_metric, family, site):
    run = few_units_run(family, Site.parse(site), pairs=((3, (2,)), (6, (5,)), (1, (0,))))
    found = patch(run, "shapley", permutations=1000)
    assert not found.stderr.any()
    expected = [brute_force(spliced_metric, run, pair, run.sites[0]) for pair in run.kept]
    assert [len(one) for one in expected] != [1, 1, 1]
    whole = np.concatenate(expected)
    np.testing.assert_allclose(
        found.score, whole, rtol=0, atol=ROUNDING[family] * np.abs(whole).max()
    )


def test_equals_brute_force_with_whole_nodes(tiny_run, spliced_metric):
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64", pairs=((6, (2,)),))
    nodes = whole_nodes(run.model, kinds=("resid_pre", "mlp_out"))
    run = replace(run, dictionaries=nodes)
    found = patch(run, "shapley")
    assert not found.stderr.any()  # four positions or one: enumerated
    for site in run.sites:
        here = found.units.site == str(site)
        assert here.sum() == (1 if site == Site(0, "resid_pre") else 4)
        expected = brute_force(spliced_metric, run, 0, site)
        np.testing.assert_allclose(found.score[here], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_effects_of_a_site_of_the_stream_sum_to_the_whole_effect(tiny_run, family, dtype):
    sites = Site(0, "resid_mid"), Site(1, "resid_pre"), Site(2, "resid_post")
    run = tiny_run(family, *sites, dtype=dtype, pairs=LENGTHS)
    found = patch(run, "shapley", permutations=8)
    assert found.stderr.any()
    tolerance = 1e-9 if (family, dtype) == ("gpt2", "float64") else 1e-5
    for pair, site in product(run.kept, run.sites):
        here = (found.units.pair == pair) & (found.units.site == str(site))
        seen = run.activations[pair]
        whole = seen.clean_metric - seen.corrupted_metric
        largest = max(abs(seen.clean_metric), abs(seen.corrupted_metric))
        assert found.score[here].sum() == pytest.approx(whole, abs=tolerance * largest)


def test_samples_are_as_near_the_exact_effects_as_their_standard_errors_say(few_units_run):
    run = few_units_run("llama", Site(1, "resid_pre"), dtype="float32", pairs=((6, (3,)),))
    exact = patch(run, "shapley", permutations=10**6)
    assert 10 <= len(exact.score) <= 15
    assert not exact.stderr.any()
    sampled = patch(run, "shapley", permutations=60, tolerance=0.0)
    assert sampled.stderr.all()
    deviations = (sampled.score - exact.score) / sampled.stderr
    assert 0.4 < np.sqrt(np.mean(deviations**2)) < 2


def test_a_unit_that_nothing_reads_has_no_effect(few_units_run):
    """After the last block only the last position reaches the logits."""
    run = few_units_run("gpt2", Site(2, "resid_post"), pairs=((6, (3,)),))
    found = patch(run, "shapley", permutations=4, tolerance=0.0)
    earlier = found.units.pos < 5
    assert earlier.sum() > 5
    assert np.abs(found.score[earlier]).max() < 1e-12
    assert found.stderr[earlier].max() < 1e-12
    assert np.abs(found.score[~earlier]).max() > 0.1


def test_a_seed_gives_the_same_numbers_and_another_does_not(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"), pairs=LENGTHS)
    first, again, other = (patch(run, "shapley", permutations=4, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.score, again.score)
    np.testing.assert_array_equal(first.stderr, again.stderr)
    assert (first.score != other.score).mean() > 0.9


def test_the_size_of_packs_does_not_matter(tiny_run, packs_of):
    run = tiny_run("gpt2", Site(1, "mlp_out"), dtype="float64", pairs=LENGTHS)
    shapley, rows = truths["shapley"].effects, np.arange(len(run.units))
    one, some, many = (
        shapley(run, rows, Measuring(packs_of(size), 40, 0.2)) for size in (1, 13, 10_000)
    )
    for other in (some, many):
        np.testing.assert_allclose(other.effect, one.effect, rtol=0, atol=1e-12)
        np.testing.assert_allclose(other.stderr, one.stderr, rtol=0, atol=1e-12)


def test_how_many_sets_are_evaluated_together_does_not_matter(tiny_run, monkeypatch):
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64", pairs=LENGTHS)
    whole = patch(run, "shapley", permutations=40, tolerance=0.2)
    monkeypatch.setattr("relp_sae.patching.shapley.SET_BYTES", 5000)
    few = patch(run, "shapley", permutations=40, tolerance=0.2)
    np.testing.assert_allclose(few.score, whole.score, rtol=0, atol=1e-12)
    np.testing.assert_allclose(few.stderr, whole.stderr, rtol=0, atol=1e-12)


def test_pairs_can_be_measured_alone_and_in_any_order(tiny_run):
    """So that a killed run goes on where it stopped and ends with the same numbers."""
    run = tiny_run("gpt2", Site(1, "resid_pre"), Site(2, "attn_out"), pairs=LENGTHS * 2)
    whole, measuring = patch(run, "shapley", permutations=4), Measuring(permutations=4)
    pieces = shards(run, truths["shapley"])
    assert len(pieces) == len(run.kept)
    for here in reversed(pieces):
        alone = truths["shapley"].effects(run, here, measuring)
        np.testing.assert_array_equal(alone.effect, whole.score[here])
        np.testing.assert_array_equal(alone.stderr, whole.stderr[here])


def test_sites_are_games_of_their_own(tiny_run):
    sites = Site(1, "resid_pre"), Site(2, "mlp_out")
    run = tiny_run("gpt2", *sites, pairs=LENGTHS)
    together = patch(run, "shapley", permutations=4)
    for site in sites:
        alone = replace(run, dictionaries={site: run.dictionaries[site]})
        here = together.units.site == str(site)
        expected = patch(alone, "shapley", permutations=4).score
        np.testing.assert_array_equal(together.score[here], expected)


def test_an_order_runs_each_set_once(tiny_run, counting_engine):
    """n units cost n - 1 runs an order, and the empty and the full set one each a round."""
    run = tiny_run("gpt2", Site(1, "resid_pre"), pairs=((5, (3,)),))
    units = len(run.units)
    measuring = Measuring(counting_engine, permutations=8, tolerance=0.0)
    truths["shapley"].effects(run, np.arange(units), measuring)
    runs = counting_engine.runs
    assert 8 * (units - 1) - 2 * 8 <= runs <= 8 * (units - 1) + 2  # sets of one may recur


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"permutations": 3}, "permutations is 3; it has to be 4 or more"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"engine": "packt"}, "Did you mean 'packed'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_unusable_settings_are_refused(tiny_run, settings, problem):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    with pytest.raises(InputError, match=problem):
        patch(run, "shapley", **settings)


def test_bfloat16_is_refused(make_run, load_tiny):
    run = make_run(load_tiny("gpt2", "bfloat16"), "resid_pre.1")
    with pytest.raises(InputError, match="Use float32 or float64"):
        patch(run, "shapley", progress=pytest.fail)
