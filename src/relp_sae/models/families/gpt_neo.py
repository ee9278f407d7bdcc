"""GPT-Neo (TinyStories): GPT-2's parts, global and local attention in turns.

It does not go through transformers' attention interface: its attention modules hold their causal
mask, and call a method of their own.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from relp_sae.models.attention import AttentionFunction, acting, dispatch
from relp_sae.models.families.gpt2 import GPT2
from relp_sae.models.family import accept_any, families


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
            undo.enter_context(acting(functions))
            for module in functions:
                if "_attn" in vars(module):
                    undo.callback(vars(module).update, _attn=vars(module)["_attn"])
                else:
                    undo.callback(delattr, module, "_attn")
                module.__dict__["_attn"] = _method(module)
            yield


def _eager(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **_kwargs: Any
) -> tuple[Tensor, Tensor]:
    own: Any = type(module)
    out, pattern = own._attn(module, query, key, value, mask)
    return out.transpose(1, 2), pattern


def _method(module: nn.Module):
    def _attn(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None):
        seen = _mask(module, query, key, mask)
        out, pattern = dispatch(module, query, key, value, seen, scaling=1.0)
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
    seen = torch.zeros((), dtype=query.dtype, device=query.device)
    added = torch.where(own[:, :, keys - queries : keys, :keys], seen, torch.finfo(query.dtype).min)
    return added if mask is None else added + mask


families.register("gpt_neo")(
    replace(
        GPT2,
        attention="attn.attention",
        projection="attn.attention.out_proj",
        blocks_return_tuples=True,
        attention_calls=ThroughMethod(),
        refuse=accept_any,
    )
)
