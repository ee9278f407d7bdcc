"""Attention over keys that runs share and keys of their own: the maths, and its constants."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def attend(
    query: Float[Tensor, "head run query d_head"],
    own: tuple[Float[Tensor, "kv run own d_head"], Float[Tensor, "kv run own d_head"]],
    shared: tuple[Float[Tensor, "kv shared d_head"], Float[Tensor, "kv shared d_head"]],
    mask: Float[Tensor, "query seen"],
    scaling: float,
    softcap: float | None,
) -> Float[Tensor, "head run query d_head"]:
    """softmax(scaling q k + mask) v over keys and values that runs share, and each run's own.

    ``mask`` is over the shared keys, then the own ones. With a soft cap the scores pass through
    softcap * tanh(scores / softcap) before the mask. The shared part is one matrix product for all
    runs; heads that share a key and value head stand next to each other.
    """
    (key, value), before = own, shared[0].shape[1]
    groups = len(query) // len(key)
    q = query.unflatten(0, (len(key), groups))
    scores = torch.einsum("kgrqd,krod->kgrqo", q, key).flatten(0, 1)
    # A product for each head, not for each key head: rows of packed queries need no copy for it.
    shared_key, shared_value = (x.repeat_interleave(groups, dim=0) for x in shared)
    if before:
        seen = torch.bmm(query.flatten(1, 2), shared_key.mT)
        scores = torch.cat([seen.unflatten(1, query.shape[1:3]), scores], dim=-1)
    scores = scores * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    wide = torch.promote_types(scores.dtype, torch.float32)
    pattern = (scores + mask).softmax(-1, dtype=wide).to(query.dtype)
    of_own = pattern[..., before:].unflatten(0, (len(key), groups))
    mixed = torch.einsum("kgrqo,krod->kgrqd", of_own, value).flatten(0, 1)
    if before:
        seen = torch.bmm(pattern[..., :before].flatten(1, 2), shared_value)
        mixed = mixed + seen.view_as(mixed)
    return mixed


def constants(query: Tensor, kwargs: dict[str, Any]) -> tuple[float, float | None]:
    """The scaling and the soft cap of an attention call.

    A family that gives no scaling divides by the root of d_head.
    """
    return kwargs.get("scaling") or query.shape[-1] ** -0.5, kwargs.get("softcap")
