"""What must hold on every declared family, seen on tiny models with random weights."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from relp_sae.attribution import attribute
from relp_sae.models import at_sites, load_model
from relp_sae.models.family import Role
from relp_sae.records import Site
from relp_sae.rules import composites
from relp_sae.rules.inspection import inspect_composite

IDS = torch.tensor([[0, 17, 45, 99, 17, 8, 61, 3, 20], [0, 3, 150, 12, 80, 31, 7, 77, 5]])
"""Longer than the tiny models' sliding windows of 4."""

ONE_POINT = [name for name in composites if not composites[name].two_point]

PER_BLOCK = {  # norms, activations, gates, attentions of a block, as its architecture says
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_neox"), (2, 1, 0, 1)),
    **dict.fromkeys(("llama", "mistral", "qwen2", "gemma", "phi3"), (2, 1, 1, 1)),
    **dict.fromkeys(("qwen3", "gemma2", "olmo2"), (4, 1, 1, 1)),
    **dict.fromkeys(("gemma3_text", "gemma3"), (6, 1, 1, 1)),
}


@pytest.fixture
def model(any_family, load_tiny):
    """A tiny random model of every family in turn, float32."""
    return load_tiny(any_family)


def slope_at_entry(model, ids=IDS, mask=None, of=lambda logits: logits[:, -1]):
    """All logits, and the slope of two of those ``of`` says at the input of block 0."""
    leaf = torch.zeros(*ids.shape, model.d_model, dtype=model.dtype, requires_grad=True)
    with at_sites(model, {Site(0, "resid_pre"): lambda _x: leaf}):
        positions = None if mask is None else (mask.cumsum(1) - 1).clamp(min=0)
        out = model.base(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
        )
        logits = model.head(out.last_hidden_state)
    read = of(logits)
    (slope,) = torch.autograd.grad(read[..., 5].sum() - read[..., 9].sum(), leaf)
    return logits.detach(), slope


