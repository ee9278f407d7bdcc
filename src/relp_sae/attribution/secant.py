"""Secant: slopes between the corrupted and the clean run, exact in sum."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.slopes import added_slopes, nothing_added, slope_scores
from relp_sae.models import read_sites
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.tensors import Logits, Resid

STREAM_AFTER = {"attn_out": "resid_mid", "mlp_out": "resid_post"}
"""Where in the stream a block's output goes: there everything passes through, and x moves."""

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

    def pair_scores(run: PairedRun, pair: int, _base: Base) -> np.ndarray:
        if segments == 1:
            slopes = _between_the_runs(run, pair)
        else:
            slopes = {site: _along_the_path(run, pair, site, segments) for site in run.sites}
        return slope_scores(run, pair, slopes)

    def passes(sites: int) -> Passes:
        rows = 2 if segments == 1 else (segments + 1) * sites
        return Passes(rows, rows)

    return Method(pair_scores, ("both",), "secant", secant, passes)


def _between_the_runs(run: PairedRun, pair: int) -> dict[Site, Resid]:
    """The secant's slope (pos, d_model) between the corrupted and the clean run at every site."""
    ids = run.prompt_ids(pair)
    with composites["secant"].applied(run.model):
        slopes = added_slopes(run, ids, nothing_added(run, ids), _total(run, pair))
    return {site: g[1] for site, g in slopes.items()}


def _along_the_path(run: PairedRun, pair: int, site: Site, segments: int) -> Resid:
    """The mean slope (pos, d_model) of the secants on the pieces of the path through ``site``."""
    cut = Site(site.layer, STREAM_AFTER.get(site.kind, site.kind))
    ids = run.prompt_ids(pair)
    with torch.no_grad():
        seen, _ = read_sites(run.model, [cut], ids)
    corrupted, clean = seen[cut]
    t = torch.linspace(0, 1, segments + 1, device=clean.device, dtype=clean.dtype)
    added = {cut: t[:, None, None] * (clean - corrupted)}
    rows = ids[:1].expand(segments + 1, -1)
    with composites["secant"].applied(run.model):
        slopes = added_slopes(run, rows, added, _total(run, pair))
    return slopes[cut][1:].mean(0)


def _total(run: PairedRun, pair: int) -> Callable[[Logits], Tensor]:
    """A linear function of the logits whose slope at each row is the metric's from the last one."""

    def total(logits: Logits) -> Tensor:
        ends = logits.detach()
        return (logits[1:] * _metric_slopes(run, pair, ends[:-1], ends[1:])).sum()

    return total


def _metric_slopes(run: PairedRun, pair: int, start: Logits, end: Logits) -> Logits:
    """The metric's mean slope on the straight way between logits: exact for any smooth metric."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    slopes = torch.zeros_like(end)
    for node, weight in zip(nodes, weights, strict=True):
        at = (start + (node + 1) / 2 * (end - start)).requires_grad_()
        (slope,) = torch.autograd.grad(run.metric_of(pair, at).sum(), at)
        slopes += weight / 2 * slope
    return slopes


methods.register("secant")(secant(1))
