"""The secant is exact in sum: at every site, for every metric, in every family."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute, batches, method_named
from relp_sae.metrics import metrics
from relp_sae.models import read_sites
from relp_sae.records import Site
from relp_sae.records.site import KINDS

STREAM = [f"{kind}.{layer}" for layer in range(3) for kind in KINDS if kind.startswith("resid")]

STREAM_AFTER = {"attn_out": "resid_mid", "mlp_out": "resid_post"}
"""Where in the stream a block's output goes."""

pytestmark = pytest.mark.usefixtures("float64_throughout")


def sums_and_totals(run, method):
    """(site, pair) -> the sum of all scores there, and m(clean) - m(corrupted)."""
    scores = attribute(run, method)
    for pair in run.kept:
        total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
        for site in run.sites:
            here = (scores.units.pair == pair) & (scores.units.site == str(site))
            yield site, pair, scores.score[here].sum(), total


@pytest.mark.parametrize("metric", metrics)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_sum_to_the_whole_effect_at_every_point_of_the_stream(
    load_tiny, make_run, family, dtype, metric
):
    run = make_run(load_tiny(family, dtype), *STREAM, metric=metric)
    tolerance = {"float32": 1e-4, "float64": 1e-9}[dtype]
    for site, pair, found, total in sums_and_totals(run, "secant"):
        assert abs(total) > 0.1
        assert found == pytest.approx(total, rel=tolerance), (site, pair)


@pytest.mark.parametrize("method", ["secant", "secant:2", "secant:5"])
@pytest.mark.parametrize("pairs_at_once", [1, 3])
def test_every_pair_of_a_batch_sums_to_its_own_effect(
    load_tiny, make_run, family, method, pairs_at_once
):
    """Had the rows of one pair a say in another's, no sum would be right."""
    sites = STREAM if method == "secant" else ["resid_pre.1", "resid_mid.0", "resid_post.2"]
    run = make_run(load_tiny(family, "float64"), *sites, metric="answer_logprob")
    many = replace(run, pairs=[*run.pairs, *run.pairs[::-1]])
    scorer = method_named(method)
    for batch in batches(many, scorer.rows):
        for start in range(0, len(batch), pairs_at_once):
            pairs = batch[start : start + pairs_at_once]
            for pair, scores in zip(pairs, scorer.scores(many, pairs, "both"), strict=True):
                measured, units = many.measured[pair], many.units_of(pair)
                total = measured.clean_metric - measured.corrupted_metric
                assert abs(total) > 0.1
                for site in many.sites:
                    found = scores[units.site == str(site)].sum()
                    assert found == pytest.approx(total, rel=1e-9), (site, pair)


@pytest.mark.parametrize("kind", STREAM_AFTER)
def test_a_blocks_output_and_what_passes_it_by_sum_to_the_whole_effect(
    load_tiny, make_run, family, kind
):
    """All of the stream after the block is a full cut; the output is one part of it."""
    before = {"attn_out": "resid_pre", "mlp_out": "resid_mid"}[kind]
    for layer in range(3):
        out, skip, after = Site(layer, kind), Site(layer, before), Site(layer, STREAM_AFTER[kind])
        run = make_run(load_tiny(family, "float64"), str(out), str(after))
        whole = attribute(run, "secant")
        for pair in run.kept:
            (of_out, of_after) = (
                whole.score[(whole.units.pair == pair) & (whole.units.site == str(site))].sum()
                for site in (out, after)
            )
            # The steps of a site sum to its change, and the slope is the same at both.
            seen, _ = read_sites(run.model, [out, skip, after], run.prompt_ids(pair))
            change = {site: (x[1] - x[0]).double() for site, x in seen.items()}
            torch.testing.assert_close(change[out] + change[skip], change[after])
            total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
            assert of_after == pytest.approx(total, rel=1e-9)
            assert of_out != pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize(
    "site",
    [
        "resid_pre.1",
        "resid_mid.0",
        "z.1",
        "attn_out.1",
        "mlp_in.0",
        "mlp_normalized.1",
        "mlp_out.1",
    ],
)
def test_segments_stay_exact_in_sum_and_go_over_into_integrated_gradients(
    load_tiny, make_run, family, site
):
    run = make_run(load_tiny(family, "float64"), site)
    if str(run.sites[0]) in STREAM:
        for _, _, found, total in sums_and_totals(run, "secant:3"):
            assert found == pytest.approx(total, rel=1e-9)
        limit = attribute(run, "integrated-gradients:400").score
    else:  # what passes it by moves as well, which integrated gradients leave where it is
        limit = attribute(run, "secant:400").score
    errors = [np.abs(attribute(run, f"secant:{n}").score - limit).max() for n in (1, 4, 16)]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[2] < 0.02 * np.abs(limit).max()


