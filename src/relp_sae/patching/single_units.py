"""Exact activation patching of every unit alone: the denoising and the noising effect."""

import numpy as np
import torch

from relp_sae.patching.restart import BaseRun, BlockCalls
from relp_sae.patching.truth import Truth, truths
from relp_sae.run import PairedRun


def denoise(run: PairedRun, pair: int, batch_size: int, calls: BlockCalls) -> np.ndarray:
    """m(corrupted run, this unit set to its clean value) - m(corrupted): sufficient on its own?"""
    ids = run.pairs[pair].corrupted_ids
    return step_effects(run, pair, ids, +1.0, batch_size, calls)


def noise(run: PairedRun, pair: int, batch_size: int, calls: BlockCalls) -> np.ndarray:
    """m(clean) - m(clean run, this unit set to its corrupted value): necessary?

    The indirect effect of Marks et al. 2024 (arXiv 2403.19647), sign flipped.
    """
    ids = run.pairs[pair].clean_ids
    return -step_effects(run, pair, ids, -1.0, batch_size, calls)


def step_effects(
    run: PairedRun,
    pair: int,
    ids: tuple[int, ...],
    scale: float,
    batch_size: int,
    calls: BlockCalls,
) -> np.ndarray:
    """m(run of ids with scale * step added) - m(that run), one unit of the pair at a time."""
    steps = run.steps(pair)
    vectors, pos = torch.cat([s.vector for s in steps]), torch.cat([s.pos for s in steps])
    site = torch.cat([torch.full_like(s.pos, i) for i, s in enumerate(steps)])
    effects = torch.empty(len(pos), dtype=torch.float64)
    for start in pos.unique().tolist():
        for units in (pos == start).nonzero()[:, 0].split(batch_size):
            added = {}
            for i in site[units].unique().tolist():
                # Row 0 is the unchanged run, so that both terms come from the same computation.
                shape = (1 + len(units), len(ids) - start, run.model.d_model)
                here = site[units] == i
                added[steps[i].site] = vectors.new_zeros(shape)
                added[steps[i].site][1:][here.to(vectors.device), 0] = scale * vectors[units[here]]
            base = BaseRun(run.model, ids, min(one.layer for one in added))
            values = run.metric_of(pair, base.restarted(start, added, calls)).double().cpu()
            effects[units] = values[1:] - values[0]
    return effects.numpy()


truths.register("denoise")(Truth(denoise, base="corrupted"))
truths.register("noise")(Truth(noise, base="clean"))
