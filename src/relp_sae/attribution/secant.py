"""Secant: slopes between the corrupted and the clean run, exact in sum."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from relp_sae.attribution.activations import BOTH, activations, entry_of
from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.slopes import PairSlopes, added_slopes, along, nothing_added
from relp_sae.attribution.unit_scores import slope_scores
from relp_sae.models import LanguageModel
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.run.readout import Readout, readout
from relp_sae.tensors import Logits

NODES = 32
"""Gauss-Legendre nodes on the way between two logits; 2 x 32 - 1 is the degree that is exact."""


def secant(segments: int) -> Method:
    """The slopes of the secant composite (docs/methods.md) between two runs of the model.

    With one segment these are the corrupted and the clean run, and one backward pass serves all
    sites. With n, the straight path of x at the site is cut into n pieces, with a secant on each,
    and the slopes are averaged: still exact in sum, and ever nearer to integrated gradients. At
    attn_out and mlp_out it is the path of the stream that they are added to, so that the ends
    are the two runs there too.
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

    return Method(scores, ("both",), "secant", secant, passes)


def _between_the_runs(run: PairedRun, pairs: Sequence[int]) -> dict[Site, PairSlopes]:
    """The secant's slope between each pair's corrupted and clean run at every site."""
    entry, read = entry_of(run.sites[0]), readout(run, pairs)
    x = activations(run, pairs, BOTH, [entry])[entry]
    with composites["secant"].applied(run.model, first_block=entry.layer, rows=2):
        slopes = added_slopes(read, entry, x, nothing_added(run, x), _total(read))
    return {site: g[1::2] for site, g in slopes.items()}


def _along_the_path(run: PairedRun, pairs: Sequence[int], site: Site, segments: int) -> PairSlopes:
    """The mean slope of the secants on the pieces of each pair's path through ``site``."""
    cut, entry = _stream_after(run.model, site), entry_of(site)
    seen = activations(run, pairs, BOTH, [entry, cut])
    corrupted, clean = seen[cut].unflatten(0, (-1, 2)).unbind(1)
    rows = segments + 1
    t = torch.linspace(0, 1, rows, device=clean.device, dtype=clean.dtype)
    added = {cut: along(t, clean - corrupted)}
    x, read = seen[entry][::2].repeat_interleave(rows, dim=0), readout(run, pairs)
    with composites["secant"].applied(run.model, first_block=entry.layer, rows=rows):
        slopes = added_slopes(read, entry, x, added, _total(read))
    return slopes[cut].unflatten(0, (-1, rows))[:, 1:].mean(1)


def _stream_after(model: LanguageModel, site: Site) -> Site:
    """Where in the stream a block's output goes: there everything passes through, and x moves."""
    match site.kind:
        case "attn_out" if "resid_mid" in model.site_kinds:
            return Site(site.layer, "resid_mid")
        case "attn_out" | "mlp_out":
            return Site(site.layer, "resid_post")
        case _:
            return site


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