def test_the_roles_are_those_of_the_architecture(model, any_family):
    norms, activations, gates, attentions = PER_BLOCK[any_family]
    capped = any_family == "gemma2"  # the soft cap of the logits is one more activation
    assert {role: len(model.places(role)) for role in Role} == {
        Role.NORM: 3 * norms + 1,
        Role.ACTIVATION: 3 * activations + capped,
        Role.GATE: 3 * gates,
        Role.ATTENTION: 3 * attentions,
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", composites)
def test_logits_are_those_of_the_untouched_model(load_tiny, any_family, dtype, name):
    model = load_tiny(any_family, dtype)
    untouched = AutoModelForCausalLM.from_pretrained(
        model.name, dtype=model.dtype, attn_implementation="eager"
    ).eval()
    expected = untouched(input_ids=IDS, use_cache=False).logits
    with composites[name].applied(model):
        found, _ = slope_at_entry(model)
    assert torch.equal(found, expected)


def put_on(model):
    """Hooks and overrides of every module. transformers itself may have put some on."""
    return [
        (
            dict(module._forward_hooks),
            dict(module._forward_pre_hooks),
            {"forward", "_attn"} & vars(module).keys(),
        )
        for module in model.hf.modules()
    ]


@pytest.mark.parametrize("name", composites)
def test_everything_is_undone(model, name):
    implementation, before = model.config._attn_implementation, put_on(model)
    logits, slope = slope_at_entry(model)
    with composites[name].applied(model):
        slope_at_entry(model)
    again = slope_at_entry(model)
    assert torch.equal(again[0], logits)
    assert torch.equal(again[1], slope)
    assert model.config._attn_implementation == implementation == "eager"
    assert put_on(model) == before


@pytest.mark.parametrize("name", composites)
def test_attention_stays_causal(model, name):
    for at in (0, 3, 7):
        with composites[name].applied(model):
            _, slope = slope_at_entry(model, of=lambda logits, at=at: logits[:, at])
        assert not slope[:, at + 1 :].any()
        assert slope[:, at].any()


def test_relevance_is_conserved_without_biases(any_family, save_tiny):
    """The rules and AH leave no bias and no unruled step: what goes in comes out."""
    model = load_model(str(save_tiny(any_family, biases=False)))
    found = inspect_composite(model, "relp-ah", IDS)
    assert abs(found.logit) > 1
    assert found.relevance == pytest.approx(found.logit, rel=1e-4)


@pytest.mark.usefixtures("float64_throughout")
def test_the_secant_is_complete_at_every_point_of_the_stream(load_tiny, make_run, any_family):
    model = load_tiny(any_family, "float64")
    kinds = [kind for kind in ("resid_pre", "resid_mid", "resid_post") if kind in model.site_kinds]
    sites = [f"{kind}.{layer}" for layer in range(3) for kind in kinds]
    run = make_run(model, *sites)
    scores = attribute(run, "secant")
    for pair in run.kept:
        total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
        for site in sites:
            here = scores.score[(scores.units.pair == pair) & (scores.units.site == site)]
            assert abs(here).max() > 1e-4
            assert here.sum() == pytest.approx(total, rel=0, abs=1e-9 * abs(here).sum())


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", composites)
def test_padding_changes_nothing(model, name, side):
    """A batch padded on either side has the slopes of the prompts by themselves."""
    with composites[name].applied(model):
        _, alone = slope_at_entry(model)
    padding = torch.full((2, 3), 1)
    whole, one = (padding, IDS) if side == "left" else (IDS, padding), torch.ones_like(IDS)
    masks = (0 * padding, one) if side == "left" else (one, 0 * padding)
    ids, mask = torch.cat(whole, dim=1), torch.cat(masks, dim=1)
    last = -1 if side == "left" else IDS.shape[1] - 1
    with composites[name].applied(model):
        _, padded = slope_at_entry(model, ids, mask, of=lambda logits: logits[:, last])
    real = padded[:, 3:] if side == "left" else padded[:, :-3]
    torch.testing.assert_close(real, alone, rtol=0, atol=2e-4 * alone.abs().max().item())
    assert not padded[mask == 0].any()


@pytest.mark.parametrize("name", ONE_POINT)
def test_bfloat16_slopes_are_near_those_of_float32(load_tiny, any_family, name):
    """Within a fifth of their length: bfloat16 has 8 bits. Truths refuse it; estimates may."""
    slopes = []
    for dtype in ("float32", "bfloat16"):
        model = load_tiny(any_family, dtype)
        with composites[name].applied(model):
            slopes.append(slope_at_entry(model)[1].float())
    exact, rounded = slopes
    assert (rounded - exact).norm() < 0.2 * exact.norm()


def test_the_gradient_is_that_of_whole_passes_of_the_untouched_model(
    any_family, load_tiny, make_run
):
    """Estimates run the last positions of prompts of different lengths; autograd runs it all."""
    model = load_tiny(any_family, "float64")
    run = make_run(model, "resid_pre.1")
    (site,) = run.sites
    assert len({len(pair.clean_ids) for pair in run.pairs}) > 1  # and longer than windows of 4
    found = attribute(run, "gradient")
    expected = []
    for pair in run.kept:
        ids = run.prompt_ids(pair)[:1]  # the corrupted one
        leaf = torch.zeros(*ids.shape, model.width(site), dtype=model.dtype, requires_grad=True)
        with torch.enable_grad(), at_sites(model, {site: lambda _x, leaf=leaf: leaf}):
            metric = run.metric_of(pair, model.last_logits(ids))
        (slope,) = torch.autograd.grad(metric.sum(), leaf)
        (steps,) = run.steps(pair)
        vectors = steps.vectors(torch.arange(len(steps.pos)))
        expected.append((vectors * slope[0][steps.pos]).sum(-1))
    expected = torch.cat(expected).numpy()
    np.testing.assert_allclose(found.score, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
