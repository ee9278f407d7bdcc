"""Pearson's correlation with the tails drawn in."""

import numpy as np

from relp_sae.faithfulness.measures import Sample, measure
from relp_sae.faithfulness.measures.pearson import r_of
from relp_sae.faithfulness.moments import OfMoments

LINEAR_BELOW = 0.01
"""s, in the metric's unit, fixed in advance: effects well below it keep their size, effects well
above it count by the order of their size. 0.01 logits is next to nothing in a logit difference."""


@measure("pearson-asinh", "Pearson of asinh", sees_size=True)
def pearson_asinh(sample: Sample) -> OfMoments:
    """Pearson's r of asinh(estimate / s) and asinh(truth / s), s = 0.01 of the metric's unit.

    No unit, in [-1, 1]. Effects are heavy-tailed, so that r is often made by a few units: here a
    unit ten times as large counts about one step more, and small units are heard. As asinh bends
    at s, the size of the estimate matters: twice the truth is not quite 1.
    Undefined: fewer than 3 units, or a side is constant.
    Source: the inverse hyperbolic sine transform (Burbidge, Magee and Robb 1988).
    """
    estimate, truth = (np.arcsinh(side / LINEAR_BELOW) for side in (sample.estimate, sample.truth))
    return OfMoments(estimate, truth, r_of)
