"""Reading a model at a site, and adding to it there.

Every intervention of this package is an *addition* to the activation at a site: an exact patch adds
a unit's step, a splice adds (new reconstruction - old), and the gradient at a site is the gradient
with respect to an added zero. One mechanism serves them all, and it is right at resid_mid too,
where replacing the input of the second norm would leave the skip connection untouched. What is
added at mlp_in or mlp_normalized reaches the MLP and not the stream beside it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from relp_sae.models.family import Norm
from relp_sae.models.language_model import LanguageModel
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.tensors import Logits, Resid, Tokens

Addition = Callable[[Tensor], Tensor | None]
"""Given the activation at a site (batch, pos, width): what to add to it, or None for nothing."""


def forward_order(site: Site) -> tuple[int, int]:
    """A key that sorts sites as the forward pass meets them."""
    return site.layer, KINDS.index(site.kind)


@contextmanager
def at_sites(model: LanguageModel, additions: Mapping[Site, Addition]) -> Iterator[None]:
    """Inside the context every forward pass shows each site's activation to its function.

    An activation includes what was added at earlier sites. On exit no hook is left.

    Raises:
        InputError: the model has no such site.
    """
    with ExitStack() as hooks:
        for site in sorted(additions, key=forward_order):
            model.require_site(site)
            for handle in _attach(model, site, additions[site]):
                hooks.callback(handle.remove)
        yield


def in_turn(*additions: Mapping[Site, Addition]) -> dict[Site, Addition]:
    """Several additions at a site as one; each is shown what those before it added there."""
    sites = dict.fromkeys(site for one in additions for site in one)
    return {site: _in_turn([one[site] for one in additions if site in one]) for site in sites}


def _in_turn(parts: Sequence[Addition]) -> Addition:
    def add(x: Tensor) -> Tensor | None:
        total = None
        for part in parts:
            added = part(x if total is None else x + total)
            if added is not None:
                total = added if total is None else total + added
        return total

    return add


def read_sites(
    model: LanguageModel, sites: list[Site], ids: Tokens
) -> tuple[dict[Site, Resid], Logits]:
    """Activations (batch, pos, width) at ``sites`` and the last logits, on unpadded ids."""
    seen: dict[Site, Tensor] = {}
    with at_sites(model, {site: _store(seen, site) for site in sites}):
        logits = model.last_logits(ids)
    return seen, logits


class _AllRead(Exception):  # noqa: N818, a signal and no error
    """Ends a pass of which no more is needed."""


def read_up_to(
    model: LanguageModel,
    sites: Collection[Site],
    ids: Tokens,
    positions: Int[Tensor, "batch pos"] | None = None,
) -> dict[Site, Resid]:
    """Activations (batch, pos, width) at ``sites``, by a pass that ends at the last of them.

    ``positions`` says where the tokens stand in their prompts, by default from 0 on; then the
    attention has to know who sees whom (see ``continued``).

    What comes later is not run: no block, and no unembedding. The activations are as the model
    computed them, in its type (under ``torch.autocast``, in the type that a part puts out there),
    and with their graph unless gradients are off.

    Raises:
        InputError: the model has no such site.
    """
    seen: dict[Site, Tensor] = {}

    def reading(site: Site) -> Addition:
        def read(x: Tensor) -> None:
            seen[site] = x
            if len(seen) == len(set(sites)):
                raise _AllRead

        return read

    placed = {}
    if positions is not None:
        unknown = torch.full((1, 1, 1, 1), torch.nan, device=model.device, dtype=model.dtype)
        placed = {"position_ids": positions, "attention_mask": unknown}
    with suppress(_AllRead), at_sites(model, {site: reading(site) for site in sites}):
        model.base(input_ids=ids.to(model.device), use_cache=False, **placed)
    return seen


def _store(seen: dict[Site, Tensor], site: Site) -> Addition:
    def read(x: Tensor) -> None:
        seen[site] = x

    return read


def _attach(model: LanguageModel, site: Site, addition: Addition) -> list[RemovableHandle]:
    block, family = model.blocks[site.layer], model.family
    attention = model.in_block(site.layer, family.attention_out or family.attention)
    match site.kind:
        case "resid_pre":
            return [block.register_forward_pre_hook(_on_input(addition), with_kwargs=True)]
        case "resid_post":
            return [block.register_forward_hook(_on_output(addition))]
        case "z":
            projection = model.in_block(site.layer, family.projection)
            return [projection.register_forward_pre_hook(_on_input(addition), with_kwargs=True)]
        case "mlp_normalized":
            norm = model.in_block(site.layer, family.mlp_norm)
            return [norm.register_forward_hook(_before_weight(model.norm, addition))]
        case "mlp_in":
            mlp = model.in_block(site.layer, family.mlp)
            return [mlp.register_forward_pre_hook(_on_input(addition), with_kwargs=True)]
        case "attn_out":
            return [attention.register_forward_hook(_on_output(addition))]
        case "mlp_out":
            mlp = model.in_block(site.layer, family.mlp_out or family.mlp)
            return [mlp.register_forward_hook(_on_output(addition))]
        case _:  # resid_mid = block input + attention output, reached through the latter
            block_input: list[Tensor] = []

            def remember(_block: nn.Module, args: tuple, kwargs: dict) -> None:
                block_input[:] = [args[0] if args else kwargs["hidden_states"]]

            return [
                block.register_forward_pre_hook(remember, with_kwargs=True),
                attention.register_forward_hook(
                    _on_output(lambda out: addition(block_input.pop() + out))
                ),
            ]


def _on_input(addition: Addition) -> Callable[..., Any]:
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        x = args[0] if args else kwargs["hidden_states"]
        added = addition(x)
        if added is None:
            return None
        if args:
            return (x + added, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": x + added}

    return hook


def _on_output(addition: Addition) -> Callable[..., Any]:
    def hook(_module: nn.Module, _args: tuple, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        added = addition(x)
        if added is None:
            return None
        return (x + added, *output[1:]) if isinstance(output, tuple) else x + added

    return hook


def _before_weight(norm: Norm, addition: Addition) -> Callable[..., Any]:
    """An addition to what a norm multiplies by its weight comes out multiplied by it."""

    def hook(module: nn.Module, args: tuple, y: Tensor) -> Tensor | None:
        added = addition(norm.normalized(module, args[0]))
        return None if added is None else y + added * norm.weight(module)

    return hook
