"""Scores that know nothing of the model between the site and the logits."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.unit_scores import UNITS, slope_scores
from relp_sae.models import LanguageModel
from relp_sae.records import Site
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun
from relp_sae.run.measurement import answers_and_foils
from relp_sae.run.steps import PairSteps


def delta_norm(run: PairedRun, pairs: Sequence[int], _base: Base) -> list[np.ndarray]:
    """|delta| * ||W_dec||: the length of each unit's step (units,), never negative."""
    return [
        torch.cat([_lengths(steps) for steps in run.steps(pair)]).double().cpu().numpy()
        for pair in pairs
    ]


def _lengths(steps: PairSteps) -> Float[Tensor, "units"]:
    rows = torch.arange(len(steps.pos)).split(UNITS)
    return torch.cat([steps.vectors(some).norm(dim=-1) for some in rows])


def direct(run: PairedRun, pairs: Sequence[int], _base: Base) -> list[np.ndarray]:
    """<step, W_U[answer] - W_U[foil]> (units,): as if the step went straight to the logits.

    At z the step goes through the heads' output projection first. What is added to the MLP's input
    is in no stream that goes straight to the logits: 0.
    """
    prompts, unembedding = [run.pairs[pair] for pair in pairs], run.model.unembedding()
    answers, foils = answers_and_foils(run.model, prompts)
    slopes = unembedding[answers] - unembedding[foils]
    length = run.prefixes.changed(pairs)
    everywhere = {
        site: _straight(run.model, site, slopes)[:, None].expand(-1, length, -1)
        for site in run.sites
    }
    return slope_scores(run, pairs, everywhere)


def _straight(
    model: LanguageModel, site: Site, slopes: Float[Tensor, "pair d_model"]
) -> Float[Tensor, "pair width"]:
    """The slope at a site of what it adds to the stream, whose own is given."""
    nothing = slopes.new_zeros(len(slopes), model.width(site))
    match site.kind:
        case "z":
            projection = model.in_block(site.layer, model.family.projection)
            with torch.enable_grad():
                along = (projection(nothing.requires_grad_()) * slopes).sum()
            return torch.autograd.grad(along, nothing)[0]
        case "mlp_normalized" | "mlp_in":
            return nothing
        case _:
            return slopes


def random(run: PairedRun, pairs: Sequence[int], _base: Base) -> list[np.ndarray]:
    """Normal noise (units,), decided by each pair's index alone: what chance is like."""
    return [np.random.default_rng(pair).standard_normal(len(run.units_of(pair))) for pair in pairs]


for _name, _scores in {"delta-norm": delta_norm, "direct": direct, "random": random}.items():
    methods.register(_name)(Method(_scores, ("both",), passes=lambda _sites: Passes(0, 0)))
