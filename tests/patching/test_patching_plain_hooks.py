"""Exact patching against a naive loop: plain torch hooks, one unit and one full forward at a time.

Uses nothing of this package but the prompts and what the family calls its parts: the SAE is
SAELens' own object, the model is Hugging Face's, and where a site is is written out a second time.
"""

import pytest
import torch

from relp_sae.patching import patch
from relp_sae.records import Site
from relp_sae.records.site import KINDS


class Probe:
    """Reads x at a site and adds a vector to it at one position."""

    def __init__(self, hf, names, kind, layer):
        """``names`` says what the blocks and their attention and MLP are called."""
        self.hf = hf
        self.kind = kind
        self.block = hf.get_submodule(f"{names.blocks}.{layer}")
        attention = self.block.get_submodule(names.attention)
        self.hooked = {
            "resid_pre": self.block,
            "resid_mid": attention,
            "resid_post": self.block,
            "attn_out": attention,
            "mlp_out": self.block.get_submodule(names.mlp),
            "z": self.block.get_submodule(names.projection),
            "mlp_in": self.block.get_submodule(names.mlp),
            "mlp_normalized": self.block.get_submodule(names.mlp_norm),
        }[kind]

    @torch.no_grad()
    def run(self, ids, pos=0, vector=0.0):
        """x (pos, width) before the addition, and the last logits."""
        seen = {}

        def remember(_module, args):
            seen["block input"] = args[0].clone()

        def before(_module, args):
            seen["x"] = args[0].clone()
            changed = args[0].clone()
            changed[0, pos] += vector
            return (changed, *args[1:])

        def after(module, _args, output):
            whole = output if isinstance(output, torch.Tensor) else output[0]
            scale = 1.0
            seen["x"] = whole.clone()
            if self.kind == "resid_mid":
                seen["x"] += seen["block input"]
            if self.kind == "mlp_normalized":
                scale = module.weight
                seen["x"] = (whole - getattr(module, "bias", 0)) / scale
            changed = whole.clone()
            changed[0, pos] += vector * scale
            return changed if isinstance(output, torch.Tensor) else (changed, *output[1:])

        handles = [self.block.register_forward_pre_hook(remember)]
        if self.kind in ("resid_pre", "z", "mlp_in"):
            handles.append(self.hooked.register_forward_pre_hook(before))
        else:
            handles.append(self.hooked.register_forward_hook(after))
        try:
            logits = self.hf(input_ids=torch.tensor([ids])).logits[0, -1]
        finally:
            for handle in handles:
                handle.remove()
        return seen["x"][0], logits


def naive_effect(run, probe, units, index, truth):
    """The effect of the unit at ``index`` of a run with one site."""
    prompts = run.pairs[units.pair[index]]
    pos, feature = int(units.pos[index]), int(units.feature[index])
    here, there = prompts.corrupted_ids, prompts.clean_ids
    if truth == "noise":
        here, there = there, here
    (dictionary,) = run.dictionaries.values()
    sae = dictionary.sae
    x_here, logits = probe.run(here)
    x_there, _ = probe.run(there)
    f_here, f_there = sae.encode(x_here), sae.encode(x_there)
    if feature >= 0:
        vector = (f_there - f_here)[pos, feature] * sae.W_dec[feature]
    else:
        vector = ((x_there - sae.decode(f_there)) - (x_here - sae.decode(f_here)))[pos]
    _, patched = probe.run(here, pos, vector)
    change = patched - logits
    effect = (change[prompts.answer] - change[prompts.foil]).item()
    return effect if truth == "denoise" else -effect


@pytest.mark.parametrize("truth", ["denoise", "noise"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_naive_loop(tiny_run, family, kind, truth):
    run = tiny_run(family, Site(1, kind), pairs=((4, (1, 3)), (3, (2,))))
    probe = Probe(run.model.hf, run.model.family, kind, layer=1)
    measured = patch(run, truth)
    naive = torch.tensor(
        [naive_effect(run, probe, measured.units, i, truth) for i in range(len(measured.units))]
    )
    assert naive.abs().max() > 0
    assert (torch.from_numpy(measured.score) - naive).abs().max() <= 1e-4 * naive.abs().max()
