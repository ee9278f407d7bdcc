"""Activations of batches of pairs, with no block run that need not be."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.models import LanguageModel, at_sites, forward_order
from relp_sae.records import Site
from relp_sae.run import PairedRun
from relp_sae.tensors import Tokens

RowResid = Float[Tensor, "row pos d_model"]
"""The stream of each prompt of a batch."""

RowSites = dict[Site, Float[Tensor, "row pos _"]]
"""Activations, or slopes, of each prompt of a batch at each site; their widths may differ."""

Prompts = tuple[Literal["corrupted", "clean"], ...]
"""Which prompts of each pair, in the order of their rows."""

BOTH: Prompts = ("corrupted", "clean")


def activations(
    run: PairedRun, pairs: Sequence[int], prompts: Prompts, sites: Sequence[Site]
) -> RowSites:
    """x at ``sites``, a row for each prompt: those of the first pair, those of the next one, ...

    As the run recorded them where it did so at all of the sites; otherwise the prompts are run, as
    far as the last of the sites.
    """
    rows = [(pair, prompt) for pair in pairs for prompt in prompts]
    if set(run.recorded) >= set(sites):
        seen = [getattr(run.activations[pair], prompt) for pair, prompt in rows]
        return {site: torch.stack([x[site] for x in seen]) for site in sites}
    ids = [getattr(run.pairs[pair], f"{prompt}_ids") for pair, prompt in rows]
    with torch.no_grad():
        return read_through(run.model, sites, torch.tensor(ids, device=run.model.device))


def entry_of(site: Site) -> Site:
    """Where the stream enters the block of a site."""
    return Site(site.layer, "resid_pre")


class _LastSiteRead(Exception):  # noqa: N818
    """Ends a pass of which no more is needed."""


def read_through(model: LanguageModel, sites: Sequence[Site], ids: Tokens) -> RowSites:
    """x at ``sites``, by a pass that ends at the last of them.

    What comes later is not run: no block, and no unembedding, in which a model that is asked for
    the last position of many rows reads its largest weight once for each row.
    """
    last = max(sites, key=forward_order)
    seen: dict[Site, Tensor] = {}

    def reading(site: Site) -> Callable[[Tensor], None]:
        def read(x: Tensor) -> None:
            seen[site] = x
            if site == last:
                raise _LastSiteRead

        return read

    with suppress(_LastSiteRead), at_sites(model, {site: reading(site) for site in sites}):
        model.last_logits(ids)
    return seen
