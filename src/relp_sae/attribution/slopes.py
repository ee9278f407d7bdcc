"""Slopes of the metric with respect to activations, for batches of pairs.

A pass starts at the block of its earliest site, from what enters that block: the blocks before it
are the same for every method and every point of a path. So are the positions before the first
changed one: of each prompt only the last positions are run, as many as hold the changes of all
pairs of the batch, and attention reads the keys and values of those before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relp_sae.attribution.activations import (
    BOTH,
    Prompts,
    RowResid,
    RowSites,
    activations,
    entry_of,
)
from relp_sae.errors import RunError
from relp_sae.models import Earlier, at_sites, continued, forward_order, read_up_to, started_at
from relp_sae.records import Site
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.run.readout import Readout, readout
from relp_sae.saes import Dictionary, HeldErrors
from relp_sae.saes.dictionary import reconstruction
from relp_sae.tensors import Logits


@dataclass(frozen=True)
class Start:
    """Where the passes over a batch of pairs start, with what they read of all before.

    They start at the block that ``entry`` enters, with ``x`` there at ``positions`` of the prompts;
    ``earlier`` is what attention reads of those before, by block.
    """

    read: Readout
    entry: Site
    x: RowResid
    positions: Int[Tensor, "row pos"]
    earlier: Mapping[int, Earlier]


def start_at(read: Readout, entry: Site, x: RowResid) -> Start:
    """The start at a block with ``x``, equally many rows for each of the pairs of ``read``.

    To be made before a composite is applied: the positions before are not its.

    Raises:
        RunError: a block before those whose keys and values the run knows.
    """
    prefixes, rows = read.run.prefixes, len(x) // read.pairs
    starts = torch.tensor(prefixes.starts(read.indices), device=x.device).repeat_interleave(rows)
    positions = starts[:, None] + torch.arange(x.shape[1], device=x.device)
    earlier = prefixes.earlier(read.indices, rows)
    if entry.layer < min(earlier):
        raise RunError(
            f"A pass cannot start at block {entry.layer}: keys and values of the positions before "
            f"the change are known from block {min(earlier)} on, where the run first reads."
        )
    return Start(read, entry, x, positions, earlier)


PairSlopes = Float[Tensor, "pair pos width"]
"""d metric / d x of each pair, at the last positions, which hold every change of the batch."""

NOTHING_HELD = HeldErrors()

SiteSlopes = dict[Site, Float[Tensor, "pair pos _"]]
"""d metric / d x of each pair at each site; their widths may differ."""


def composite_slopes(
    run: PairedRun, pairs: Sequence[int], composite: str, prompts: Prompts
) -> SiteSlopes:
    """d metric / d x at every site under a composite, averaged over each pair's prompts.

    Where the run holds error terms they are constants, and slopes pass a later site through its
    features alone: the derivative of decode(encode(x)), with the features active that are.
    """
    # Held errors before a site do not matter to its slope: those behind the first serve all.
    held = HeldErrors(run.held(run.sites[0]))
    entry, read = _first_entry(run.sites[0], held), readout(run, pairs)
    x = activations(run, pairs, prompts, [entry])[entry]
    start = start_at(read, entry, x)
    with composites[composite].applied(run.model, first_block=entry.layer):
        slopes = added_slopes(start, nothing_added(start), sum_of_metrics(read), held)
    return {site: g.unflatten(0, (len(pairs), -1)).mean(1) for site, g in slopes.items()}


def path_slopes(run: PairedRun, pairs: Sequence[int], site: Site, points: int) -> PairSlopes:
    """The mean true slope at ``site`` over the midpoints of ``points`` pieces of the path of x.

    Point t in [0, 1] is the corrupted run with x_corrupted + t (x_clean - x_corrupted) at the
    site, at all positions together. Error terms that the run holds are the corrupted run's.
    """
    corrupted, clean = activations(run, pairs, BOTH, [site])[site].unflatten(0, (-1, 2)).unbind(1)
    t = (torch.arange(points, device=clean.device, dtype=clean.dtype) + 0.5) / points
    held = _corrupted_errors(run, pairs, run.held(site), points)
    entry, read = _first_entry(site, held), readout(run, pairs)
    x = activations(run, pairs, ("corrupted",), [entry])[entry].repeat_interleave(points, dim=0)
    added = {site: along(t, clean - corrupted)}
    slopes = added_slopes(start_at(read, entry, x), added, sum_of_metrics(read), held)
    return slopes[site].unflatten(0, (len(pairs), points)).mean(1)


def _corrupted_errors(
    run: PairedRun, pairs: Sequence[int], dictionaries: Sequence[Dictionary], rows: int
) -> HeldErrors:
    """The error terms of the corrupted run of each pair, for its ``rows``."""
    errors = {}
    for one in dictionaries:
        x = activations(run, pairs, ("corrupted",), list({one.reads, one.site}))
        error = x[one.site] - reconstruction(one, x[one.reads])
        errors[one.site] = error.repeat_interleave(rows, dim=0)
    return HeldErrors(dictionaries, lambda site, _error: errors[site])


def _first_entry(site: Site, held: HeldErrors) -> Site:
    """Where a pass has to start: before ``site``, and what held dictionaries read."""
    return entry_of(min([site, *(one.reads for one in held.dictionaries)], key=forward_order))


def along(t: Float[Tensor, "point"], change: PairSlopes) -> Float[Tensor, "row pos width"]:
    """t times the change of each pair, for every point t: the rows of a pair side by side."""
    return (t[:, None, None] * change[:, None]).flatten(0, 1)


def nothing_added(start: Start) -> dict[Site, Tensor]:
    """Zeros at every site for all rows, to take slopes with respect to."""
    x, run = start.x, start.read.run
    return {site: x.new_zeros(*x.shape[:2], run.model.width(site)) for site in run.sites}


def sum_of_metrics(read: Readout) -> Callable[[Logits], Tensor]:
    """The metric of all rows: its slope at a row is that of the row's own metric."""
    return lambda logits: read.metric(logits).sum()


def added_slopes(
    start: Start,
    added: Mapping[Site, Tensor],
    total: Callable[[Logits], Tensor],
    held: HeldErrors = NOTHING_HELD,
) -> RowSites:
    """The slope of ``total`` of the last logits with respect to what is added at each site.

    No site is before the start. In the pass the error terms of ``held`` are held.
    """
    read, x, layer = start.read, start.x, start.entry.layer
    model = read.run.model
    leaves = {site: tensor.requires_grad_() for site, tensor in added.items()}
    additions = held.beside({site: _constant(leaf) for site, leaf in leaves.items()})
    # Which tokens these are does not matter: the blocks that would read them are not run.
    tokens = torch.zeros_like(start.positions)
    end = Site(model.n_layers - 1, "resid_post")
    with (
        torch.enable_grad(),
        read.run.products.faster(model, slice(layer, None), backward=True),
        started_at(model, layer, x),
        continued(model, start.earlier),
        at_sites(model, additions),
    ):
        after = read_up_to(model, [end], tokens, start.positions)[end]
        summed = total(read.logits(after[:, -1]))
    slopes = torch.autograd.grad(summed, list(leaves.values()))
    return dict(zip(leaves, slopes, strict=True))


def _constant(leaf: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _x: leaf
