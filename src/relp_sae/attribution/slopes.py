"""Scores from slopes: the step of a unit times the slope of the metric at its site and position."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.attribution.method import Method, Passes
from relp_sae.models import at_sites
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.tensors import Logits, Resid, Tokens

RowSlopes = Float[Tensor, "row pos d_model"]
"""d metric / d x of each prompt of a batch."""


def composite_method(composite: str) -> Method:
    """The method whose slopes are those of a composite, at the corrupted or the clean run.

    One backward pass gives the slopes at every site.
    """

    def pair_scores(run: PairedRun, pair: int, base: Base) -> np.ndarray:
        ids = run.prompt_ids(pair)
        ids = ids[1:] if base == "clean" else ids[:1]
        return slope_scores(run, pair, composite_slopes(run, pair, composite, ids))

    return Method(pair_scores, composite=composite)


def mean_method(composite: str) -> Method:
    """The method whose slopes are a composite's, averaged over the corrupted and the clean run."""

    def pair_scores(run: PairedRun, pair: int, _base: Base) -> np.ndarray:
        slopes = composite_slopes(run, pair, composite, run.prompt_ids(pair))
        return slope_scores(run, pair, slopes)

    return Method(pair_scores, ("both",), composite, passes=lambda _sites: Passes(2, 2))


def slope_scores(run: PairedRun, pair: int, slopes: Mapping[Site, Resid]) -> np.ndarray:
    """<step, slope at its position> of every unit of a pair, (units,) in the metric's unit.

    ``slopes`` holds g = d metric / d x of shape (pos, d_model) for each site. A step is
    f_clean - f_corrupted times the decoder row, so a positive score supports the answer.
    """
    scores = [(s.vector * slopes[s.site][s.pos]).sum(-1) for s in run.steps(pair)]
    return torch.cat(scores).double().cpu().numpy()


def composite_slopes(run: PairedRun, pair: int, composite: str, ids: Tokens) -> dict[Site, Resid]:
    """d metric / d x (pos, d_model) at every site under a composite, averaged over prompts."""
    added = nothing_added(run, ids)
    with composites[composite].applied(run.model):
        slopes = added_slopes(run, ids, added, lambda logits: run.metric_of(pair, logits).sum())
    return {site: g.mean(0) for site, g in slopes.items()}


def path_slopes(run: PairedRun, pair: int, site: Site, points: Tensor) -> Resid:
    """The mean true slope (pos, d_model) at ``site`` over points of the joint path of x.

    Point t in [0, 1] is the corrupted run with x_corrupted + t (x_clean - x_corrupted) at the
    site, at all positions together; ``points`` has shape (n,) and is run as one batch.
    """
    seen = run.activations[pair]
    change = seen.clean[site] - seen.corrupted[site]
    added = {site: points[:, None, None].to(change) * change}
    ids = run.prompt_ids(pair)[:1].expand(len(points), -1)
    slopes = added_slopes(run, ids, added, lambda logits: run.metric_of(pair, logits).sum())
    return slopes[site].mean(0)


def nothing_added(run: PairedRun, ids: Tokens) -> dict[Site, Tensor]:
    """Zeros at every site, to take slopes with respect to."""
    shape = (*ids.shape, run.model.d_model)
    return {
        site: torch.zeros(shape, device=run.model.device, dtype=run.model.dtype)
        for site in run.sites
    }


def added_slopes(
    run: PairedRun,
    ids: Tokens,
    added: Mapping[Site, Tensor],
    total: Callable[[Logits], Tensor],
) -> dict[Site, RowSlopes]:
    """The slope of ``total`` of the last logits with respect to what is added at each site."""
    leaves = {site: tensor.requires_grad_() for site, tensor in added.items()}
    additions = {site: _constant(leaf) for site, leaf in leaves.items()}
    with torch.enable_grad(), at_sites(run.model, additions):
        summed = total(run.model.last_logits(ids))
    slopes = torch.autograd.grad(summed, list(leaves.values()))
    return dict(zip(leaves, slopes, strict=True))


def _constant(leaf: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _x: leaf
