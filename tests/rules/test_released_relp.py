"""The rules as RelP's released code writes them, against our composites, in float64.

That code (Jafari et al. 2025, arXiv 2508.21258: a fork of TransformerLens) changes the forward pass
with ``detach``. Here the same formulas are put over Hugging Face's modules of the tiny models:

    LN        x / sigma.detach()
    Identity  z * (act(x) / z).detach() with z = x + 1e-6 sign(x), so that nothing is divided by 0
    Half      product / 2 + (product / 2).detach()
    AH        pattern.detach() @ v

Ours has act(x) / x in closed form, for a division loses digits next to 0 and has no value at it.
Without the 1e-6 the two agree to rounding, with it to what 1e-6 / |x| can do.
"""

from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import Tensor, nn

from relp_sae.models import at_sites
from relp_sae.models.family import Role
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.rules import Composite, composites

IDS = torch.tensor([[0, 17, 45, 99, 17, 8], [3, 61, 45, 120, 17, 90]])
ANSWER, FOIL = 33, 71
SITES = [Site(layer, kind) for layer in range(3) for kind in KINDS]
pytestmark = pytest.mark.usefixtures("float64_throughout")


def layer_norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    scale = (x.pow(2).mean(-1, keepdim=True) + module.eps).sqrt()
    return x / scale.detach() * module.weight + module.bias


def rms_norm(module: nn.Module, x: Tensor) -> Tensor:
    scale = (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
    return x / scale.detach() * module.weight


def identity(function: nn.Module, epsilon: float):
    """The activation with the Identity-rule."""
    plain = function.forward

    def act(x: Tensor) -> Tensor:
        divided_by = x + epsilon * x.sign()
        return divided_by * (plain(x) / divided_by).detach()

    return act


def half(mlp: nn.Module):
    """Llama's MLP with the Half-rule."""

    def forward(x: Tensor) -> Tensor:
        product = mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)
        return mlp.down_proj(product / 2 + (product / 2).detach())

    return forward


def constant_pattern(_module, query, key, value, mask, scaling=None, **_ignored):
    """Eager attention with its pattern detached: (batch, pos, head, d_head)."""
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scores = query @ key.mT * (scaling or query.shape[-1] ** -0.5)
    pattern = (scores + mask).softmax(-1)
    return (pattern.detach() @ value).transpose(1, 2), pattern


@contextmanager
def released(model, roles: set[str], epsilon: float = 0.0):
    """Inside the context the model computes as the released code does with the rules of roles."""

    def override(module: nn.Module, forward) -> None:
        module.forward = forward
        undo.callback(delattr, module, "forward")

    norm = layer_norm if model.norm.centred else rms_norm
    with ExitStack() as undo:
        for place in model.places(Role.NORM) if "norm" in roles else ():
            override(place.module, lambda x, module=place.module: norm(module, x))
        if "gate" in roles and model.places(Role.GATE):
            for layer in range(model.n_layers):
                mlp = model.in_block(layer, "mlp")
                override(mlp, half(mlp))
        for place in model.places(Role.ACTIVATION) if "activation" in roles else ():
            override(place.module, identity(place.module, epsilon))
        if "attention" in roles:
            modules = [place.module for place in model.places(Role.ATTENTION)]
            undo.enter_context(model.attention_replaced(dict.fromkeys(modules, constant_pattern)))
        yield


def slopes(model):
    """d (answer - foil) / d x at every site, and the logits."""
    leaves = {
        site: torch.zeros(*IDS.shape, model.width(site), dtype=model.dtype, requires_grad=True)
        for site in SITES
    }
    with at_sites(model, {site: lambda _x, leaf=leaf: leaf for site, leaf in leaves.items()}):
        logits = model.last_logits(IDS)
    total = (logits[:, ANSWER] - logits[:, FOIL]).sum()
    return torch.autograd.grad(total, list(leaves.values())), logits


def assert_equal(ours, theirs, tolerance):
    for site, found, expected in zip(SITES, ours, theirs, strict=True):
        scale = expected.abs().max()
        assert scale > 1e-3, site
        assert (found - expected).abs().max() <= tolerance * scale, site


@pytest.mark.parametrize("name", ["relp", "relp-ah"])
def test_composites_are_the_released_rules(model64, name):
    roles = set(map(str, composites[name].table))
    with composites[name].applied(model64):
        ours, plain = slopes(model64)
    with released(model64, roles):
        theirs, logits = slopes(model64)
    torch.testing.assert_close(logits, plain, rtol=0, atol=1e-11)
    assert_equal(ours, theirs, 1e-10)
    with released(model64, roles, epsilon=1e-6):  # as published
        stabilised, _ = slopes(model64)
    assert_equal(ours, stabilised, 1e-3)


@pytest.mark.parametrize("role", Role)
def test_each_rule_is_the_released_one(model64, role):
    """So that no rule's mistake hides behind another's."""
    rule = {**composites["relp-ah"].table}[role]
    with Composite({role: rule}).applied(model64):
        ours, _ = slopes(model64)
    with released(model64, {str(role)}):
        theirs, _ = slopes(model64)
    assert_equal(ours, theirs, 1e-10)
    true, _ = slopes(model64)
    changed = max((a - b).abs().max() / b.abs().max() for a, b in zip(ours, true, strict=True))
    has_gate = bool(model64.places(Role.GATE))
    assert (changed > 1e-2) == (role is not Role.GATE or has_gate)
