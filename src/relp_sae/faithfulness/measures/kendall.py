"""Kendall's rank correlation."""

import numpy as np
from scipy.stats import kendalltau

from relp_sae.faithfulness.measures import Counts, Sample, Undefined, Value, measure


@measure("kendall-tau-b", "Kendall tau-b", costly=True)
def kendall_tau_b(sample: Sample) -> Value:
    """Kendall's tau-b over units: (concordant - discordant) twosomes, ties corrected; in [-1, 1].

    No unit. Of two units of different truth and estimate, how much more often does the estimate
    order them as the truth does than the other way round. Blind to every increasing map.
    Undefined: fewer than 3 units, or a side is constant.
    Source: Kendall 1945; computed by scipy.
    """

    def tau(counts: Counts) -> float:
        if counts.sum() < 3:
            raise Undefined("fewer than 3 units")
        times = counts.astype(np.int64)
        estimate, truth = np.repeat(sample.estimate, times), np.repeat(sample.truth, times)
        for side, scores in (("estimate", estimate), ("truth", truth)):
            if scores.min() == scores.max():
                raise Undefined(f"constant {side}")
        found = kendalltau(estimate, truth, variant="b")
        return float(found.statistic)  # pyright: ignore[reportAttributeAccessIssue]

    return tau
