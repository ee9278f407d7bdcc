"""Promoted tokens against the model's own final norm and head, its scale held still."""

import pytest
import torch

from relp_sae.features.promotion import moved_logits, moved_tokens, norm_scale
from relp_sae.models import read_sites
from relp_sae.records import Site
from relp_sae.saes import load_saes
from relp_sae.tasks.encoding import text_of

PROMPTS = [(0, 17, 45, 99), (0, 8, 3)]


def scale_of(model, x):
    """1 / sqrt(mean(x^2) + eps), of x - mean(x) for LayerNorm."""
    norm = model.module(model.family.final_norm)
    if isinstance(norm, torch.nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    eps = getattr(norm, "eps", None) or getattr(norm, "variance_epsilon", None)
    return 1 / (x.square().mean(-1, keepdim=True) + eps).sqrt()


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "olmo2"])
def test_logits_move_as_by_the_norm_and_the_head_with_the_norms_scale_held(load_tiny, name):
    model = load_tiny(name, "float64")
    draw = torch.Generator().manual_seed(0)
    x, row = torch.randn(2, 32, generator=draw, dtype=torch.float64)
    norm, head = model.module(model.family.final_norm), model.module(model.family.unembed)
    bias = getattr(norm, "bias", None)
    bias = torch.zeros(32, dtype=torch.float64) if bias is None else bias
    held = scale_of(model, x) / scale_of(model, x + row)
    moved = head((norm(x + row) - bias) * held + bias) - head(norm(x))
    found = moved_logits(model, Site(1, "resid_post"), row[None], scale_of(model, x).item())
    expected = moved - moved.mean()
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_row_reaches_the_stream_as_its_site_does(load_tiny):
    gpt2, gemma2 = load_tiny("gpt2", "float64"), load_tiny("gemma2", "float64")
    row = torch.randn(1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    projected = row @ gpt2.in_block(1, "attn.c_proj").weight
    direct = moved_logits(gpt2, Site(1, "attn_out"), projected, 1.0)
    torch.testing.assert_close(moved_logits(gpt2, Site(1, "z"), row, 1.0), direct)
    for model, kind in ((gpt2, "mlp_in"), (gpt2, "mlp_normalized"), (gemma2, "mlp_in")):
        assert moved_logits(model, Site(1, kind), row, 1.0) is None
    heads = torch.zeros(1, gemma2.width(Site(1, "z")), dtype=torch.float64)
    assert moved_logits(gemma2, Site(1, "z"), heads, 1.0) is None  # a norm stands behind it


@torch.no_grad()
def test_the_scale_is_that_at_the_ends_of_the_prompts(model):
    ends = []
    for ids in PROMPTS:
        last = Site(2, "resid_post")
        ends.append(read_sites(model, [last], torch.tensor([ids]))[0][last][0, -1])
    expected = sum(scale_of(model, x).item() for x in ends) / 2
    assert norm_scale(model, PROMPTS) == pytest.approx(expected, rel=1e-5)


def test_the_most_moved_tokens_are_named_in_their_order(gpt2_model, sae_folder):
    (dictionary,) = load_saes(str(sae_folder("resid_pre.1"))).values()
    features = list(range(0, 40, 2))  # more than fit into a batch
    moved = moved_tokens(gpt2_model, dictionary, features, 0.5, 3)
    for feature, (promoted, suppressed) in zip(features, moved, strict=True):
        row = dictionary.W_dec[feature]
        logits = moved_logits(gpt2_model, dictionary.site, row[None], 0.5)[0]
        order = logits.argsort(descending=True).tolist()
        names = [text_of(gpt2_model.tokenizer, token) for token in order]
        assert [one.token for one in promoted] == names[:3]
        assert [one.token for one in suppressed] == names[:-4:-1]
        assert promoted[0].logit == pytest.approx(logits.max().item(), rel=1e-5)
        assert suppressed[0].logit == pytest.approx(logits.min().item(), rel=1e-5)
