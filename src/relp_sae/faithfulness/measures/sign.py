"""Sign agreement."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Sample, Undefined, Value, measure

THRESHOLD = 0.01
"""Units whose |truth| is at most this share of the largest |truth| are not judged."""


@measure("sign", "sign agreement")
def sign(sample: Sample) -> Value:
    """Share of units whose estimate has the truth's sign; in [0, 1], chance is about 0.5.

    Judged are the units with |truth| > 1 % of the largest |truth| among the units at hand (those
    of one pair, or of all pairs when pooled): below it a sign is noise. A zero estimate is wrong.
    Undefined: every truth is zero.
    """
    size = np.abs(sample.truth)
    agrees = np.sign(sample.estimate) == np.sign(sample.truth)

    def share(counts: Counts) -> float:
        largest = np.max(size * (counts > 0), initial=0.0)
        if largest == 0:
            raise Undefined("every truth is zero")
        judged = counts * (size > THRESHOLD * largest)
        return float((judged * agrees).sum() / judged.sum())

    return share
