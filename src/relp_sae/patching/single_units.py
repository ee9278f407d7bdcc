"""Exact activation patching of every unit alone: the denoising and the noising effect."""

import numpy as np
import torch

from relp_sae.patching.restart import BaseRun, BlockCalls
from relp_sae.patching.truth import Truth, truths
from relp_sae.run import PairedRun


def denoise(run: PairedRun, pair: int, batch_size: int, calls: BlockCalls) -> np.ndarray:
    """m(corrupted run, this unit set to its clean value) - m(corrupted): sufficient on its own?"""
    ids = run.pairs[pair].corrupted_ids
    return _changes(run, pair, ids, +1, batch_size, calls)


def noise(run: PairedRun, pair: int, batch_size: int, calls: BlockCalls) -> np.ndarray:
    """m(clean) - m(clean run, this unit set to its corrupted value): necessary?

    The indirect effect of Marks et al. 2024 (arXiv 2403.19647), sign flipped.
    """
    ids = run.pairs[pair].clean_ids
    return -_changes(run, pair, ids, -1, batch_size, calls)


def _changes(
    run: PairedRun, pair: int, ids: tuple[int, ...], sign: int, batch_size: int, calls: BlockCalls
) -> np.ndarray:
    """m(run with sign * step added) - m(run) of each unit of the pair, one at a time."""
    changes = []
    for steps in run.steps(pair):
        base = BaseRun(run.model, ids, steps.site.layer)
        unchanged = torch.zeros_like(steps.vector[:1])
        at_site = torch.empty(len(steps.pos), dtype=torch.float64)
        for pos in steps.pos.unique().tolist():
            here = (steps.pos == pos).nonzero()[:, 0]
            for chunk in here.split(batch_size):
                # Row 0 is the unchanged run, so that both terms come from the same computation.
                added = torch.cat([unchanged, sign * steps.vector[chunk]])
                values = run.metric_of(pair, base.restarted(steps.site, pos, added, calls))
                at_site[chunk] = (values[1:].double() - values[0].double()).cpu()
        changes.append(at_site)
    return torch.cat(changes).numpy()


truths.register("denoise")(Truth(denoise, base="corrupted"))
truths.register("noise")(Truth(noise, base="clean"))
