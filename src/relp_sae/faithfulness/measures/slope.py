"""The size of the estimates: how much of them there is for one unit of truth."""

from relp_sae.faithfulness.measures import Sample, measure
from relp_sae.faithfulness.moments import Moments, OfMoments, Stat


@measure("slope", "slope", better="nearest 1", sees_size=True, bounded=False)
def slope(sample: Sample) -> OfMoments:
    """Least-squares slope, with an intercept, of the ESTIMATE on the TRUTH: cov / var(truth).

    No unit. 1: where truths differ by 1, the estimates differ by 1 on average; 2: the estimates
    are twice as large as they should be; below 0: upside down. Noise in a sampled truth makes it
    smaller. slope = r * sd(estimate) / sd(truth), so read it beside R2 and Pearson.
    Undefined: fewer than 3 units, or a side is constant.
    """
    return OfMoments(sample.estimate, sample.truth, _slope_of)


def _slope_of(found: Moments) -> Stat:
    return found.cov / found.var_y
