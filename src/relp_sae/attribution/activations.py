"""Activations of batches of pairs where they are changed, with no block run that need not be."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.models import read_up_to
from relp_sae.records import Site
from relp_sae.run import PairedRun

RowResid = Float[Tensor, "row pos d_model"]
"""The stream of each prompt of a batch, from the batch's first changed position on."""

RowSites = dict[Site, Float[Tensor, "row pos _"]]
"""Activations, or slopes, of each prompt of a batch at each site; their widths may differ."""

Prompts = tuple[Literal["corrupted", "clean"], ...]
"""Which prompts of each pair, in the order of their rows."""

BOTH: Prompts = ("corrupted", "clean")


def activations(
    run: PairedRun, pairs: Sequence[int], prompts: Prompts, sites: Sequence[Site]
) -> RowSites:
    """x at ``sites``, a row for each prompt: those of the first pair, those of the next one, ...

    From the first position on at which one of the pairs is changed (``run.prefixes``): before it
    there is no unit. As the run recorded them where it did so at all of the sites; otherwise the
    prompts are run, as far as the last of the sites.
    """
    start = run.prefixes.start(pairs)
    rows = [(pair, prompt) for pair in pairs for prompt in prompts]
    if set(run.recorded) >= set(sites):
        seen = [getattr(run.activations[pair], prompt) for pair, prompt in rows]
        return {site: torch.stack([x[site][start:] for x in seen]) for site in sites}
    ids = [getattr(run.pairs[pair], f"{prompt}_ids") for pair, prompt in rows]
    with torch.no_grad():
        seen = read_up_to(run.model, sites, torch.tensor(ids, device=run.model.device))
    return {site: x[:, start:] for site, x in seen.items()}


def entry_of(site: Site) -> Site:
    """Where the stream enters the block of a site."""
    return Site(site.layer, "resid_pre")
