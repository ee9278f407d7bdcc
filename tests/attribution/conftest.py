"""Linear models, on which every slope is exact; and interventions by plain torch hooks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from relp_sae.models import load_model
from relp_sae.models.family import Role

SITES = ("resid_pre.0", "attn_out.1", "resid_mid.1", "mlp_out.1", "resid_pre.2", "resid_post.2")

SWAMP = 1e6
"""sqrt(epsilon) of a linear model's norms: beside it no variance matters, so the scale is fixed."""

ALWAYS_ON = 1e4
"""Bias that keeps every unit of a ReLU layer active; the layer's output bias takes it back."""


def _gpt2(hf, d_model):
    """Attention patterns are uniform and every ReLU is active, yet every part is in use."""
    for block in hf.transformer.h:
        block.attn.c_attn.weight[:, : 2 * d_model] = 0
        block.attn.c_attn.bias[: 2 * d_model] = 0
        block.mlp.c_fc.bias += ALWAYS_ON
        block.mlp.c_proj.bias -= ALWAYS_ON * block.mlp.c_proj.weight.sum(0)


def _llama(hf, _d_model):
    """Attention patterns are uniform; a gated product cannot be linear, so it is cut off."""
    for block in hf.model.layers:
        block.self_attn.q_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()


LINEAR = {
    "gpt2": ({"activation_function": "relu"}, _gpt2, ("attn.c_proj", "mlp.c_proj")),
    "llama": ({}, _llama, ("self_attn.o_proj", "mlp.down_proj")),
}
"""Family -> configuration, what makes its blocks linear, and what each block writes with."""


@pytest.fixture(scope="session")
def linear_run(save_tiny, make_run):
    """``linear_run(family, skip_only)``: a run in float64 on a model that is linear in x.

    ``skip_only`` also cuts every block off, so that x goes straight to the unembedding, and lets
    the prompts differ in their last token only, since that is where the logits are read.
    """

    @cache
    @torch.no_grad()
    def make(family, skip_only=False):
        assert family in LINEAR, "say in LINEAR how a model of the new family is made linear"
        config, linearise, writers = LINEAR[family]
        model = load_model(str(save_tiny(family, **config)), dtype="float64")
        linearise(model.hf, model.d_model)
        for norm in model.places(Role.NORM):
            setattr(norm.module, model.norm.eps, SWAMP**2)
            norm.module.weight *= SWAMP
        if skip_only:
            model.module(model.family.final_norm).weight.fill_(SWAMP)
            unembedding = model.module(model.family.unembed).weight
            unembedding -= unembedding.mean(1, keepdim=True)  # else centring is in the way
            for layer in range(model.n_layers):
                for writer in writers:
                    for weight in model.in_block(layer, writer).parameters():
                        weight.zero_()
        run = make_run(model, *SITES)
        if skip_only:
            last = [
                replace(pair, corrupted_ids=(*pair.clean_ids[:-1], 5 + index))
                for index, pair in enumerate(run.pairs)
            ]
            run = replace(run, pairs=last)
        return run

    return make


@pytest.fixture(scope="session")
def plain():
    """Interventions by plain torch hooks, which share no code with the package.

    ``metric(run, pair, ids, site, change)`` is the metric (batch,) of prompts (batch, pos) with x
    at the site replaced by ``change(x)``; ``slope(...)`` is its gradient with respect to the new x
    and ``ends(run, pair, site)`` are x_corrupted and x_clean, all (pos, d_model).
    """

    def metric(run, pair, ids, site, change: Callable[[Tensor], Tensor]):
        family, prompts = run.model.family, run.pairs[pair]
        block = run.model.hf.get_submodule(f"{family.blocks}.{site.layer}")
        part = {
            **{"attn_out": family.attention, "resid_mid": family.attention, "mlp_out": family.mlp},
            **{"z": family.projection, "mlp_in": family.mlp, "mlp_normalized": family.mlp_norm},
        }
        entered = []

        def before(_module, args):
            entered.append(args[0])

        def on_input(_module, args):
            return (change(args[0]), *args[1:])

        def after(module, _args, output):
            x = output[0] if isinstance(output, tuple) else output
            skip, scale = 0, 1
            if site.kind == "resid_mid":
                skip = entered[-1]
            if site.kind == "mlp_normalized":
                skip, scale = -getattr(module, "bias", 0), 1 / module.weight
            new = change((skip + x) * scale) / scale - skip
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handles = [block.register_forward_pre_hook(before)]
        hooked = block.get_submodule(part.get(site.kind, ""))  # "" is the block itself
        if site.kind in ("resid_pre", "z", "mlp_in"):
            handles.append(hooked.register_forward_pre_hook(on_input))
        else:
            handles.append(hooked.register_forward_hook(after))
        try:
            logits = run.model.hf(input_ids=ids).logits[:, -1]
        finally:
            for handle in handles:
                handle.remove()
        return logits[:, prompts.answer] - logits[:, prompts.foil]

    def slope(run, pair, ids, site, change=lambda x: x):
        leaves = []

        def as_leaf(x):
            leaves.append(change(x).detach().clone().requires_grad_())
            return leaves[0]

        value = metric(run, pair, ids, site, as_leaf)
        return torch.autograd.grad(value.sum(), leaves)[0]

    @torch.no_grad()
    def ends(run, pair, site):
        seen = []
        prompts = run.pairs[pair]
        for ids in (prompts.corrupted_ids, prompts.clean_ids):
            metric(run, pair, torch.tensor([ids]), site, lambda x: seen.append(x[0]) or x)
        return seen

    return SimpleNamespace(metric=metric, slope=slope, ends=ends)


@pytest.fixture(scope="session")
def state_of():
    """All of a model that a backward pass under other slopes could leave changed."""

    def read(model):
        hooks = Counter()
        for name, module in model.hf.named_modules():
            for kind, held in vars(module).items():
                if kind.endswith("_hooks") and held:
                    hooks[name, kind] += len(held)
        weights = list(model.hf.parameters())
        return {
            "weights": model.sha256(),
            "hooks": hooks,
            "overridden": [name for name, m in model.hf.named_modules() if "forward" in vars(m)],
            "requires_grad": [weight.requires_grad for weight in weights],
            "grad": [weight.grad for weight in weights],
            "attention": model.config._attn_implementation,
            "training": [module.training for module in model.hf.modules()],
            "grad_enabled": torch.is_grad_enabled(),
        }

    return read
