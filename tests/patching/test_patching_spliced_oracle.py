"""Exact patching against full forward passes of the untouched model with a spliced dictionary.

Patching restarts the model at the site's block and position and keeps what comes before; here the
whole prompt is run again for every unit. Float32 code paths differ by rounding. In float64 GPT-2
is computed in float64 throughout, so the two agree to rounding again; Hugging Face's Llama casts
to float32 inside RMSNorm and softmax whatever the model's type, so float64 buys it nothing.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.models import at_sites, read_sites
from relp_sae.patching import patch
from relp_sae.records import ERROR_UNIT, Site
from relp_sae.records.site import KINDS
from relp_sae.saes import spliced

TRUTHS = {"denoise": "corrupted", "noise": "clean"}
TOLERANCE = {("gpt2", "float64"): 1e-9, ("llama", "float64"): 1e-4}
FLOAT32 = 1e-4
"""Largest difference allowed, over the largest effect."""


@torch.no_grad()
def site_state(run, dictionary, ids):
    """Features (pos, d_sae) of a full run of a prompt, and what of x they leave (pos, d_model).

    An SAE that normalises also restores a mean, which is no feature's, so it is the error unit's.
    """
    seen, _ = read_sites(run.model, [dictionary.site], torch.tensor([ids]))
    x = seen[dictionary.site]
    code = dictionary.encode(x)
    return code.features[0], (x - code.features @ dictionary.W_dec)[0]


@torch.no_grad()
def spliced_effects(run, pair, site, truth):
    """{(position, feature): effect} of every unit, by the definition of the truth."""
    prompts, dictionary = run.pairs[pair], run.dictionaries[site]
    ids = {"clean": prompts.clean_ids, "corrupted": prompts.corrupted_ids}
    here = TRUTHS[truth]
    there = "corrupted" if here == "clean" else "clean"
    features, error = site_state(run, dictionary, ids[here])
    target_features, target_error = site_state(run, dictionary, ids[there])
    first = next(pos for pos, (a, b) in enumerate(zip(*ids.values(), strict=True)) if a != b)
    of_features = (features != target_features).nonzero()
    of_features = of_features[of_features[:, 0] >= first]
    of_errors = (error != target_error).any(1).nonzero()
    of_errors = of_errors[of_errors[:, 0] >= first]
    units = [tuple(unit) for unit in of_features.tolist()]
    units += [(pos, ERROR_UNIT) for (pos,) in of_errors.tolist()]

    def set_features(seen):
        """Row i of the batch sets unit i."""
        edited, (pos, feature) = seen.clone(), of_features.T
        edited[torch.arange(len(pos)), pos, feature] = target_features[pos, feature]
        return edited

    def set_errors(x):
        """The rows after those of the features."""
        added, (pos,) = torch.zeros_like(x), of_errors.T
        added[len(of_features) + torch.arange(len(pos)), pos] = (target_error - error)[pos]
        return added

    batch = torch.tensor([ids[here]]).expand(len(units), -1)
    before = run.metric_of(pair, run.model.last_logits(batch[:1]))
    with spliced(run.model, dictionary, set_features), at_sites(run.model, {site: set_errors}):
        after = run.metric_of(pair, run.model.last_logits(batch))
    effects = after - before if truth == "denoise" else before - after
    return dict(zip(units, effects.tolist(), strict=True))


def assert_equals_oracle(run, truth, tolerance):
    """Every unit that should be there is, at its pair, site and position, with its effect."""
    measured = patch(run, truth)
    units = measured.units
    keys = zip(units.pair, units.site, units.pos, units.feature, strict=True)
    found = {
        (int(pair), str(site), int(pos), int(feature)): score
        for (pair, site, pos, feature), score in zip(keys, measured.score, strict=True)
    }
    expected = {
        (pair, str(site), pos, feature): effect
        for pair in run.kept
        for site in run.sites
        for (pos, feature), effect in spliced_effects(run, pair, site, truth).items()
    }
    assert found.keys() == expected.keys()
    assert len(found) == len(units)
    largest = max(map(abs, expected.values()))
    worst = max(abs(found[unit] - expected[unit]) for unit in expected)
    assert largest > 0
    assert worst <= tolerance * largest


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [0, 2], ids=["first", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_spliced_full_forward(tiny_run, family, kind, layer, dtype, truth):
    run = tiny_run(family, Site(layer, kind), dtype=dtype)
    assert len(run.kept) == len(run.pairs)
    assert_equals_oracle(run, truth, TOLERANCE.get((family, dtype), FLOAT32))


@pytest.mark.parametrize("truth", TRUTHS)
def test_equals_a_spliced_full_forward_at_several_sites(tiny_run, family, truth):
    sites = [Site(0, "mlp_out"), Site(1, "resid_mid"), Site(1, "attn_out"), Site(2, "resid_pre")]
    assert_equals_oracle(tiny_run(family, *sites), truth, FLOAT32)


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("normalise", ["layer_norm", "constant_norm_rescale"])
def test_equals_a_spliced_full_forward_with_a_normalising_sae(tiny_run, normalise, truth):
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64", normalise=normalise)
    assert_equals_oracle(run, truth, 1e-9)


@st.composite
def lengths_and_changes(draw):
    length = draw(st.integers(1, 10))
    changes = draw(st.sets(st.integers(0, length - 1), min_size=1))
    return length, tuple(sorted(changes))


@settings(max_examples=15, deadline=None)
@given(
    truth=st.sampled_from(list(TRUTHS)),
    site=st.builds(Site, st.integers(0, 2), st.sampled_from(KINDS)),
    pairs=st.lists(lengths_and_changes(), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
)
def test_equals_a_spliced_full_forward_for_any_prompts(tiny_run, family, truth, site, pairs, seed):
    run = tiny_run(family, site, dtype="float64", pairs=pairs, seed=seed)
    assert_equals_oracle(run, truth, TOLERANCE[family, "float64"])
