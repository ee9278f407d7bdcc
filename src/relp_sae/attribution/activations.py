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
"""The stream of each prompt of a batch, at the positions that hold every change."""

RowSites = dict[Site, Float[Tensor, "row pos _"]]
"""Activations, or slopes, of each prompt of a batch at each site; their widths may differ."""

Prompts = tuple[Literal["corrupted", "clean"], ...]
"""Which prompts of each pair, in the order of their rows."""

BOTH: Prompts = ("corrupted", "clean")


def activations(
    run: PairedRun, pairs: Sequence[int], prompts: Prompts, sites: Sequence[Site]
) -> RowSites:
    """x at ``sites``, a row for each prompt: those of the first pair, those of the next one, ...

    At the positions alone that hold every change (``run.prefixes``), the last ones of each prompt:
    before them there is no unit. As the run recorded them where it did so at all of the sites;
    otherwise the prompts are run, as far as the last of the sites.
    """
    changed = run.prefixes.changed(pairs)
    rows = [(pair, prompt) for pair in pairs for prompt in prompts]
    if set(run.recorded) >= set(sites):
        seen = [getattr(run.activations[pair], prompt) for pair, prompt in rows]
    else:
        seen = _run_up_to(run, sites, [getattr(run.pairs[p], f"{which}_ids") for p, which in rows])
    return {site: torch.stack([x[site][-changed:] for x in seen]) for site in sites}


@torch.no_grad()
def _run_up_to(
    run: PairedRun, sites: Sequence[Site], prompts: Sequence[tuple[int, ...]]
) -> list[dict[Site, Float[Tensor, "pos _"]]]:
    """Activations at ``sites`` of each prompt; those of one length are run together."""
    found: dict[int, dict[Site, Tensor]] = {}
    for length in {len(ids) for ids in prompts}:
        rows = [row for row, ids in enumerate(prompts) if len(ids) == length]
        ids = torch.tensor([prompts[row] for row in rows], device=run.model.device)
        seen = read_up_to(run.model, sites, ids)
        found |= {row: {site: seen[site][i] for site in sites} for i, row in enumerate(rows)}
    return [found[row] for row in range(len(prompts))]


def entry_of(site: Site) -> Site:
    """Where the stream enters the block of a site."""
    return Site(site.layer, "resid_pre")
