"""Wilcoxon's signed-rank test over prompt pairs, beside the sign-flip test."""

import numpy as np
from jaxtyping import Float
from scipy.stats import wilcoxon


def wilcoxon_p(differences: Float[np.ndarray, "pairs"]) -> float:
    """Two-sided p-value of the signed-rank test of differences that are symmetric around zero.

    It looks at the ranks of the |differences|, so one extreme pair weighs little. Zeros are
    dropped; where nothing else is left there is no evidence, and p is 1. Exact for up to 50 pairs
    without ties. Source: Wilcoxon 1945; computed by scipy.
    """
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)  # pyright: ignore[reportAttributeAccessIssue]
