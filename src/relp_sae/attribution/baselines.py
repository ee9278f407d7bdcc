"""Scores that know nothing of the model between the site and the logits."""

import numpy as np
import torch

from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.slopes import slope_scores
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun


def delta_norm(run: PairedRun, pair: int, _base: Base) -> np.ndarray:
    """|delta| * ||W_dec||: the length of the unit's step (units,), never negative."""
    norms = [steps.vector.norm(dim=-1) for steps in run.steps(pair)]
    return torch.cat(norms).double().cpu().numpy()


def direct(run: PairedRun, pair: int, _base: Base) -> np.ndarray:
    """<step, W_U[answer] - W_U[foil]> (units,): as if the step went straight to the logits."""
    prompts, unembedding = run.pairs[pair], run.model.unembedding()
    slope = unembedding[prompts.answer] - unembedding[prompts.foil]
    everywhere = slope.expand(len(prompts.clean_ids), -1)
    return slope_scores(run, pair, dict.fromkeys(run.sites, everywhere))


def random(run: PairedRun, pair: int, _base: Base) -> np.ndarray:
    """Normal noise (units,), decided by the pair's index alone: what chance is like."""
    return np.random.default_rng(pair).standard_normal(len(run.units_of(pair)))


for _name, _scores in {"delta-norm": delta_norm, "direct": direct, "random": random}.items():
    methods.register(_name)(Method(_scores, ("both",), passes=lambda _sites: Passes(0, 0)))
