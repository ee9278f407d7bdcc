"""A pass that keeps what its attention met: keys and values that later runs need not compute."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relp_sae.models.attention import AttentionFunction
from relp_sae.models.blocks import started_at
from relp_sae.models.family import Role
from relp_sae.models.language_model import LanguageModel
from relp_sae.models.sites import at_sites
from relp_sae.records import Site
from relp_sae.tensors import Resid, Tokens


class Met(NamedTuple):
    """Keys (rotated, where the family rotates them), values, and the mask, 0 where a key is seen.

    The mask is that of every prompt.
    """

    key: Float[Tensor, "prompt kv pos d_head"]
    value: Float[Tensor, "prompt kv pos d_head"]
    mask: Float[Tensor, "query key"]


class AttentionCall(NamedTuple):
    """One call of a block's attention function, and its output (prompt, pos, head, d_head)."""

    block: int
    query: Float[Tensor, "prompt head pos d_head"]
    met: Met
    kwargs: dict[str, Any]
    out: Tensor


@torch.no_grad()
def record_prompts(
    model: LanguageModel,
    ids: Tokens,
    blocks: Sequence[int],
    entering: Float[Tensor, "prompt pos d_model"] | None = None,
    check: Callable[[AttentionCall], None] | None = None,
) -> tuple[dict[int, Resid], dict[int, Met]]:
    """Run prompts of one length; the stream at the entry of ``blocks``, and what attention met.

    The latter is kept of every block from the first of them on, and shown to ``check``. With
    ``entering``, the stream there, the pass begins at that block. The entry of the block behind the
    last one is the last one's output.
    """
    first = min(blocks)
    stream: dict[int, Resid] = {}
    met: dict[int, Met] = {}

    def storing(block: int) -> Callable[[Tensor], None]:
        def store(x: Tensor) -> None:
            stream[block] = x

        return store

    functions = {
        place.module: _recording(model.eager_attention(place.module), block, met, check)
        if block >= first
        else model.eager_attention(place.module)
        for block, place in enumerate(model.places(Role.ATTENTION))
    }
    begun = nullcontext() if entering is None else started_at(model, first, entering)
    reading = {_entry(model, block): storing(block) for block in blocks}
    with begun, model.attention_replaced(functions), at_sites(model, reading):
        model.base(input_ids=ids, use_cache=False)  # without an unembedding
    return stream, met


def _entry(model: LanguageModel, block: int) -> Site:
    if block == model.n_layers:
        return Site(block - 1, "resid_post")
    return Site(block, "resid_pre")


def _recording(
    eager: AttentionFunction,
    block: int,
    met: dict[int, Met],
    check: Callable[[AttentionCall], None] | None,
) -> AttentionFunction:
    """The family's own attention; what it meets is kept."""

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Any:
        out, *rest = eager(module, query, key, value, mask, **kwargs)
        met[block] = Met(key.contiguous(), value.contiguous(), mask[0, 0].clone())
        if check is not None:
            check(AttentionCall(block, query, met[block], kwargs, out))
        return out, *rest

    return attention
