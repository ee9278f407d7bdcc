"""Activations of a model at a site, in shuffled blocks that can be made again from any number."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relp_sae.models import LanguageModel, outliers, read_up_to
from relp_sae.models.products import Products
from relp_sae.records import Site
from relp_sae.tensors import Tokens
from relp_sae.training.text import pack

TOGETHER = 32
"""Contexts in one forward pass."""


@dataclass(frozen=True)
class Block:
    """Activations of consecutive contexts and the order in which training sees them.

    ``text`` is a SHA-256 of all token ids up to the block's end.
    """

    number: int
    rows: Float[Tensor, "rows width"]
    seed: int
    text: str

    def batches(self, size: int) -> Iterator[Float[Tensor, "batch width"]]:
        """Whole batches in shuffled order; what is left over at the end is dropped."""
        draw = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.rows), generator=draw).to(self.rows.device)
        for batch in order[: len(order) // size * size].split(size):
            yield self.rows[batch]


@dataclass(frozen=True)
class ActivationStream:
    """The activations of a text at a site, block by block; memory holds one block.

    ``documents`` starts the text anew; a block is ``block`` contexts of ``context`` tokens. What
    a block holds and its order depend on its number and the seed alone, so that training can go
    on anywhere.
    """

    model: LanguageModel
    site: Site
    documents: Callable[[], Iterator[str]]
    context: int
    block: int
    autocast: torch.dtype
    seed: int

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """The blocks from number ``first`` on, as far as the text goes."""
        text = hashlib.sha256()
        contexts = pack(self.documents(), self.model.tokenizer, self.context)
        contexts = islice(_noted(contexts, text), first * self.block, None)
        for number in count(first):
            rows = self._joined(islice(contexts, self.block))
            if rows is None:
                return
            # torch's generator keeps 32 bits of a seed: a large odd factor keeps blocks apart.
            seed = (self.seed * 1_000_003 + number) % 2**32
            yield Block(number, rows, seed, text.hexdigest())
            del rows  # only one block at a time stands in memory

    def _joined(self, contexts: Iterator[Tokens]) -> Float[Tensor, "rows width"] | None:
        pieces = list(self._rows(contexts))
        return torch.cat(pieces) if pieces else None

    def _rows(self, contexts: Iterator[Tokens]) -> Iterator[Float[Tensor, "rows width"]]:
        # Products in another type are autocast's; those of the model's own may be made faster.
        own = self.autocast == self.model.dtype
        blocks = slice(self.site.layer + 1) if own else slice(0)
        # Without copies of the weights: whether there is room for them must not change a number.
        with Products(0).faster(self.model, blocks):
            while chunk := list(islice(contexts, TOGETHER)):
                yield activations_at(self.model, self.site, torch.cat(chunk), self.autocast)


def _noted(contexts: Iterator[Tokens], text: "hashlib._Hash") -> Iterator[Tokens]:
    for ids in contexts:
        text.update(ids.numpy().tobytes())
        yield ids


@torch.no_grad()
def activations_at(
    model: LanguageModel, site: Site, ids: Tokens, autocast: torch.dtype
) -> Float[Tensor, "rows width"]:
    """Activations of ordinary tokens in float32; the forward pass ends at the site.

    Matrix products run in ``autocast``; the residual stream stays in the model's type.
    """
    ids = ids.to(model.device)
    with torch.autocast(model.device.type, autocast, enabled=autocast != model.dtype):
        x = read_up_to(model, [site], ids)[site]
    return x.float()[ordinary(x, ids, model)]


def ordinary(
    x: Float[Tensor, "batch pos width"], ids: Tokens, model: LanguageModel
) -> Bool[Tensor, "batch pos"]:
    """True where a token is neither the begin-of-sequence token nor an outlier."""
    keep = ~outliers(x)
    keep[:, 0] = False
    return keep & (ids.to(x.device) != model.tokenizer.bos_token_id)
