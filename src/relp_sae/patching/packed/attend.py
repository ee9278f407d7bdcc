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
) -> Float[Tensor, "row kv group d_head"]:
    """softmax(scaling q k + mask) v over keys and values that runs share, and each run's own.

    ``mask`` is over the shared keys, then the own ones. With a soft cap the scores pass through
    softcap * tanh(scores / softcap) before the mask. The shared part is one matrix product for all
    runs; heads that share a key and value head stand next to each other. The output's rows are the
    queries run by run.
    """
    (key, value), (shared_key, shared_value) = own, shared
    before, wide = shared_key.shape[1], torch.promote_types(query.dtype, torch.float32)
    # Two shapes of the same memory serve the products with a run's own keys and with those that all
    # runs share: kv run query group d_head.
    q = query.unflatten(0, (len(key), -1)).permute(0, 2, 3, 1, 4).contiguous()

    def of_runs(x: Tensor) -> Tensor:
        return x.flatten(2, 3).flatten(0, 1)

    def of_all(x: Tensor) -> Tensor:
        return x.flatten(1, 3)

    scores = torch.bmm(of_runs(q), key.flatten(0, 1).mT).view(*q.shape[:-1], -1)
    if before:
        seen = torch.bmm(of_all(q), shared_key.mT).view(*q.shape[:-1], -1)
        scores = torch.cat([seen, scores], dim=-1)
    scores = scores * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    pattern = (scores + mask[:, None]).softmax(-1, dtype=wide).to(query.dtype)
    mixed = torch.bmm(of_runs(pattern)[..., before:], value.flatten(0, 1)).view(*q.shape[:-1], -1)
    if before:
        seen = torch.baddbmm(of_all(mixed), of_all(pattern)[..., :before], shared_value)
        mixed = seen.view_as(mixed)
    return mixed.flatten(1, 2).transpose(0, 1)


def constants(query: Tensor, kwargs: dict[str, Any]) -> tuple[float, float | None]:
    """The scaling and the soft cap of an attention call.

    A family that gives no scaling divides by the root of d_head.
    """
    return kwargs.get("scaling") or query.shape[-1] ** -0.5, kwargs.get("softcap")
