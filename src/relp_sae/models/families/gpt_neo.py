"""GPT-Neo (TinyStories): LayerNorm, learned positions, global and local attention in turns.

It does not go through transformers' attention interface: its attention modules hold their causal
mask, and call a method of their own.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from relp_sae.models.attention import AttentionFunction
from relp_sae.models.family import Family, Norm, families


class ThroughMethod:
    """The method ``_attn(query, key, value, mask)`` of each module, which scales by 1."""

    def eager(self, module: nn.Module) -> AttentionFunction:  # noqa: ARG002
        """See `AttentionCalls`."""
        return _eager

    @contextmanager
    def replaced(
        self,
        hf: PreTrainedModel,  # noqa: ARG002
        functions: Mapping[nn.Module, AttentionFunction],
    ) -> Iterator[None]:
        """See `AttentionCalls`."""
        with ExitStack() as undo:
            for module, function in functions.items():
                if "_attn" in vars(module):
                    undo.callback(vars(module).update, _attn=vars(module)["_attn"])
                else:
                    undo.callback(delattr, module, "_attn")
                module.__dict__["_attn"] = _method(module, function)
            yield


def _eager(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **_kwargs: Any
) -> tuple[Tensor, Tensor]:
    own: Any = type(module)
    out, pattern = own._attn(module, query, key, value, mask)
    return out.transpose(1, 2), pattern


def _method(module: nn.Module, function: AttentionFunction):
    def _attn(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None):
        seen = _mask(module, query, key, mask)
        out, pattern = function(module, query, key, value, seen, scaling=1.0)
        return out.transpose(1, 2), pattern

    return _attn


def _mask(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mask that a module was called with joined with its own, which knows the window.

    One of another shape (rows that do not make one prompt) is left as it is.
    """
    queries, keys = query.shape[2], key.shape[2]
    if mask is not None and mask.shape[-2:] != (queries, keys):
        return mask
    own: Any = module.bias
    hidden = torch.finfo(query.dtype).min
    visible = own[:, :, keys - queries : keys, :keys]
    if mask is not None:
        visible = visible & (mask == 0)
    return torch.zeros(visible.shape, dtype=query.dtype, device=query.device).masked_fill(
        ~visible, hidden
    )


families.register("gpt_neo")(
    Family(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        unembed="lm_head",
        attention="attn.attention",
        projection="attn.attention.out_proj",
        mlp="mlp",
        mlp_norm="ln_2",
        norms=("ln_1", "ln_2"),
        norm=Norm(centred=True, eps="eps"),
        activation="mlp.act",
        activation_name="activation_function",
        gate=None,
        blocks_return_tuples=True,
        attention_calls=ThroughMethod(),
    )
)
