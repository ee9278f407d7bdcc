"""The price of certainty: how many exact patches the estimate saves."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Sample, Undefined, Value, measure
from relp_sae.faithfulness.measures.top_k import K, membership

WANTED = 0.9 * K
"""How many of the true top 10 must be found."""

ROUNDING = 1e-9
"""Shares of tied units that sum to this much less than a whole number are that number."""


@measure(
    "verified-recall-cost",
    "patches for 90 % recall",
    better="lower",
    bounded=False,
    costly=True,
)
def verified_recall_cost(sample: Sample) -> Value:
    """How many units must be patched, in the order of |estimate|, to find 9 of the true top 10.

    A count of exact patches, from 9 (a perfect order) to the number of units; an estimate without
    any information needs about 0.9 of them. The true top 10 are those by |truth|.
    Ties: units with equal |estimate| stand as if their true ones were spread evenly among them,
    which can give a fraction of a patch; units tied for the last place of the true top 10 share
    it. So the order of units never matters.
    Undefined: 10 units or fewer, or every truth is zero.
    """
    matters = sample.truth != 0
    in_truth = membership(sample.truth, K)
    levels, level = np.unique(-np.abs(sample.estimate), return_inverse=True)

    def cost(counts: Counts) -> float:
        if counts.sum() <= K:
            raise Undefined(f"{K} units or fewer")
        if (counts * matters).sum() == 0:
            raise Undefined("every truth is zero")
        patches = np.bincount(level, counts, minlength=len(levels))
        finds = np.bincount(level, counts * in_truth(counts), minlength=len(levels))
        found = np.cumsum(finds)
        last = np.searchsorted(found, WANTED - ROUNDING)
        missing = WANTED - (found[last] - finds[last])
        return float(patches[:last].sum() + patches[last] * missing / finds[last])

    return cost
