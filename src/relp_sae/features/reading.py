"""Features' activations in a text, of a batch of passages at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float

from relp_sae.features.passages import Passage
from relp_sae.features.strongest import Strongest
from relp_sae.models import LanguageModel, outliers, read_up_to
from relp_sae.records import Site
from relp_sae.saes import Dictionary
from relp_sae.saes.dictionary import positions_at_once
from relp_sae.tasks.encoding import encode
from relp_sae.tensors import Resid, Tokens

BATCH = 32
"""Passages that are read at once."""


@torch.no_grad()
def read_features(
    model: LanguageModel,
    chosen: Mapping[Site, tuple[Dictionary, Sequence[int]]],
    found: Iterator[Passage],
    contexts: int,
    read: Callable[[int], object],
) -> dict[Site, Strongest]:
    """The strongest places of each dictionary's chosen features; ``read`` is told of new tokens.

    Every passage is read behind the begin-of-sequence token, as prompts are. The first position
    (that token, or the passage's first where the tokenizer has none) is left out, and so are
    outliers of each passage.
    """
    kept = {site: Strongest(len(features), contexts) for site, (_, features) in chosen.items()}
    sites = {dictionary.reads for dictionary, _ in chosen.values()}
    start = encode(model.tokenizer, "")
    while batch := list(islice(found, BATCH)):
        seen = read_up_to(model, sites, _rows(batch, start))
        for site, (dictionary, features) in chosen.items():
            for passage, x in zip(batch, seen[dictionary.reads], strict=True):
                x = x[1 : len(start) + len(passage.ids)]
                usual = ~outliers(x)
                tokens = (torch.nonzero(usual)[:, 0] + 1 - len(start)).cpu().numpy()
                kept[site].add(passage, tokens, _chosen(dictionary, x[usual], features))
        read(sum(len(passage.ids) for passage in batch))
    return kept


def _rows(batch: Sequence[Passage], start: tuple[int, ...]) -> Tokens:
    """A row for each passage; no position sees what fills the row behind a short one."""
    longest = max(len(passage.ids) for passage in batch)
    filled = [[*p.ids, *p.ids[-1:] * (longest - len(p.ids))] for p in batch]
    return torch.tensor([[*start, *ids] for ids in filled])


def _chosen(
    dictionary: Dictionary, x: Resid, features: Sequence[int]
) -> Float[np.ndarray, "pos features"]:
    """The activations of some features, of so many positions at a time as memory allows."""
    if not len(x):
        return np.empty((0, len(features)))
    parts = x.split(positions_at_once(dictionary))
    acts = [dictionary.encode(part).features[:, list(features)] for part in parts]
    return torch.cat(acts).double().cpu().numpy()
