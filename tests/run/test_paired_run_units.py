"""The units of a run: an exact decomposition of what differs between the two prompts."""

import dataclasses

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute
from relp_sae.models import at_sites, read_sites
from relp_sae.records import ERROR_UNIT, Site
from relp_sae.records.site import KINDS

SITES = ["resid_pre.0", *(f"{kind}.1" for kind in KINDS), "resid_post.2"]


@pytest.fixture(scope="module")
def run64(model64, make_run):
    """Every kind of site at once, the embeddings among them, in float64."""
    return make_run(model64, *SITES)


@torch.no_grad()
def seen_at(model, site, ids):
    """x (pos, d_model) of one prompt, read by a hook of our own."""
    seen = []
    with at_sites(model, {site: lambda x: seen.append(x[0].clone())}):
        model.hf(input_ids=torch.tensor([ids]))
    return seen[0]


def each(run):
    """(pair's index, pair, site, its steps, x_clean, x_corrupted) of all pairs and sites."""
    for index, pair in enumerate(run.pairs):
        for steps in run.steps(index):
            clean = seen_at(run.model, steps.site, pair.clean_ids)
            corrupted = seen_at(run.model, steps.site, pair.corrupted_ids)
            yield index, pair, steps, clean, corrupted


def test_the_steps_of_a_position_sum_to_what_changed_there(run64):
    for _, pair, steps, clean, corrupted in each(run64):
        summed = torch.zeros_like(clean).index_add(0, steps.pos, steps.vector)
        torch.testing.assert_close(summed, clean - corrupted, rtol=0, atol=1e-12)
        assert summed[pair.first_change].norm() > 0.1


def test_in_float32_too(paired_run):
    for _, pair, steps, clean, corrupted in each(paired_run):
        change = clean - corrupted
        change[: pair.first_change] = 0  # float noise of one prompt run twice, no unit
        summed = torch.zeros_like(clean).index_add(0, steps.pos, steps.vector)
        torch.testing.assert_close(summed, change, rtol=0, atol=1e-5)


def test_a_step_is_delta_times_its_row_and_every_changed_feature_is_there(run64):
    for _, pair, steps, clean, corrupted in each(run64):
        dictionary = run64.dictionaries[steps.site]
        x = torch.stack([clean, corrupted])
        features, offset = dictionary.encode(x).features, dictionary.encode(x).offset
        delta = features[0] - features[1]
        delta[: pair.first_change] = 0
        listed = steps.feature != ERROR_UNIT
        pos, feature = steps.pos[listed], steps.feature[listed]
        expected = {tuple(at) for at in (delta.abs() > 1e-9).nonzero().tolist()}
        assert {*zip(pos.tolist(), feature.tolist(), strict=True)} == expected
        torch.testing.assert_close(steps.delta[listed], delta[pos, feature], rtol=0, atol=1e-12)
        by_row = delta[pos, feature, None] * dictionary.W_dec[feature]
        torch.testing.assert_close(steps.vector[listed], by_row, rtol=0, atol=1e-12)
        errors = x - features @ dictionary.W_dec - offset
        e = (errors[0] - errors[1] + offset[0] - offset[1])[steps.pos[~listed]]
        torch.testing.assert_close(steps.vector[~listed], e, rtol=0, atol=1e-12)
        torch.testing.assert_close(steps.delta[~listed], e.norm(dim=-1), rtol=0, atol=1e-12)


def test_no_unit_is_a_structural_zero(run64):
    units = run64.units
    assert (units.delta != 0).all()
    for index, pair in enumerate(run64.pairs):
        assert units.pos[units.pair == index].min() == pair.first_change


def test_a_position_where_the_prompts_agree_has_no_unit_at_the_embeddings(run64):
    units = run64.units
    at_start = units.site == "resid_pre.0"
    for index, pair in enumerate(run64.pairs):
        found = set(units.pos[at_start & (units.pair == index)].tolist())
        ids = zip(pair.clean_ids, pair.corrupted_ids, strict=True)
        assert found == {pos for pos, (clean, corrupted) in enumerate(ids) if clean != corrupted}
        later = set(units.pos[~at_start & (units.pair == index)].tolist())
        assert later == set(range(pair.first_change, len(pair.clean_ids)))


