"""Scores from slopes: the step of a unit times the slope of the metric at its site and position."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from relp_sae.attribution.method import Method
from relp_sae.models import at_sites
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.tensors import Resid


def composite_method(composite: str) -> Method:
    """The method whose slopes are those of a composite, at the corrupted or the clean run.

    One backward pass gives the slopes at every site.
    """

    def pair_scores(run: PairedRun, pair: int, base: Base) -> np.ndarray:
        return slope_scores(run, pair, composite_slopes(run, pair, composite, base))

    return Method(pair_scores, composite=composite)


def slope_scores(run: PairedRun, pair: int, slopes: Mapping[Site, Resid]) -> np.ndarray:
    """<step, slope at its position> of every unit of a pair, (units,) in the metric's unit.

    ``slopes`` holds g = d metric / d x of shape (pos, d_model) for each site. A step is
    f_clean - f_corrupted times the decoder row, so a positive score supports the answer.
    """
    scores = [(s.vector * slopes[s.site][s.pos]).sum(-1) for s in run.steps(pair)]
    return torch.cat(scores).double().cpu().numpy()


def composite_slopes(run: PairedRun, pair: int, composite: str, base: Base) -> dict[Site, Resid]:
    """d metric / d x (pos, d_model) at every site under a composite, at a run of a pair."""
    prompts = run.pairs[pair]
    ids = prompts.clean_ids if base == "clean" else prompts.corrupted_ids
    with composites[composite].applied(run.model):
        return _added_slopes(run, pair, ids, {site: _zeros(run, len(ids)) for site in run.sites})


def path_slopes(run: PairedRun, pair: int, site: Site, points: Tensor) -> Resid:
    """The mean true slope (pos, d_model) at ``site`` over points of the joint path of x.

    Point t in [0, 1] is the corrupted run with x_corrupted + t (x_clean - x_corrupted) at the
    site, at all positions together; ``points`` has shape (n,) and is run as one batch.
    """
    seen = run.activations[pair]
    change = seen.clean[site] - seen.corrupted[site]
    added = points[:, None, None].to(change) * change
    slopes = _added_slopes(run, pair, run.pairs[pair].corrupted_ids, {site: added})
    return slopes[site]


def _zeros(run: PairedRun, length: int) -> Tensor:
    model = run.model
    return torch.zeros(1, length, model.d_model, device=model.device, dtype=model.dtype)


def _added_slopes(
    run: PairedRun, pair: int, ids: tuple[int, ...], added: Mapping[Site, Tensor]
) -> dict[Site, Resid]:
    """The slope with respect to what is added at each site, averaged over the batch."""
    model = run.model
    leaves = {site: tensor.requires_grad_() for site, tensor in added.items()}
    batch = len(next(iter(leaves.values())))
    additions = {site: _constant(leaf) for site, leaf in leaves.items()}
    with torch.enable_grad(), at_sites(model, additions):
        logits = model.last_logits(model.token_ids(ids).expand(batch, -1))
        total = run.metric_of(pair, logits).sum()
    slopes = torch.autograd.grad(total, list(leaves.values()))
    return {site: g.mean(0) for site, g in zip(leaves, slopes, strict=True)}


def _constant(leaf: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _x: leaf
