"""Does a family's declaration fit the model? Checked once at load, by running it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from relp_sae.errors import RunError
from relp_sae.models.family import Role
from relp_sae.models.language_model import LanguageModel, Place
from relp_sae.models.sites import at_sites, read_sites
from relp_sae.records import Site

STREAM = ("resid_pre", "attn_out", "mlp_out", "resid_post")
"""The first three add up to the last, whether attention and MLP follow each other or not."""


@torch.no_grad()
def verify(model: LanguageModel) -> None:
    """Check that the model is what its family's declaration says.

    Every declared part exists, runs once a pass, and computes what its role is declared to; the
    blocks' outputs add up to the stream; the logits are the unembedding's, with nothing but the
    declared soft cap behind it; and adding at any kind of site moves them.

    Raises:
        InputError: a declared part is missing.
        RunError: one of the other checks fails.
    """
    if not model.n_layers:
        raise _misfit(model, f"there are no blocks at {model.family.blocks}")
    ids = torch.arange(1, 5, device=model.device)[None] % model.config.vocab_size
    _verify_roles(model, ids)
    layers = sorted({0, model.n_layers // 2, model.n_layers - 1})
    sites = [Site(layer, kind) for layer in layers for kind in model.site_kinds]
    seen, logits = read_sites(model, sites, ids)
    for layer in layers:
        pre, attention, mlp, post = (seen[Site(layer, kind)] for kind in STREAM)
        if not attention.shape == mlp.shape == post.shape or not _alike(
            pre + attention + mlp, post
        ):
            raise _misfit(model, f"{' + '.join(STREAM[:3])} is not {STREAM[3]} in block {layer}")
        _verify_inside(model, layer, seen)
    whole = model.hf(input_ids=ids, use_cache=False).logits[:, -1]
    last = seen[Site(model.n_layers - 1, "resid_post")][:, -1]
    if not _alike(whole, model.unembed(last)) or not _alike(whole, logits):
        raise _misfit(
            model, "its logits are not those of the unembedding (an undeclared soft cap?)"
        )
    for site in sites:
        with at_sites(model, {site: _bump}):
            if torch.equal(model.last_logits(ids), logits):
                raise _misfit(model, f"adding to {site} does not change the logits")


def _verify_inside(model: LanguageModel, layer: int, seen: Mapping[Site, Tensor]) -> None:
    """z is what makes attn_out, and mlp_in is mlp_normalized times the norm's weight."""
    family, found = model.family, seen[Site(layer, "attn_out")]
    out = model.in_block(layer, family.projection)(seen[Site(layer, "z")])
    if family.attention_out:
        out = model.in_block(layer, family.attention_out)(out)
    if not _alike(out, found):
        raise _misfit(model, f"{family.projection} does not make attn_out of z in block {layer}")
    if family.mlp_norm:
        norm = model.in_block(layer, family.mlp_norm)
        y = _weighted(model, norm, seen[Site(layer, "mlp_normalized")])
        if not _alike(y, seen[Site(layer, "mlp_in")]):
            raise _misfit(model, f"the MLP of block {layer} does not read {family.mlp_norm}")


def _verify_roles(model: LanguageModel, ids: Tensor) -> None:
    places = [place for role in Role for place in model.places(role)]
    modules = {module for place in places for module in _modules(place)}
    runs: Counter[nn.Module] = Counter()
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Any] = {}

    def record(module: nn.Module, args: tuple, output: Any) -> None:
        runs[module] += 1
        outputs[module] = output
        if args:  # attention may get all of its inputs by name
            inputs[module] = args[0]

    handles = [module.register_forward_hook(record) for module in modules]
    try:
        model.last_logits(ids)
    finally:
        for handle in handles:
            handle.remove()
    for place in places:
        for module in _modules(place):
            if runs[module] != 1:
                raise _misfit(
                    model,
                    f"the {place.role} at {place.name} ran {runs[module]} times in one forward "
                    "pass, expected once",
                )
        if not _computes_its_role(model, place, inputs, outputs):
            raise _misfit(model, f"the {place.role} at {place.name} computes something else")


def _modules(place: Place) -> list[nn.Module]:
    return [place.module, *(branch.module for branch in place.branches)]


def _computes_its_role(
    model: LanguageModel,
    place: Place,
    inputs: dict[nn.Module, Tensor],
    outputs: dict[nn.Module, Any],
) -> bool:
    if place.role is Role.ATTENTION:
        return True
    module, x = place.module, inputs[place.module]
    match place.role:
        case Role.NORM:
            return hasattr(module, model.norm.eps) and _alike(
                _weighted(model, module, model.norm.normalized(module, x)), outputs[module]
            )
        case Role.ACTIVATION:
            name = place.function
            return name in ACT2FN and _alike(ACT2FN[name](x), outputs[module])
        case Role.GATE:
            left, right = (branch.of(outputs[branch.module]) for branch in place.branches)
            return _alike(left * right, x)


def _weighted(model: LanguageModel, module: nn.Module, normalized: Tensor) -> Tensor:
    """What a norm is declared to put out; see ``Norm``."""
    bias = getattr(module, "bias", None)
    y = normalized * model.norm.weight(module)
    return y if bias is None else y + bias


def _alike(declared: Tensor, found: Tensor) -> bool:
    """Equal but for rounding. NaN weights are no matter of the declaration: they pass."""
    tolerance = max(1e-3, 8 * torch.finfo(found.dtype).eps)
    return (
        declared.shape == found.shape
        and not (declared - found).abs().max() > tolerance * found.abs().max()
    )


def _bump(x: Tensor) -> Tensor:
    """Something to add that is neither constant nor drawn from the caller's random numbers."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x.std() * noise.to(x)


def _misfit(model: LanguageModel, what: str) -> RunError:
    return RunError(f"{model.name}: {what}. The family's declaration does not fit.")