@pytest.mark.parametrize("kinds", [("z", "attn_out"), ("mlp_normalized", "mlp_in", "mlp_out")])
def test_what_goes_into_a_part_carries_what_comes_out_of_it(load_tiny, make_run, any_family, kinds):
    """No full cut of the model, but one of the part."""
    model = load_tiny(any_family, "float64")
    sites = [Site(layer, kind) for layer in (0, 2) for kind in kinds if kind in model.site_kinds]
    run = make_run(model, *map(str, sites))
    scores = attribute(run, "secant")
    for pair in run.kept:
        total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
        for layer in (0, 2):
            sums = [
                scores.score[(scores.units.pair == pair) & (scores.units.site == str(site))].sum()
                for site in sites
                if site.layer == layer
            ]
            assert len(sums) > 1
            assert abs(sums[0]) > 1e-3
            assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-8, abs=1e-8 * abs(total))


@pytest.mark.parametrize("layer", [0, 2])
def test_with_segments_z_carries_what_attention_does_where_no_norm_is_between(
    load_tiny, make_run, family, layer
):
    """Their straight paths are one path then: the projection is linear."""
    run = make_run(load_tiny(family, "float64"), f"z.{layer}", f"attn_out.{layer}")
    scores = attribute(run, "secant:3")
    for pair in run.kept:
        of_z, of_attention = (
            scores.score[(scores.units.pair == pair) & (scores.units.site == str(site))].sum()
            for site in run.sites
        )
        assert abs(of_z) > 1e-3
        assert of_z == pytest.approx(of_attention, rel=1e-9)


def test_one_segment_is_the_same_by_either_way_in_every_family(load_tiny, make_run, any_family):
    """The run with x of the clean prompt is the clean run: it does not matter how it is made."""
    from relp_sae.attribution.secant import _along_the_path, _between_the_runs

    model = load_tiny(any_family, "float64")
    run = make_run(model, *(f"{kind}.1" for kind in model.site_kinds))
    for pairs in batches(run, 2):
        between = _between_the_runs(run, pairs)
        for site in run.sites:
            torch.testing.assert_close(
                _along_the_path(run, pairs, site, 1), between[site], rtol=1e-6, atol=1e-8
            )


def test_the_secant_is_no_tangent(paired_run):
    secant = attribute(paired_run, "secant").score
    for other in ("gradient-mean", "relp-mean", "integrated-gradients"):
        assert (
            np.abs(attribute(paired_run, other).score - secant).max() > 0.01 * np.abs(secant).max()
        )


@pytest.mark.parametrize("name", ["gradient", "relp"])
def test_a_mean_method_is_the_mean_over_both_runs(load_tiny, make_run, family, name):
    run = make_run(load_tiny(family, "float64"), "resid_pre.1", "mlp_out.2")
    ends = [attribute(run, name, base=base).score for base in ("corrupted", "clean")]
    found = attribute(run, f"{name}-mean")
    assert found.base == "both"
    np.testing.assert_allclose(found.score, np.mean(ends, axis=0), rtol=1e-5, atol=1e-7)