def test_one_error_unit_closes_each_site_and_position(run64):
    units = run64.units
    places = list(zip(units.pair.tolist(), units.site.tolist(), units.pos.tolist(), strict=True))
    for start, place in enumerate(places):
        if start == 0 or places[start - 1] != place:
            features = units.feature[[i for i, other in enumerate(places) if other == place]]
            assert (features == ERROR_UNIT).sum() == 1
            assert features[-1] == ERROR_UNIT
            assert (np.diff(features[:-1]) > 0).all()
            assert features[:-1].min(initial=0) >= 0
    assert (units.delta[units.feature == ERROR_UNIT] > 0).all()
    assert np.array_equal(~units.is_error, units.feature != ERROR_UNIT)


def test_the_order_is_pair_then_site_then_position(run64):
    units = run64.units
    forward = ["resid_pre.0", "resid_pre.1", "z.1", "attn_out.1", "resid_mid.1"]
    forward += ["mlp_normalized.1", "mlp_in.1", "mlp_out.1", "resid_post.1", "resid_post.2"]
    assert [str(site) for site in run64.sites] == forward
    rank = {str(site): index for index, site in enumerate(run64.sites)}
    keys = [
        (pair, rank[site], pos)
        for pair, site, pos in zip(units.pair, units.site, units.pos, strict=True)
    ]
    assert keys == sorted(keys)


def test_units_of_a_pair_are_its_part_of_all_units(run64):
    start = 0
    for index in run64.kept:
        part = run64.units_of(index)
        here = slice(start, start + len(part))
        for name in ("pair", "site", "pos", "feature", "delta"):
            assert np.array_equal(getattr(run64.units, name)[here], getattr(part, name))
        start += len(part)
    assert start == len(run64.units)


def test_before_the_first_change_both_runs_are_one(paired_run):
    for pair, seen in zip(paired_run.pairs, paired_run.activations, strict=True):
        for site in paired_run.sites:
            start = pair.first_change
            assert torch.equal(seen.clean[site][:start], seen.corrupted[site][:start])
            assert not torch.equal(seen.clean[site][start:], seen.corrupted[site][start:])


def test_float_noise_before_the_first_change_makes_no_unit(paired_run, monkeypatch):
    """On other hardware the same prefix may come out with other last bits in the two runs."""
    draw = torch.Generator().manual_seed(0)

    def noisy(model, sites, ids):
        seen, logits = read_sites(model, sites, ids)
        noise = {site: 1e-4 * torch.randn(x.shape, generator=draw) for site, x in seen.items()}
        return {site: x + noise[site] for site, x in seen.items()}, logits

    monkeypatch.setattr("relp_sae.run.measurement.read_sites", noisy)
    run = dataclasses.replace(paired_run)  # not measured yet
    for index, pair in enumerate(run.pairs):
        assert run.units.pos[run.units.pair == index].min() == pair.first_change
        seen = run.activations[index]
        for site in run.sites:
            start = pair.first_change
            assert torch.equal(seen.clean[site][:start], seen.corrupted[site][:start])
    assert not np.array_equal(run.units.delta, paired_run.units.delta)


@pytest.mark.parametrize("base", ["corrupted", "clean"])
def test_gradient_scores_sum_to_the_slope_times_what_changed(run64, base):
    """The sum of a over units = <g, x_clean - x_corrupted>, site by site: none lost, none twice."""
    scores = attribute(run64, "gradient", base=base)
    for index, pair in enumerate(run64.pairs):
        ids = pair.clean_ids if base == "clean" else pair.corrupted_ids
        for site in run64.sites:
            leaf = torch.zeros(1, len(ids), 32, dtype=torch.float64, requires_grad=True)
            with at_sites(run64.model, {site: lambda _x, leaf=leaf: leaf}):
                last = run64.model.hf(input_ids=torch.tensor([ids])).logits[0, -1]
            (slope,) = torch.autograd.grad(last[pair.answer] - last[pair.foil], leaf)
            clean = seen_at(run64.model, site, pair.clean_ids)
            change = clean - seen_at(run64.model, site, pair.corrupted_ids)
            here = (scores.units.pair == index) & (scores.units.site == str(site))
            expected = (slope[0] * change).sum().item()
            assert scores.score[here].sum() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_sites_of_one_run_do_not_disturb_each_other(model64, make_run, run64):
    alone = make_run(model64, "resid_pre.0")
    assert alone.sites == [Site(0, "resid_pre")]
    here = run64.units.site == "resid_pre.0"
    assert np.array_equal(alone.units.feature, run64.units.feature[here])
    assert np.array_equal(alone.units.delta, run64.units.delta[here])
