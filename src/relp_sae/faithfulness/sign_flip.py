"""Paired tests over prompt pairs, and the price of making several."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float

EXACT_UP_TO = 12
"""Up to this many differences all 2^n sign patterns are counted; above, they are sampled."""

SAMPLED = 10_000

TIE = 1e-12
"""Sums that differ by less than this share of the largest possible sum count as equal."""

Differences = Float[np.ndarray, "pairs"]


def sign_flip_p(differences: Differences, seed: int) -> float:
    """Two-sided p-value of the paired sign-flip permutation test of a zero mean.

    If two methods are equally good, each pair's difference is as likely to have the other sign:
    p is the share of sign patterns whose |sum| is at least the observed one. Up to 12 pairs it is
    exact (Fisher 1935); above, 10,000 random patterns are used and the observed one is counted
    among them, p = (b + 1) / (m + 1) (Phipson and Smyth 2010).
    """
    if len(differences) <= EXACT_UP_TO:
        patterns = np.array(list(product((1.0, -1.0), repeat=len(differences))))
    else:
        generator = np.random.default_rng(seed)
        patterns = generator.choice((1.0, -1.0), size=(SAMPLED, len(differences)))
        patterns = np.vstack([np.ones(len(differences)), patterns])
    slack = TIE * np.abs(differences).sum()
    extreme = np.abs(patterns @ differences) >= abs(differences.sum()) - slack
    return float(extreme.mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values, in the order given (Holm 1979).

    The i-th smallest of n is multiplied by n - i + 1 and made no smaller than the one before it.
    NaN stays NaN and is not counted among the n: a test that was not made costs nothing.
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(p))
    ascending = made[np.argsort(p[made], kind="stable")]
    stepped = p[ascending] * np.arange(len(made), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[ascending] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()
