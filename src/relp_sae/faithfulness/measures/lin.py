"""Lin's concordance."""

from relp_sae.faithfulness.measures import Sample, measure
from relp_sae.faithfulness.moments import Moments, OfMoments, Stat


@measure("lin-concordance", "Lin's concordance", sees_size=True)
def lin(sample: Sample) -> OfMoments:
    """Lin's concordance: Pearson's r, made smaller where scale or offset differ; in [-1, 1].

    No unit. 1 only where estimate and truth are equal; never larger in size than r. Unlike R2 it
    treats both sides alike and stays bounded.
    Undefined: fewer than 3 units, or a side is constant.
    Source: Lin 1989, with variances per unit (1/n):
    2 cov / (var(estimate) + var(truth) + (mean estimate - mean truth)^2).
    """
    return OfMoments(sample.estimate, sample.truth, _lin_of)


def _lin_of(found: Moments) -> Stat:
    apart = (found.mean_x - found.mean_y) ** 2
    return 2 * found.cov / (found.var_x + found.var_y + apart)
