"""Spearman's rank correlation."""

from collections.abc import Callable

import numpy as np

from relp_sae.faithfulness.measures import Counts, Sample, Scores, Value, measure
from relp_sae.faithfulness.measures.pearson import correlation


@measure("spearman", "Spearman")
def spearman(sample: Sample) -> Value:
    """Spearman's rho over units: Pearson's r of the ranks; no unit, in [-1, 1].

    Tied scores share the mean of their ranks. Blind to every increasing map of either side.
    Undefined: fewer than 3 units, or a side is constant.
    """
    estimate_ranks, truth_ranks = mid_ranks(sample.estimate), mid_ranks(sample.truth)
    return lambda counts: correlation(estimate_ranks(counts), truth_ranks(counts), counts)


def mid_ranks(scores: Scores) -> Callable[[Counts], Scores]:
    """Ranks among the units at hand, from 1 for the smallest score; ties share their mean rank.

    The scores are sorted here, once; the returned function is linear in the number of units.
    """
    levels, level = np.unique(scores, return_inverse=True)

    def ranks(counts: Counts) -> Scores:
        equal = np.bincount(level, counts, minlength=len(levels))
        # A running sum of whole numbers is several times as fast in integers as in floats.
        last_rank = np.cumsum(equal.astype(np.int64))
        return (last_rank - (equal - 1) / 2)[level]

    return ranks
