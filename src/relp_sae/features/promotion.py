"""Which tokens a feature promotes by itself: its decoder row read through the unembedding."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.models import LanguageModel, read_up_to
from relp_sae.records import Site
from relp_sae.records.features import MovedToken
from relp_sae.saes import Dictionary
from relp_sae.tasks.encoding import text_of

BATCH = 16
"""Features whose logits are in memory at once."""

Moved = tuple[tuple[MovedToken, ...], tuple[MovedToken, ...]]
"""Tokens promoted, and tokens suppressed, the most moved first."""


@torch.no_grad()
def norm_scale(model: LanguageModel, prompts: Iterable[tuple[int, ...]]) -> float:
    """What the final norm multiplies the (centred) stream by at a prompt's end, mean over them."""
    last, norm = Site(model.n_layers - 1, "resid_post"), model.module(model.family.final_norm)
    ends = [read_up_to(model, [last], model.token_ids(ids))[last][0, -1] for ids in prompts]
    return model.norm.scale(norm, torch.stack(ends)).mean().item()


@torch.no_grad()
def moved_logits(
    model: LanguageModel, site: Site, rows: Float[Tensor, "feature width"], scale: float
) -> Float[Tensor, "feature vocab"] | None:
    """How far each logit moves, less the mean over all, when a row of W_dec is added at a site.

    The direct effect alone: the row goes straight to the final norm, past the blocks between, and
    the norm's scale stays what it is. With the final norm's weight w and its scale s,

        (row - mean(row) if the norm is centred) * s * w @ W_U.T, in logits a unit of activation.

    A soft cap of the logits, which keeps their order, is left out. At z the row first goes through
    the attention's output projection. None where nothing is added to the stream: at the MLP's
    input, and at z where a norm stands behind the attention.
    """
    stream = _in_stream(model, site, rows)
    if stream is None:
        return None
    norm = model.module(model.family.final_norm)
    hidden = model.norm.frozen(norm, torch.as_tensor(scale, device=rows.device), stream)
    W_U = model.unembedding()
    logits = (hidden.to(W_U.dtype) @ W_U.T).float()
    return logits - logits.mean(-1, keepdim=True)


def moved_tokens(
    model: LanguageModel, dictionary: Dictionary, features: Sequence[int], scale: float, many: int
) -> list[Moved]:
    """The ``many`` tokens that each feature promotes most, and suppresses most."""
    found: list[Moved] = []
    for rows in dictionary.W_dec[list(features)].split(BATCH):
        logits = moved_logits(model, dictionary.site, rows, scale)
        if logits is None:
            return [((), ())] * len(features)
        found += [(_largest(model, row, many, 1), _largest(model, row, many, -1)) for row in logits]
    return found


def _in_stream(
    model: LanguageModel, site: Site, rows: Float[Tensor, "feature width"]
) -> Float[Tensor, "feature d_model"] | None:
    """What a row adds to the stream, where it is added as it is or by a linear map."""
    if site.kind in ("mlp_in", "mlp_normalized"):
        return None
    if site.kind != "z":
        return rows
    if model.family.attention_out:
        return None
    projection = model.in_block(site.layer, model.family.projection)
    return projection(rows) - projection(torch.zeros_like(rows))


def _largest(
    model: LanguageModel, moved: Float[Tensor, "vocab"], many: int, sign: int
) -> tuple[MovedToken, ...]:
    found = (sign * moved).topk(min(many, len(moved)))
    return tuple(
        MovedToken(text_of(model.tokenizer, int(token)), sign * float(value))
        for value, token in zip(found.values, found.indices, strict=True)
    )
