"""Spearman's rank correlation."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores, Value, measures
from relp_sae.faithfulness.measures.pearson import correlation
from relp_sae.faithfulness.ranking import placed


@measures.register("spearman")
def spearman(estimate: Scores, truth: Scores) -> Value:
    """Spearman's rho over units: Pearson's r of the ranks; no unit, in [-1, 1].

    Tied scores share the mean of their ranks. Blind to every increasing map of either side.
    Undefined: fewer than 3 units, or a side is constant.
    """
    estimate_ranks, truth_ranks = placed(estimate, mid_rank), placed(truth, mid_rank)

    def rho(counts: Counts) -> float:
        return correlation(estimate_ranks(counts), truth_ranks(counts), counts)

    return rho


def mid_rank(below: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """The mean of the ranks that ``equal`` tied units share, counted from 1."""
    return below + (equal + 1) / 2
