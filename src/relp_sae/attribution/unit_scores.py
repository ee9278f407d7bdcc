"""Scores from slopes: the step of a unit times the slope of the metric at its site and position."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.records import Site
from relp_sae.run import PairedRun
from relp_sae.run.steps import PairSteps
from relp_sae.tensors import Resid

UNITS = 4096
"""So many decoder rows are gathered at once: those of a long prompt would fill the memory."""


def slope_scores(
    run: PairedRun, pairs: Sequence[int], slopes: Mapping[Site, Float[Tensor, "pair pos _"]]
) -> list[np.ndarray]:
    """<step, slope at its position> of every unit of each pair, (units,) in the metric's unit.

    ``slopes`` holds g = d metric / d x of shape (pair, pos, width) for each site, at the last
    positions of the prompts, which hold every change (``run.prefixes``). A step is
    f_clean - f_corrupted times the decoder row, so a positive score supports the answer.
    """
    found = []
    for row, (pair, start) in enumerate(zip(pairs, run.prefixes.starts(pairs), strict=True)):
        parts = [_products(steps, slopes[steps.site][row], start) for steps in run.steps(pair)]
        found.append(torch.cat(parts).double().cpu().numpy())
    return found


def _products(steps: PairSteps, slope: Resid, start: int) -> Float[Tensor, "units"]:
    """delta <W_dec[feature], g[pos]>, and <step, g[pos]> of the units that are no feature."""
    pos, feature = steps.pos.to(slope.device) - start, steps.feature.to(slope.device)
    is_feature = feature >= 0
    products = torch.empty_like(steps.delta)
    products[~is_feature] = (steps.remainders * slope[pos[~is_feature]]).sum(-1)
    along_row = [
        (steps.W_dec[rows] * slope[at]).sum(-1)
        for rows, at in zip(
            feature[is_feature].split(UNITS), pos[is_feature].split(UNITS), strict=True
        )
    ]
    products[is_feature] = steps.delta[is_feature] * torch.cat(along_row)
    return products
