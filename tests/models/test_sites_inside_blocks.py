"""z and the MLP's input in every family, against hooks on Hugging Face's own modules.

Where each of them is is written out a second time: nothing is taken from the declarations.
"""

import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites
from relp_sae.models.family import families
from relp_sae.records import Site

IDS = torch.tensor([[0, 17, 45, 99, 17, 8], [0, 3, 150, 12, 80, 31]])
KINDS = ("z", "mlp_normalized", "mlp_in")

_LLAMA = ("model.layers.1", "self_attn.o_proj", "post_attention_layernorm")
_GEMMA_2 = ("model.layers.1", "self_attn.o_proj", "pre_feedforward_layernorm")
WHERE = {
    "gpt2": ("transformer.h.1", "attn.c_proj", "ln_2"),
    "gpt_neo": ("transformer.h.1", "attn.attention.out_proj", "ln_2"),
    "gpt_neox": ("gpt_neox.layers.1", "attention.dense", "post_attention_layernorm"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3"), _LLAMA),
    **dict.fromkeys(("gemma2", "gemma3_text"), _GEMMA_2),
    "gemma3": ("model.language_model.layers.1", *_GEMMA_2[1:]),
    "olmo2": ("model.layers.1", "self_attn.o_proj", None),
}
"""Family -> its second block, its output projection in it, and the norm in front of its MLP."""

WIDER = {"gemma", "gemma2", "gemma3_text", "gemma3"}
"""Families whose tiny models have four heads of 12 beside a stream of 32."""


def test_every_family_is_written_out():
    assert set(WHERE) == set(families)


def hooked(model, kind, change):
    """Logits and x at ``kind`` with ``change(x)`` added there, by one hook of our own."""
    block_path, projection, norm = WHERE[model.hf.config.model_type]
    block, seen = model.hf.get_submodule(block_path), []

    def on_input(_module, args):
        seen.append(args[0])
        return (args[0] + change(args[0]), *args[1:])

    def on_norm(module, _args, y):
        weight = 1 + module.weight if model.hf.config.model_type in WIDER else module.weight
        x = (y - getattr(module, "bias", 0)) / weight
        seen.append(x)
        return y + change(x) * weight

    if kind == "mlp_normalized":
        handle = block.get_submodule(norm).register_forward_hook(on_norm)
    else:
        path = {"z": projection, "mlp_in": "mlp"}[kind]
        handle = block.get_submodule(path).register_forward_pre_hook(on_input)
    try:
        logits = model.hf(input_ids=IDS, use_cache=False).logits[:, -1]
    finally:
        handle.remove()
    return logits, seen[0]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_reading_and_adding_are_those_of_a_hook(load_tiny, any_family, kind):
    model, site = load_tiny(any_family), Site(1, kind)
    if kind not in model.site_kinds:
        assert (any_family, kind) == ("olmo2", "mlp_normalized")
        return
    draw = torch.Generator().manual_seed(0)
    added = torch.randn(2, 6, model.width(site), generator=draw)
    plain, x = hooked(model, kind, torch.zeros_like)
    expected, _ = hooked(model, kind, lambda _x: added)
    seen, logits = read_sites(model, [site], IDS)
    torch.testing.assert_close(seen[site], x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, plain, rtol=1e-5, atol=1e-5)
    with at_sites(model, {site: lambda _x: added}):
        moved = model.last_logits(IDS)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4)
    assert (moved - logits).abs().max() > 1e-2
    assert torch.equal(model.last_logits(IDS), logits)


def test_only_z_may_be_wider_than_the_stream(load_tiny, any_family):
    model = load_tiny(any_family)
    widths = {kind: model.width(Site(1, kind)) for kind in model.site_kinds}
    assert widths.pop("z") == (48 if any_family in WIDER else 32)
    assert set(widths.values()) == {model.d_model} == {32}


def test_parallel_blocks_have_nothing_between_attention_and_mlp(load_tiny):
    model = load_tiny("gpt_neox")
    assert model.site_kinds == tuple(
        kind for kind in load_tiny("gpt2").site_kinds if kind != "resid_mid"
    )
    with pytest.raises(InputError) as raised:
        model.require_site(Site(1, "resid_mid"))
    assert "no site resid_mid.1: in its blocks attention and MLP stand side by" in str(raised.value)


def test_an_mlp_that_reads_the_stream_itself_has_no_norm_in_front(load_tiny):
    model = load_tiny("olmo2")
    seen, _ = read_sites(model, [Site(1, "resid_mid"), Site(1, "mlp_in")], IDS)
    assert torch.equal(seen[Site(1, "resid_mid")], seen[Site(1, "mlp_in")])
    with pytest.raises(InputError) as raised:
        model.require_site(Site(1, "mlp_normalized"))
    assert "no site mlp_normalized.1: its MLPs read the stream itself" in str(raised.value)
    assert "It has resid_pre, z, attn_out, resid_mid, mlp_in, mlp_out, resid_post" in str(
        raised.value
    )
