"""Agreement of slopes: effect per unit of step."""

import numpy as np

from relp_sae.faithfulness.measures import Sample, measure
from relp_sae.faithfulness.measures.pearson import r_of
from relp_sae.faithfulness.moments import OfMoments

SMALLEST_STEP = 1e-3
"""Steps shorter than this share of the activation are not judged. A truth is known to about 1e-5
logits in single precision: divided by a tiny step, that error would be among the largest ratios.
Of the steps of an SAE some 3 % are shorter."""


@measure("pearson-per-step", "Pearson per unit of step")
def pearson_per_step(sample: Sample) -> OfMoments:
    """Pearson's r of estimate/delta and truth/delta: is the *slope* right? No unit, in [-1, 1].

    Both scores contain the step delta, so that a large step makes both large and r high, whatever
    the slopes. Here the step is divided out. Units with ``relative_step`` below 0.001 are left
    out, by a rule that knows no scores: their truth/delta is rounding (see SMALLEST_STEP). All
    others weigh the same, so small steps are heard as loudly as large ones.
    Undefined: fewer than 3 units with such a step, or a side is constant.
    """
    long_enough = sample.relative_step >= SMALLEST_STEP  # False for NaN
    rows = long_enough & np.isfinite(sample.delta) & (sample.delta != 0)
    judged = sample.chosen(rows)
    return OfMoments(
        judged.estimate / judged.delta,
        judged.truth / judged.delta,
        r_of,
        rows,
        "units with a step of 0.1 % or more",
    )
