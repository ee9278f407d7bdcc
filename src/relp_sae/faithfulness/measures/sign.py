"""Sign agreement."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores, Undefined, Value, measures

THRESHOLD = 0.01
"""Units whose |truth| is at most this share of the largest |truth| are not judged."""


@measures.register("sign")
def sign(estimate: Scores, truth: Scores) -> Value:
    """Share of units whose estimate has the truth's sign; in [0, 1], chance is about 0.5.

    Judged are the units with |truth| > 1 % of the largest |truth| among the units at hand (those
    of one pair, or of all pairs when pooled): below it a sign is noise. A zero estimate is wrong.
    Undefined: every truth is zero.
    """
    size = np.abs(truth)
    agrees = np.sign(estimate) == np.sign(truth)

    def share(counts: Counts) -> float:
        largest = np.max(size, where=counts > 0, initial=0.0)
        if largest == 0:
            raise Undefined("every truth is zero")
        judged = counts * (size > THRESHOLD * largest)
        return float((judged * agrees).sum() / judged.sum())

    return share
