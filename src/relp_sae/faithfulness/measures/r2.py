"""Explained variance, when the estimate is taken at its word."""

from relp_sae.faithfulness.measures import Sample, measure
from relp_sae.faithfulness.moments import Moments, OfMoments, Stat


@measure("r2", "R2 to y = x", sees_size=True, bounded=False)
def r2(sample: Sample) -> OfMoments:
    """R2 against the line y = x: 1 - sum (truth - estimate)^2 / sum (truth - mean truth)^2.

    No unit, at most 1 (and at most r^2). 0: no better than to say the mean truth for every unit;
    below 0, without limit: worse than that. Nothing is fitted, so scale and offset must be right.
    Undefined: fewer than 3 units, or a side is constant.
    """
    return OfMoments(sample.estimate, sample.truth, _r2_of)


def _r2_of(found: Moments) -> Stat:
    # The mean squared error from the moments: its variance plus its mean, squared.
    spread = found.var_x + found.var_y - 2 * found.cov
    return 1 - (spread + (found.mean_x - found.mean_y) ** 2) / found.var_y
