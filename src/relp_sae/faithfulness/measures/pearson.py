"""Pearson's correlation."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Sample, Scores, measure
from relp_sae.faithfulness.moments import Moments, OfMoments, Stat, moments


@measure("pearson", "Pearson")
def pearson(sample: Sample) -> OfMoments:
    """Pearson's r of estimate and truth over units; no unit, in [-1, 1], blind to scale and offset.

    Undefined: fewer than 3 units (two points always lie on a line), or a side is constant.
    Source: r = cov(x, y) / (sd x * sd y).
    """
    return OfMoments(sample.estimate, sample.truth, r_of)


def r_of(found: Moments) -> Stat:
    """Pearson's r from the moments."""
    r = found.cov / (np.sqrt(found.var_x) * np.sqrt(found.var_y))
    return np.clip(r, -1.0, 1.0)  # rounding may lead a hair beyond


def correlation(estimate: Scores, truth: Scores, counts: Counts) -> float:
    """The correlation of two lists in which entry i occurs ``counts[i]`` times.

    Raises:
        Undefined: fewer than 3 entries, or a side is constant.
    """
    return float(r_of(moments(estimate, truth, counts)))
