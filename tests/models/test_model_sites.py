"""Reading and adding at every kind of site, against transformers and against the textbook."""

import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites, read_up_to
from relp_sae.records import Site
from relp_sae.records.site import KINDS

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])
LAYERS = range(3)
STREAM = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
EVERYWHERE = [Site(layer, kind) for layer in LAYERS for kind in KINDS]

# Llama computes RMSNorm and softmax in float32 whatever the model's dtype is.
TOLERANCE = {"gpt2": 1e-11, "llama": 2e-5}


def hooks_of(model):
    """How many hooks each module carries."""
    return [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in model.hf.modules()
    ]


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@torch.no_grad()
def test_stream_sites_are_transformers_hidden_states(model):
    everything = model.hf(input_ids=IDS, output_hidden_states=True)
    seen, logits = read_sites(model, EVERYWHERE, IDS)
    states = everything.hidden_states
    for layer in LAYERS:
        assert torch.equal(seen[Site(layer, "resid_pre")], states[layer])
    for layer in LAYERS[:-1]:
        assert torch.equal(seen[Site(layer, "resid_post")], states[layer + 1])
    last = seen[Site(2, "resid_post")]
    assert torch.equal(model.module(model.family.final_norm)(last), states[3])
    # One row in a matrix product is not bit-equal to the same row among others.
    torch.testing.assert_close(logits, everything.logits[:, -1], rtol=0, atol=1e-4)
    torch.testing.assert_close(model.unembed(last[:, -1]), logits, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_block_adds_attention_and_then_mlp_to_the_stream(model64):
    seen, _ = read_sites(model64, EVERYWHERE, IDS)
    for layer in LAYERS:
        pre, attention, mid, mlp, post = (seen[Site(layer, kind)] for kind in STREAM)
        torch.testing.assert_close(mid, pre + attention, rtol=0, atol=1e-13)
        torch.testing.assert_close(post, mid + mlp, rtol=0, atol=1e-13)


@torch.no_grad()
@pytest.mark.parametrize("site", EVERYWHERE, ids=str)
def test_every_site_is_the_textbooks(model64, textbook, site):
    seen, logits = read_sites(model64, [site], IDS)
    expected_logits, expected = textbook.forward(model64.hf, IDS[0])
    tolerance = TOLERANCE[model64.config.model_type]
    torch.testing.assert_close(seen[site][0], expected[str(site)], rtol=0, atol=tolerance)
    torch.testing.assert_close(logits[0], expected_logits[-1], rtol=0, atol=tolerance * 10)


@torch.no_grad()
@pytest.mark.parametrize("site", EVERYWHERE, ids=str)
def test_adding_at_a_site_is_the_textbook_with_the_addition(model64, textbook, site):
    added = noise(6, 32)
    with at_sites(model64, {site: lambda _x: added}):
        logits = model64.last_logits(IDS)
    expected, _ = textbook.forward(model64.hf, IDS[0], add={str(site): added})
    tolerance = TOLERANCE[model64.config.model_type] * 10
    torch.testing.assert_close(logits[0], expected[-1], rtol=0, atol=tolerance)
    assert (logits - model64.last_logits(IDS)).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_an_activation_includes_what_was_added_at_earlier_sites(model64, textbook, order):
    added = {site: noise(6, 32, seed=i) for i, site in enumerate(EVERYWHERE)}
    seen = {}

    def adding(site):
        def add(x):
            seen[site] = x[0] + added[site]
            return added[site]

        return add

    with at_sites(model64, {site: adding(site) for site in EVERYWHERE[::order]}):
        logits = model64.last_logits(IDS)
    additions = {str(site): addition for site, addition in added.items()}
    expected_logits, expected = textbook.forward(model64.hf, IDS[0], add=additions)
    tolerance = TOLERANCE[model64.config.model_type] * 10
    for site in EVERYWHERE:
        torch.testing.assert_close(seen[site], expected[str(site)], rtol=0, atol=tolerance)
    torch.testing.assert_close(logits[0], expected_logits[-1], rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_changes_no_bit_and_leaves_no_hook(model, kind):
    before, hooks = model.last_logits(IDS), hooks_of(model)
    with at_sites(model, {Site(layer, kind): lambda _x: None for layer in LAYERS}):
        assert hooks_of(model) != hooks
        assert torch.equal(model.last_logits(IDS), before)
    assert hooks_of(model) == hooks


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_inside_leaves_no_hook(model, kind):
    before, hooks = model.last_logits(IDS), hooks_of(model)

    def broken(_x):
        raise ArithmeticError

    with pytest.raises(ArithmeticError), at_sites(model, {Site(1, kind): broken}):
        model.last_logits(IDS)
    assert hooks_of(model) == hooks
    assert torch.equal(model.last_logits(IDS), before)
    # Nothing of the broken pass is left behind for the next one.
    seen, _ = read_sites(model, [Site(1, kind)], IDS)
    again, _ = read_sites(model, [Site(1, kind)], IDS)
    assert torch.equal(seen[Site(1, kind)], again[Site(1, kind)])


def test_a_site_beyond_the_model_leaves_no_hook_of_the_others(model):
    hooks = hooks_of(model)
    sites = {Site(0, "resid_pre"): lambda x: x, Site(3, "resid_mid"): lambda x: x}
    with (
        pytest.raises(InputError, match=r"no site resid_mid\.3: its layers are 0 to 2"),
        at_sites(model, sites),
    ):
        pass
    assert hooks_of(model) == hooks


@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_at_a_site_is_that_of_the_textbook(model64, textbook, kind):
    leaf = torch.zeros(6, 32, dtype=torch.float64, requires_grad=True)
    with at_sites(model64, {Site(1, kind): lambda _x: leaf}):
        (slope,) = torch.autograd.grad(model64.last_logits(IDS)[0, 7], leaf)
    expected_logits, _ = textbook.forward(model64.hf, IDS[0], add={f"{kind}.1": leaf})
    (expected,) = torch.autograd.grad(expected_logits[-1, 7], leaf)
    # The float32 steps inside Llama round the slope as well: 1e-5 of the largest.
    tolerance = 1e-10 if model64.config.model_type == "gpt2" else 1e-5
    torch.testing.assert_close(slope, expected, rtol=0, atol=tolerance * expected.abs().max())


@pytest.mark.parametrize("kinds", [["resid_pre"], ["resid_mid", "z"], ["mlp_out", "resid_post"]])
def test_reading_up_to_a_site_runs_nothing_behind_it(model, kinds):
    hooks, sites, run = hooks_of(model), [Site(1, kind) for kind in kinds], []
    behind = model.blocks[2].register_forward_pre_hook(lambda *_: run.append("block 2"))
    try:
        seen = read_up_to(model, sites, IDS)
    finally:
        behind.remove()
    whole, _ = read_sites(model, sites, IDS)
    assert not run
    assert hooks_of(model) == hooks
    assert seen.keys() == whole.keys()
    assert all(torch.equal(seen[site], whole[site]) for site in sites)


@torch.no_grad()
def test_every_site_is_read_where_attention_and_mlp_stand_side_by_side(load_tiny):
    model = load_tiny("gpt_neox")
    sites = [Site(1, kind) for kind in reversed(model.site_kinds)]
    seen, (whole, _) = read_up_to(model, sites, IDS), read_sites(model, sites, IDS)
    assert all(torch.equal(seen[site], whole[site]) for site in sites)


@torch.no_grad()
def test_activations_are_read_in_the_types_of_autocast(gpt2_model):
    stream, inside = Site(1, "resid_mid"), Site(1, "z")
    with torch.autocast("cpu", torch.bfloat16):
        seen = read_up_to(gpt2_model, [stream, inside], IDS)
        whole, _ = read_sites(gpt2_model, [stream, inside], IDS)
    assert (seen[stream].dtype, seen[inside].dtype) == (torch.float32, torch.bfloat16)
    assert all(torch.equal(seen[site], whole[site]) for site in seen)
