"""Slopes of whole models under each composite, against the forward passes in textbook.py."""

import pytest
import torch

from relp_sae.models import at_sites, load_model
from relp_sae.models.family import Role
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.rules import Composite, composites
from relp_sae.rules.inspection import inspect_composite

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])
ANSWER, FOIL = 33, 71


def tolerance(model):
    """GPT-2 is float64 throughout. Llama computes RMSNorm and softmax in float32 in any dtype."""
    return 1e-11 if model.config.model_type == "gpt2" else 1e-5


def leaves(sites, dtype=torch.float64):
    return {site: torch.zeros(6, 32, dtype=dtype, requires_grad=True) for site in sites}


@pytest.mark.parametrize("name", [name for name in composites if not composites[name].two_point])
def test_slopes_at_every_site_are_the_textbooks(model64, textbook, name):
    table = composites[name].table
    for role, rule in table.items():
        assert textbook.LRP[role] == rule, "write this rule out in textbook.py"
    sites = [Site(layer, kind) for layer in range(3) for kind in KINDS]

    added = leaves(sites)
    with (
        composites[name].applied(model64),
        at_sites(model64, {site: lambda _x, leaf=leaf: leaf for site, leaf in added.items()}),
    ):
        last = model64.last_logits(IDS)[0]
        found = torch.autograd.grad(last[ANSWER] - last[FOIL], list(added.values()))

    book = leaves(sites)
    additions = {str(site): leaf for site, leaf in book.items()}
    logits, _ = textbook.forward(model64.hf, IDS[0], rules=set(table), add=additions)
    expected = torch.autograd.grad(logits[-1, ANSWER] - logits[-1, FOIL], list(book.values()))

    for site, slope, by_book in zip(sites, found, expected, strict=True):
        scale = by_book.abs().max().item()
        assert scale > 1e-3, site
        torch.testing.assert_close(
            slope,
            by_book,
            rtol=0,
            atol=tolerance(model64) * scale,
            msg=lambda m, s=site: f"{s} {m}",
        )


@pytest.mark.parametrize("role", Role)
def test_each_rule_alone_is_the_textbooks(model64, textbook, role):
    """So that no rule's mistake hides behind another's."""
    (leaf,) = leaves(["here"]).values()
    with (
        Composite({role: textbook.LRP[role]}).applied(model64),
        at_sites(model64, {Site(0, "resid_pre"): lambda _x: leaf}),
    ):
        (found,) = torch.autograd.grad(model64.last_logits(IDS)[0, ANSWER], leaf)
    logits, _ = textbook.forward(model64.hf, IDS[0], rules={str(role)}, add={"resid_pre.0": leaf})
    (expected,) = torch.autograd.grad(logits[-1, ANSWER], leaf)
    atol = tolerance(model64) * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relevance_is_conserved_where_every_step_has_a_rule(save_tiny, family, dtype):
    """Without biases, sum(slope * x) of the block-0 input is the output itself (relp-ah).

    Every step is then a constant matrix: pattern, scale of the norm, act(x)/x, half a product.
    """
    model = load_model(str(save_tiny(family, biases=False)), dtype=dtype)
    entry, leaf = [], torch.zeros(1, 6, 32, dtype=model.dtype, requires_grad=True)

    def add(x):
        entry.append(x.detach())
        return leaf

    with composites["relp-ah"].applied(model), at_sites(model, {Site(0, "resid_pre"): add}):
        last = model.last_logits(IDS)[0]
        diff = last[ANSWER] - last[FOIL]
        (slope,) = torch.autograd.grad(diff, leaf)
    relevance = slope * entry[0]
    # What rounding can do is measured against the sum without cancellation.
    exact = dtype == "float64" and family == "gpt2"
    allowed = (1e-14 if exact else 1e-6) * relevance.abs().sum().item()
    assert relevance.sum().item() == pytest.approx(diff.item(), abs=allowed, rel=0)
    assert allowed < 1e-3 * abs(diff.item())

    for other in ("gradient", "relp"):
        assert inspect_composite(model, other, IDS).relevance != pytest.approx(
            inspect_composite(model, other, IDS).logit, rel=1e-2
        )
    found = inspect_composite(model, "relp-ah", IDS)
    assert found.relevance == pytest.approx(found.logit, rel=1e-4)


def test_a_bias_takes_relevance(gpt2_model):
    found = inspect_composite(gpt2_model, "relp-ah", IDS)
    assert found.relevance != pytest.approx(found.logit, rel=1e-2)
