"""Integrated gradients along the joint path of x at each site."""

from collections.abc import Sequence

import numpy as np

from relp_sae.attribution.method import Method, Passes, methods
from relp_sae.attribution.slopes import path_slopes
from relp_sae.attribution.unit_scores import slope_scores
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun

STEPS = 10


def integrated_gradients(steps: int) -> Method:
    """Midpoint rule with ``steps`` points (Sundararajan et al. 2017, arXiv 1703.01365).

    All units move together on the path, so the scores of a site sum to the effect of replacing
    all of x there as ``steps`` grows. One-sided sums would be biased by O(1/steps).
    """

    def scores(run: PairedRun, pairs: Sequence[int], _base: Base) -> list[np.ndarray]:
        slopes = {site: path_slopes(run, pairs, site, steps) for site in run.sites}
        return slope_scores(run, pairs, slopes)

    def passes(sites: int) -> Passes:
        return Passes(steps * sites, steps * sites)

    return Method(scores, ("both",), with_count=integrated_gradients, passes=passes)


methods.register("integrated-gradients")(integrated_gradients(STEPS))
