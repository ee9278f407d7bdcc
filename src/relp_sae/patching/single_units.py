"""Exact activation patching of every unit alone: the denoising and the noising effect."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from relp_sae.patching.restart import BaseRun, BlockCalls
from relp_sae.patching.truth import Effects, Measuring, Truth, truths
from relp_sae.run import PairedRun


@dataclass(frozen=True, eq=False)
class Change:
    """What is done to one unit at a time: ``scale`` times its step, in the corrupted or clean run.

    In the clean run the step is taken away. ``units`` says which units of the pair, all by default.
    """

    from_clean: bool = False
    scale: float = 1.0
    units: Bool[np.ndarray, "units"] | None = None


def denoise(run: PairedRun, pair: int, measuring: Measuring, calls: BlockCalls) -> Effects:
    """m(corrupted run, this unit set to its clean value) - m(corrupted): sufficient on its own?"""
    return Effects.exact(step_effects(run, pair, Change(), measuring, calls))


def noise(run: PairedRun, pair: int, measuring: Measuring, calls: BlockCalls) -> Effects:
    """m(clean) - m(clean run, this unit set to its corrupted value): necessary?

    The indirect effect of Marks et al. 2024 (arXiv 2403.19647), sign flipped.
    """
    return Effects.exact(step_effects(run, pair, Change(from_clean=True), measuring, calls))


def step_effects(
    run: PairedRun, pair: int, change: Change, measuring: Measuring, calls: BlockCalls
) -> Float[np.ndarray, "chosen"]:
    """m(run with the steps) - m(run without) of each chosen unit of a pair, one at a time.

    The corrupted run with the step added less itself, or the clean run less that without the step.
    """
    prompts, steps = run.pairs[pair], run.steps(pair)
    ids = prompts.clean_ids if change.from_clean else prompts.corrupted_ids
    sign = -1 if change.from_clean else 1
    vectors, pos = torch.cat([s.vector for s in steps]), torch.cat([s.pos for s in steps])
    site = torch.cat([torch.full_like(s.pos, i) for i, s in enumerate(steps)])
    chosen = torch.ones(len(pos)).bool() if change.units is None else torch.tensor(change.units)
    effects = torch.empty(len(pos), dtype=torch.float64)
    for start in pos[chosen].unique().tolist():
        here = (chosen & (pos == start)).nonzero()[:, 0]
        for units in here.split(measuring.batch_size):
            added = {}
            for i in site[units].unique().tolist():
                # Row 0 is the unchanged run, so that both terms come from the same computation.
                shape = (1 + len(units), len(ids) - start, run.model.d_model)
                rows = 1 + (site[units] == i).nonzero()[:, 0]
                added[steps[i].site] = vectors.new_zeros(shape)
                added[steps[i].site][rows, 0] = sign * change.scale * vectors[units[rows - 1]]
            base = BaseRun(run.model, ids, min(one.layer for one in added))
            values = run.metric_of(pair, base.restarted(start, added, calls)).double().cpu()
            effects[units] = sign * (values[1:] - values[0])
    return effects[chosen].numpy()


truths.register("denoise")(Truth(denoise, base="corrupted"))
truths.register("noise")(Truth(noise, base="clean"))
