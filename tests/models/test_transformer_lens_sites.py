"""Every site is the point that TransformerLens' bridge calls by its hook name, in every family."""

import copy
from functools import partial

import pytest
import torch

from relp_sae.models import at_sites, read_sites
from relp_sae.records import Site

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:transformer_lens"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])
LAYER = 1


def bridge_of(model):
    """The bridge around a copy of the model, into which it puts its own parts."""
    if model.config.model_type != model.hf.config.model_type:
        pytest.skip(
            "the bridge asks the Hub for an image processor; gemma3_text has the same parts"
        )
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(
        model.config.name_or_path,
        hf_model=copy.deepcopy(model.hf),
        tokenizer=model.tokenizer,
        dtype=model.dtype,
        device="cpu",
    )


def flat(x):
    """Heads side by side, where TransformerLens keeps them on an axis of their own."""
    return x.flatten(2)


@torch.no_grad()
def test_an_activation_is_the_bridges(load_tiny, any_family):
    model = load_tiny(any_family)
    sites = [Site(LAYER, kind) for kind in model.site_kinds]
    _, cache = bridge_of(model).run_with_cache(IDS)
    seen, _ = read_sites(model, sites, IDS)
    for site in sites:
        x = seen[site]
        assert x.shape == (1, 6, model.width(site))
        torch.testing.assert_close(flat(cache[site.hook_name]), x, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["z", "mlp_normalized", "mlp_in"])
def test_adding_there_is_adding_at_the_bridges_hook(load_tiny, any_family, kind):
    model = load_tiny(any_family)
    if kind not in model.site_kinds:
        assert any_family == "olmo2", "only its MLPs read the stream itself"
        return
    site, bridge = Site(LAYER, kind), bridge_of(model)
    draw = torch.Generator().manual_seed(0)
    added = torch.randn(1, 6, model.width(site), generator=draw)

    def add(x, hook):  # noqa: ARG001 - its caller names it
        return x + added.view_as(x)

    expected = bridge.run_with_hooks(IDS, fwd_hooks=[(site.hook_name, add)])[0, -1]
    plain = model.last_logits(IDS)[0]
    with at_sites(model, {site: lambda _x: added}):
        found = model.last_logits(IDS)[0]
    assert (found - plain).abs().max() > 1e-2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.last_logits(IDS)[0], plain, rtol=0, atol=0)


@torch.no_grad()
def test_in_a_folded_model_the_names_mean_other_activations(load_tiny, family):
    """Why an SAE that was trained with fold_ln or fold_value_biases is refused at these sites."""
    model = load_tiny(family)
    sites = {kind: Site(LAYER, kind) for kind in ("z", "mlp_normalized", "mlp_in")}
    seen, _ = read_sites(model, list(sites.values()), IDS)
    bridge = bridge_of(model)
    bridge.enable_compatibility_mode()
    _, cache = bridge.run_with_cache(IDS)
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    close(cache[sites["mlp_in"].hook_name], seen[sites["mlp_normalized"]])
    close(cache[sites["mlp_normalized"].hook_name], seen[sites["mlp_normalized"]])
    moved = seen[sites["z"]] - flat(cache[sites["z"].hook_name])
    value_bias = torch.zeros(32)  # Llama has none
    if family == "gpt2":  # its own, and what the norm's bias adds to it
        values, norm = model.in_block(LAYER, "attn.c_attn"), model.in_block(LAYER, "ln_1")
        value_bias = values.bias[-32:] + norm.bias @ values.weight[:, -32:]
    close(moved[0], value_bias.expand(6, -1))
