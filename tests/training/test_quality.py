"""The figures of a model card, each from its definition."""

import pytest
import torch

from relp_sae.models import at_sites, read_sites
from relp_sae.records import Site
from relp_sae.saes import load_saes
from relp_sae.training import measure_quality
from relp_sae.training.stream import ordinary

SITE = Site.parse("resid_pre.2")


def test_quality_against_its_definition(gpt2_model, contexts, trained):
    (dictionary,) = load_saes(str(trained[0])).values()
    contexts = contexts[:20]
    ids = torch.cat(contexts)
    whole = read_sites(gpt2_model, [SITE], ids)[0][SITE]
    keep = ordinary(whole, ids, gpt2_model)
    x = whole[keep]
    code = dictionary.encode(x)
    rebuilt = dictionary.decode(code)
    left = (x - rebuilt).square().sum() / (x - x.mean(0)).square().sum()
    quality = measure_quality(gpt2_model, dictionary, contexts)
    assert quality.tokens == len(x)
    assert quality.explained_variance == pytest.approx(1 - left.item(), abs=1e-4)
    assert quality.l0 == pytest.approx((code.features != 0).sum(-1).double().mean().item())
    assert quality.dead_fraction == pytest.approx(
        (code.features == 0).all(0).double().mean().item()
    )
    assert quality.mean_norm == pytest.approx(x.norm(dim=-1).mean().item(), rel=1e-5)
    assert quality.mean_norm_reconstructed == pytest.approx(
        rebuilt.norm(dim=-1).mean().item(), rel=1e-5
    )

    def loss(change):
        with at_sites(gpt2_model, {SITE: lambda x: change(x) * keep[..., None]}), torch.no_grad():
            logits = gpt2_model.hf(input_ids=ids).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    clean, zero = loss(torch.zeros_like), loss(torch.neg)
    spliced = loss(lambda x: dictionary.decode(dictionary.encode(x)) - x)
    assert quality.cross_entropy == pytest.approx(clean.item(), abs=1e-4)
    assert quality.cross_entropy_recovered == pytest.approx(
        ((zero - spliced) / (zero - clean)).item(), abs=1e-3
    )
