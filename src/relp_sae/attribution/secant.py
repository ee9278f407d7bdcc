"""Secant: slopes between the corrupted and the clean run, exact in sum."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.attribution.activations import BOTH, activations, entry_of
from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.slopes import (
    PairSlopes,
    SiteSlopes,
    added_slopes,
    along,
    nothing_added,
    start_at,
)
from relp_sae.attribution.unit_scores import slope_scores
from relp_sae.models import Addition, at_sites
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.run.readout import Readout, readout
from relp_sae.tensors import Logits

BESIDE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("z", "attn_out"), ("resid_pre",)),
    **dict.fromkeys(("mlp_normalized", "mlp_in", "mlp_out"), ("resid_pre", "attn_out")),
}
"""Kind -> what else moves, so that with it everything does that later parts of the model read."""

NODES = 32
"""Gauss-Legendre nodes on the way between two logits; 2 x 32 - 1 is the degree that is exact."""


def secant(segments: int) -> Method:
    """The slopes of the secant composite (docs/methods.md) between two runs of the model.

    With one segment these are the corrupted and the clean run, and one backward pass serves all
    sites. With n, the straight path of x at the site is cut into n pieces, with a secant on each,
    and the slopes are averaged: still exact in sum, and ever nearer to integrated gradients. What
    passes the site by moves along, so that the ends are the two runs there too.

    Error terms of later SAEs cannot be held: with them at the corrupted run's, the end of every
    site's path is another run, which is not the clean one.
    """

    def scores(run: PairedRun, pairs: Sequence[int], _base: Base) -> list[np.ndarray]:
        if segments == 1:
            slopes = _between_the_runs(run, pairs)
        else:
            slopes = {site: _along_the_path(run, pairs, site, segments) for site in run.sites}
        return slope_scores(run, pairs, slopes)

    def passes(sites: int) -> Passes:
        rows = 2 if segments == 1 else (segments + 1) * sites
        return Passes(rows, rows)

    return Method(scores, ("both",), "secant", secant, passes, holds_errors=False)


def _between_the_runs(run: PairedRun, pairs: Sequence[int]) -> SiteSlopes:
    """The secant's slope between each pair's corrupted and clean run at every site."""
    entry, read = entry_of(run.sites[0]), readout(run, pairs)
    x = activations(run, pairs, BOTH, [entry])[entry]
    start = start_at(read, entry, x)
    with composites["secant"].applied(run.model, first_block=entry.layer, rows=2):
        slopes = added_slopes(start, nothing_added(start), _total(read))
    return {site: g[1::2] for site, g in slopes.items()}


def _along_the_path(run: PairedRun, pairs: Sequence[int], site: Site, segments: int) -> PairSlopes:
    """The mean slope of the secants on the pieces of each pair's path through ``site``."""
    entry, read, rows = entry_of(site), readout(run, pairs), segments + 1
    moving = [*(Site(site.layer, kind) for kind in BESIDE.get(site.kind, ())), site]
    seen = activations(run, pairs, BOTH, [entry, *moving])
    paths = {one: _straight_path(seen[one], rows) for one in moving}
    x, nothing = seen[entry][::2].repeat_interleave(rows, dim=0), torch.zeros_like(paths[site])
    start = start_at(read, entry, x)
    composite = composites["secant"].applied(run.model, first_block=entry.layer, rows=rows)
    with composite, at_sites(run.model, {one: _moved_to(path) for one, path in paths.items()}):
        slopes = added_slopes(start, {site: nothing}, _total(read))
    return slopes[site].unflatten(0, (-1, rows))[:, 1:].mean(1)


def _straight_path(
    ends: Float[Tensor, "prompt pos width"], rows: int
) -> Float[Tensor, "row pos width"]:
    """Points from each pair's corrupted to its clean activation, both included."""
    corrupted, clean = ends.unflatten(0, (-1, 2)).unbind(1)
    t = torch.linspace(0, 1, rows, device=ends.device, dtype=ends.dtype)
    return corrupted.repeat_interleave(rows, dim=0) + along(t, clean - corrupted)


def _moved_to(path: Tensor) -> Addition:
    return lambda x: path - x


def _total(read: Readout) -> Callable[[Logits], Tensor]:
    """A linear function of the logits whose slope at each row is the metric's from the last one."""

    def total(logits: Logits) -> Tensor:
        paths = logits.unflatten(0, (read.pairs, -1))
        start, end = (x.detach().flatten(0, 1) for x in (paths[:, :-1], paths[:, 1:]))
        return (paths[:, 1:].flatten(0, 1) * _metric_slopes(read, start, end)).sum()

    return total


def _metric_slopes(read: Readout, start: Logits, end: Logits) -> Logits:
    """The metric's mean slope on the straight way between logits: exact for any smooth metric."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    slopes = torch.zeros_like(end)
    for node, weight in zip(nodes, weights, strict=True):
        at = (start + (node + 1) / 2 * (end - start)).requires_grad_()
        (slope,) = torch.autograd.grad(read.metric(at).sum(), at)
        slopes += weight / 2 * slope
    return slopes


methods.register("secant")(secant(1))
