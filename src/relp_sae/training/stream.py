"""Activations of a model at a site, as a shuffled stream of batches."""

from collections.abc import Iterator
from itertools import islice

import torch
from jaxtyping import Float
from sae_lens.training.mixing_buffer import mixing_buffer
from torch import Tensor

from relp_sae.models import LanguageModel, at_sites
from relp_sae.records import Site
from relp_sae.tensors import Tokens

OUTLIER = 10.0
"""Activations longer than this many median norms are left out of training and of its quality.

Language models give a few tokens (the first, and a punctuation mark right after it) norms a
hundred times the rest, the same whatever the text; a squared loss would see nothing else.
"""


class _SiteReached(Exception):  # noqa: N818, a signal and no error
    """Stops a forward pass at the site: nothing after it is needed."""


def activations_at(
    model: LanguageModel, site: Site, ids: Tokens, autocast: torch.dtype
) -> Float[Tensor, "tokens d_model"]:
    """Activations of ordinary tokens in float32; the forward pass ends at the site.

    Matrix products run in ``autocast``; the residual stream stays in the model's type.
    """
    seen: list[Tensor] = []

    def stop(x: Tensor) -> None:
        seen.append(x)
        raise _SiteReached

    device = model.device.type
    enabled = autocast != model.dtype
    with torch.no_grad(), torch.autocast(device, autocast, enabled=enabled):
        try:
            with at_sites(model, {site: stop}):
                model.last_logits(ids.to(model.device))
        except _SiteReached:
            pass
    return seen[0].float()[ordinary(seen[0], ids, model)]


def ordinary(x: Tensor, ids: Tokens, model: LanguageModel) -> Tensor:
    """True where a token is neither the begin-of-sequence token nor an outlier; (batch, pos)."""
    norms = x.float().norm(dim=-1)
    keep = norms < OUTLIER * norms.median()
    keep[:, 0] = False
    return keep & (ids.to(x.device) != model.tokenizer.bos_token_id)


def activation_stream(
    model: LanguageModel,
    site: Site,
    contexts: Iterator[Tokens],
    *,
    batch: int,
    autocast: torch.dtype,
    buffer: int = 131_072,
) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Shuffled batches of activations; the order is decided by torch's global seed.

    Memory is bounded by ``buffer`` activations and one document, whatever the length of the text.
    """

    def loader() -> Iterator[Tensor]:
        while chunk := list(islice(contexts, 32)):
            yield activations_at(model, site, torch.cat(chunk), autocast)

    gathered = _gather(loader(), buffer // 2)
    return mixing_buffer(buffer_size=buffer, batch_size=batch, activations_loader=gathered)


def _gather(pieces: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Join pieces until they hold ``size`` activations, so that the buffer is shuffled seldom."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(one) for one in held) >= size:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)
